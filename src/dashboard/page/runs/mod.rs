//! Earlier experiments: their history, [`one`] of them, two of them [`compared`], and the [files](mod@file) of one.

pub mod compared;
pub mod file;
pub mod one;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use crate::dashboard::model::archive::entry::{ArchiveEntry, ArchivedResult};
use crate::dashboard::model::archive::{Archive, ArchiveListing};
use crate::dashboard::model::permission::ExperimentPermission;
use crate::dashboard::view::archive_notes::left_out;
use crate::dashboard::view::frame::{NavigationItem, Page};
use crate::dashboard::view::links::{experiment, moment};
use crate::explore::report::view as explored;
use crate::lab::reports::view::verdict_counts;
use crate::report::figures::{counted, whole};
use crate::report::html::wide;

/// Names that are listed; if there are more, they are counted.
const NAMES_MAX: usize = 3;

/// `GET /lab/runs`: all experiments.
pub async fn history(State(permission): State<ExperimentPermission>, State(archive): State<Archive>) -> Response {
    let listing = archive.list().await;
    let body = html! {
        @if listing.entries.is_empty() {
            p.notice #no-runs {
                "No experiment has ended yet. Start one on the " a href="/" { "overview" } ", or run "
                code { "concurrency-lab run --out FOLDER" } " with this server's run folder (" code { "--runs" } ")."
            }
        } @else {
            (table(&listing))
        }
        (left_out(&listing))
    };
    Page { title: "Runs", item: Some(NavigationItem::Runs), body, scripts: &[] }.answer(&permission)
}

/// All experiments. Only runs can be compared.
fn table(listing: &ArchiveListing) -> Markup {
    let pair = newest_pair(&listing.entries);
    let is = |entry: &ArchiveEntry, chosen: Option<&ArchiveEntry>| chosen.is_some_and(|chosen| chosen.id == entry.id);
    let table = html! {
        table #history {
            thead {
                tr {
                    th scope="col" title="The run to compare with" { "A" } th scope="col" title="The run that is compared with A" { "B" }
                    th.name scope="col" { "started (UTC)" }
                    th scope="col" { "kind" }
                    th scope="col" { "scenario" }
                    th scope="col" { "approaches" }
                    th scope="col" { "verdicts" }
                    th.figure scope="col" { "duration" span.unit { " s" } }
                }
            }
            tbody {
                @for entry in &listing.entries {
                    (row(entry, is(entry, pair.map(|(a, _)| a)), is(entry, pair.map(|(_, b)| b))))
                }
            }
        }
    };
    html! {
        form action="/lab/runs/compare" method="get" {
            p.actions {
                button type="submit" { "Compare B with A" }
                span.soft { " Choose two runs that were made under the same conditions, A as the baseline." }
            }
            (wide("Experiments", &table))
        }
    }
}

/// The newest run that can be compared with an earlier one: the earlier one, then the newest. They are preselected.
fn newest_pair(entries: &[Arc<ArchiveEntry>]) -> Option<(&ArchiveEntry, &ArchiveEntry)> {
    let conditions = |entry: &ArchiveEntry| match &entry.found {
        ArchivedResult::Run(run) => Some(run.conditions),
        ArchivedResult::Exploration(_) => None,
    };
    entries.iter().enumerate().find_map(|(index, newer)| {
        let alike = |older: &&Arc<ArchiveEntry>| conditions(older).is_some() && conditions(older) == conditions(newer);
        let older = entries[index + 1..].iter().find(alike)?;
        Some((older.as_ref(), newer.as_ref()))
    })
}

fn row(entry: &ArchiveEntry, is_a: bool, is_b: bool) -> Markup {
    let time = moment(&entry.started);
    let radio = |name: &str, letter: &str, checked: bool| {
        html! {
            td { input type="radio" name=(name) value=(entry.id) required checked[checked] aria-label={ (letter) ": run of " (time) }; }
        }
    };
    let kind = match entry.found {
        ArchivedResult::Run(ref run) if run.swept => "sweep",
        ArchivedResult::Run(_) => "run",
        ArchivedResult::Exploration(_) => "exploration",
    };
    html! {
        tr data-id=(entry.id) data-kind=(kind) {
            @if matches!(entry.found, ArchivedResult::Run(_)) { (radio("one", "A", is_a)) (radio("other", "B", is_b)) }
            @else { td {} td {} }
            th.name scope="row" {
                a href=(experiment(&entry.id)) {
                    time datetime=(entry.started) {
                        @for part in time.split(' ').filter(|part| *part != "UTC") { span.whole { (part) } " " }
                    }
                }
            }
            td { (kind) @if entry.interrupted { span.open { ", interrupted" } } }
            td { (few(&entry.scenarios(), "scenario")) }
            td { (few(&entry.approaches(), "approach")) }
            td.tally { (verdicts(entry)) }
            td.figure { (whole(entry.elapsed_s.ceil())) }
        }
    }
}

fn verdicts(entry: &ArchiveEntry) -> Markup {
    match &entry.found {
        ArchivedResult::Run(run) => verdict_counts(&run.results.iter().map(|result| result.verdict)),
        ArchivedResult::Exploration(all) => {
            explored::verdict_counts(&all.iter().map(|one| (one.verdict, one.contradiction.is_some())))
        }
    }
}

/// The names, or their number if there are many.
fn few(names: &[&str], thing: &str) -> String {
    match names.len() {
        0 => String::new(),
        number if number <= NAMES_MAX => names.join(", "),
        number if thing == "approach" => format!("{number} approaches"),
        number => counted(number as u64, thing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::report::sample as exploration_sample;
    use crate::lab::reports::sample as run_sample;

    #[test]
    fn the_newest_two_of_the_same_conditions_are_preselected() {
        let mut other = run_sample::run();
        other.settings.concurrency = 7;
        let run = |id: &str, run| Arc::new(ArchiveEntry::of_run(id, run));
        let exploration = Arc::new(ArchiveEntry::of_exploration("5", &exploration_sample::report()));
        let entries = [
            exploration,
            run("4", &other),
            run("3", &run_sample::run()),
            run("2", &run_sample::swept()),
            run("1", &run_sample::run()),
        ];
        let pair = newest_pair(&entries).map(|(a, b)| (a.id.as_str(), b.id.as_str()));
        assert_eq!(pair, Some(("1", "3")));
        assert!(newest_pair(&entries[..3]).is_none());
    }

    #[test]
    fn many_names_are_counted() {
        assert_eq!(few(&["a", "b", "c"], "scenario"), "a, b, c");
        assert_eq!(few(&["a"; 4], "approach"), "4 approaches");
        assert_eq!(few(&["a"; 4], "scenario"), "4 scenarios");
        assert_eq!(few(&[], "scenario"), "");
    }
}
