//! The history of experiments, one of them, two of them side by side, and the files that they left.
//!
//! **Times** are in UTC everywhere, as in reports, to the second: whoever reads along somewhere else reads the same.

mod compared;
mod file;
mod one;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};

use super::Dashboard;
use super::archive::entry::{ArchiveEntry, ArchivedResult};
use super::archive::{ArchiveListing, NEWEST};
use super::evidence::experiment;
use super::page::{NavigationItem, Page};
use crate::explore::report::view as explored;
use crate::lab::reports::view::tally;
use crate::report::figures::{counted, whole};
use crate::report::html::wide;

/// Names that are listed; more are counted.
const NAMES_MAX: usize = 3;

/// The routes.
pub fn routes() -> Router<Arc<Dashboard>> {
    Router::new()
        .route("/lab/runs", get(history))
        .route("/lab/runs/compare", get(compared::page))
        .route("/lab/runs/{id}", get(one::page))
        .route("/lab/runs/{id}/{file}", get(file::download))
}

/// A time of a report (RFC 3339, UTC) as it is read here: `2026-11-21 12:00:00 UTC`. Any other text stays what it is.
#[must_use]
pub fn moment(time: &str) -> String {
    let digits = |text: &str, form: &str| {
        text.len() == form.len()
            && text.chars().zip(form.chars()).all(|(found, wanted)| match wanted {
                '0' => found.is_ascii_digit(),
                _ => found == wanted,
            })
    };
    match (time.get(..10), time.get(11..19)) {
        (Some(day), Some(clock))
            if digits(day, "0000-00-00")
                && digits(clock, "00:00:00")
                && time.ends_with('Z')
                && time.as_bytes()[10] == b'T' =>
        {
            format!("{day} {clock} UTC")
        }
        _ => time.to_owned(),
    }
}

async fn history(State(dashboard): State<Arc<Dashboard>>) -> Response {
    let shelf = dashboard.archive.list().await;
    let body = html! {
        @if shelf.entries.is_empty() {
            p.notice #no-runs {
                "No experiment has ended yet. Start one from the " a href="/" { "overview" } ", or with "
                code { "concurrency-lab run --out" } " and this server's " code { "--runs" } " folder."
            }
        } @else {
            (table(&shelf))
        }
        (left_out(&shelf))
    };
    Page { title: "Runs", place: Some(NavigationItem::Runs), body, scripts: &[] }.answer(&dashboard)
}

/// The runs, which can be compared, and the explorations, which cannot.
fn table(shelf: &ArchiveListing) -> Markup {
    let pair = newest_pair(&shelf.entries);
    let is = |entry: &ArchiveEntry, chosen: Option<&ArchiveEntry>| chosen.is_some_and(|chosen| chosen.id == entry.id);
    let table = html! {
        table #history {
            thead {
                tr {
                    th scope="col" { "A" } th scope="col" { "B" }
                    th.name scope="col" { "started (UTC)" }
                    th scope="col" { "kind" }
                    th scope="col" { "scenario" }
                    th scope="col" { "approaches" }
                    th scope="col" { "verdicts" }
                    th.figure scope="col" { "took" span.unit { " s" } }
                }
            }
            tbody {
                @for entry in &shelf.entries {
                    (row(entry, is(entry, pair.map(|(a, _)| a)), is(entry, pair.map(|(_, b)| b))))
                }
            }
        }
    };
    html! {
        form action="/lab/runs/compare" method="get" {
            p.order {
                button type="submit" { "Compare B with A" }
                span.soft { " Choose two runs that were made under the same conditions: A is what B is compared with." }
            }
            (wide("Experiments", &table))
        }
    }
}

/// The newest run that can be compared with an earlier one, and that one first: what is most likely to be compared.
fn newest_pair(entries: &[Arc<ArchiveEntry>]) -> Option<(&ArchiveEntry, &ArchiveEntry)> {
    let conditions = |entry: &ArchiveEntry| match &entry.found {
        ArchivedResult::Run(raced) => Some(raced.conditions),
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
        ArchivedResult::Run(ref raced) if raced.swept => "sweep",
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
        ArchivedResult::Run(raced) => tally(&raced.results.iter().map(|result| result.verdict)),
        ArchivedResult::Exploration(all) => {
            explored::tally(&all.iter().map(|one| (one.verdict, one.contradiction.is_some())))
        }
    }
}

/// Names, or how many there are.
fn few(names: &[&str], thing: &str) -> String {
    match names.len() {
        0 => String::new(),
        number if number <= NAMES_MAX => names.join(", "),
        number if thing == "approach" => format!("{number} approaches"),
        number => counted(number as u64, thing),
    }
}

/// Folders that are named although they cannot be read: of more, how many there are.
const UNREADABLE_SHOWN: usize = 50;

/// What is not shown, and why.
#[must_use]
pub fn left_out(shelf: &ArchiveListing) -> Markup {
    html! {
        @if shelf.left_out > 0 {
            p.soft #left-out {
                "The newest " (NEWEST) " folders are shown and counted; " (shelf.left_out) " older ones are left out, whatever they found."
            }
        }
        @if !shelf.unreadable.is_empty() {
            details #unreadable {
                summary { (counted(shelf.unreadable.len() as u64, "folder")) " without a result that can be read" }
                ul {
                    @for (name, why) in shelf.unreadable.iter().take(UNREADABLE_SHOWN) { li { code { (name) } ": " (why) } }
                    @if shelf.unreadable.len() > UNREADABLE_SHOWN { li { "and " (shelf.unreadable.len() - UNREADABLE_SHOWN) " more" } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::report::sample as explored;
    use crate::lab::reports::sample as raced;

    #[test]
    fn the_newest_two_of_the_same_conditions_are_offered_for_comparison() {
        let mut other = raced::run();
        other.settings.concurrency = 7;
        let run = |id: &str, run| Arc::new(ArchiveEntry::of_run(id, run));
        let exploration = Arc::new(ArchiveEntry::of_exploration("5", &explored::report()));
        let entries = [
            exploration,
            run("4", &other),
            run("3", &raced::run()),
            run("2", &raced::swept()),
            run("1", &raced::run()),
        ];
        let pair = newest_pair(&entries).map(|(a, b)| (a.id.as_str(), b.id.as_str()));
        assert_eq!(pair, Some(("1", "3")));
        assert!(newest_pair(&entries[..3]).is_none());
    }

    #[test]
    fn times_are_read_to_the_second_and_foreign_ones_as_they_are() {
        let table = [
            ("2026-11-21T12:00:00Z", "2026-11-21 12:00:00 UTC"),
            ("2026-11-21T12:00:00.123Z", "2026-11-21 12:00:00 UTC"),
            ("2026-11-21T12:00:00+01:00", "2026-11-21T12:00:00+01:00"),
            ("yesterday", "yesterday"),
            ("ääääääääääääääääääääääääZ", "ääääääääääääääääääääääääZ"),
            ("", ""),
        ];
        for (time, expected) in table {
            assert_eq!(moment(time), expected);
        }
    }

    #[test]
    fn many_names_are_counted() {
        assert_eq!(few(&["a", "b", "c"], "scenario"), "a, b, c");
        assert_eq!(few(&["a"; 4], "approach"), "4 approaches");
        assert_eq!(few(&["a"; 4], "scenario"), "4 scenarios");
        assert_eq!(few(&[], "scenario"), "");
    }
}
