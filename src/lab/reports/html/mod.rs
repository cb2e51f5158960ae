//! `report.html`: one file, offline, without script, light and dark.
//!
//! Its Content-Security-Policy forbids every request and every script: names and answers of foreign targets stand in it as text
//! (maud escapes them), and even if one did not, nothing could come of it.

pub(crate) mod charts;
mod courses;
mod sweep;
pub(crate) mod verdicts;
mod witness;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::conditions::{self, Condition};
use super::notes;
use super::view;
use crate::lab::results::{ApproachResult, Run, RunVerdict};

/// The style sheet, beside that of the charts.
pub const STYLE: &str = include_str!("style.css");

/// The page.
#[must_use]
pub fn page(run: &Run) -> String {
    let body = html! {
        (heading(run))
        main {
            (figures(run))
            (witness::section(run))
            (conditions_section(run))
        }
    };
    document(&format!("{} · {} · concurrency-lab", run.scenario, run.started), "", &body)
}

/// Verdicts and cost: all that needs no style of its own, so that it may stand on a page whose policy forbids that.
#[must_use]
pub fn figures(run: &Run) -> Markup {
    html! {
        (verdicts::section(run))
        @if let Some(swept) = &run.sweep { (sweep::section(run, swept)) }
        (charts::section(run))
        (courses::section(run))
    }
}

/// What may be wider than its place: it scrolls there by itself, by keyboard too.
#[must_use]
pub fn wide(name: &str, content: &Markup) -> Markup {
    html! { div.wide tabindex="0" role="region" aria-label=(name) { (content) } }
}

/// A page of this kind, with a style sheet of its own beside the common ones.
pub(crate) fn document(title: &str, style: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(::charts::STYLE)) (PreEscaped(STYLE)) (PreEscaped(style)) }
            }
            body { (body) }
        }
    };
    page.into_string()
}

fn heading(run: &Run) -> Markup {
    let environment = &run.environment;
    let cores = format!("{} cores", environment.cores);
    let postgres = environment.server.as_ref().map(|server| format!("PostgreSQL {}", server.postgres));
    let pool = environment.server.as_ref().map(|server| format!("pool size {}", conditions::pool_size(run, server)));
    let machine = [environment.processor.clone(), Some(cores), Some(environment.system.clone()), postgres, pool];
    html! {
        header {
            h1 { (run.scenario) }
            p.tally { (tally(&run.results.iter().map(|result| result.verdict))) }
            p { (conditions::summary(run)) "; " (run.started) }
            p.soft { (machine.into_iter().flatten().collect::<Vec<_>>().join(" · ")) " · " a href="#conditions" { "all conditions" } }
            p { code { (environment.command_line.join(" ")) } }
            @for note in notes::warnings(run) { p.warning role="note" { (note) } }
        }
    }
}

/// How many of which verdict, the worst first.
#[must_use]
pub fn tally(verdicts: &(impl Iterator<Item = RunVerdict> + Clone)) -> Markup {
    let worst_first = [
        RunVerdict::ClaimFailed,
        RunVerdict::NoEvidence,
        RunVerdict::Undecided,
        RunVerdict::BrokenAsClaimed,
        RunVerdict::HeldThisTime,
        RunVerdict::Correct,
    ];
    let count = |verdict| verdicts.clone().filter(|other| *other == verdict).count();
    html! {
        @for (verdict, count) in worst_first.map(|verdict| (verdict, count(verdict))) {
            @if count > 0 { span class=(class(verdict)) { (symbol(verdict)) " " (count) " " (verdict) } " " }
        }
    }
}

/// All conditions, with what must be alike for a comparison.
#[must_use]
pub fn conditions_section(run: &Run) -> Markup {
    let list = |head: &str, conditions: Vec<Condition>| {
        html! {
            div {
                h3 { (head) }
                dl { @for (name, value) in conditions { div { dt { (name) } dd { (value) } } } }
            }
        }
    };
    html! {
        section #conditions {
            h2 { "Conditions" }
            p.soft {
                "Two runs are compared only if the first two lists are alike. "
                @if notes::has_closed_loop(run) { (notes::CLOSED_LOOP) }
            }
            div.lists {
                (list("Settings", conditions::settings(run)))
                (list("Environment", conditions::environment(run)))
                (list("Origin", conditions::provenance(run)))
            }
        }
    }
}

/// A sign beside the colour.
#[must_use]
pub fn symbol(verdict: RunVerdict) -> &'static str {
    match verdict {
        RunVerdict::Correct => "✓",
        RunVerdict::HeldThisTime => "○",
        RunVerdict::BrokenAsClaimed | RunVerdict::ClaimFailed => "✗",
        RunVerdict::Undecided => "?",
        RunVerdict::NoEvidence => "∅",
    }
}

/// The classes of a verdict in the style sheet.
#[must_use]
pub fn class(verdict: RunVerdict) -> &'static str {
    match verdict {
        RunVerdict::Correct => "verdict good",
        RunVerdict::BrokenAsClaimed => "verdict bad",
        RunVerdict::ClaimFailed => "verdict failed",
        RunVerdict::HeldThisTime | RunVerdict::Undecided | RunVerdict::NoEvidence => "verdict open",
    }
}

/// The label of a result in a chart: with its sign, unless it is ranked.
fn chart_label(result: &ApproachResult) -> String {
    let value = result.value.as_ref().map(|value| format!(" {value}")).unwrap_or_default();
    let sign = if view::is_ranked(result) { String::new() } else { format!("{} ", symbol(result.verdict)) };
    format!("{sign}{}{value}", result.approach)
}

/// What the signs in labels mean; empty if there are none.
fn unranked_key(run: &Run) -> &'static str {
    if run.results.iter().all(view::is_ranked) {
        return "";
    }
    "✗\u{a0}broken, ○\u{a0}claimed broken, ∅\u{a0}silent, ?\u{a0}open: in the catalogue's order, never ranked."
}

/// Texts as a list in a sentence.
pub(crate) fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_page_loads_nothing_and_runs_nothing() {
        for run in [sample::run(), sample::swept(), sample::hostile(), sample::nothing()] {
            let page = page(&run);
            assert!(page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'\""));
            let urls = page.replace("http://www.w3.org/2000/svg", "");
            for forbidden in ["<script", "http:", "https:", " src=", "@import", "javascript:", " onload"] {
                assert!(!urls.contains(forbidden), "{forbidden}");
            }
            for wrong in ["NaN", "inf\"", "inf<"] {
                assert!(!page.contains(wrong), "{wrong}");
            }
        }
    }

    #[test]
    fn ids_are_unique_and_every_reference_is_to_one() {
        let page = page(&sample::swept());
        let values = |attribute: &str| -> Vec<&str> {
            page.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()).collect()
        };
        let mut ids = values(" id=\"");
        for labels in values("aria-labelledby=\"") {
            assert!(labels.split(' ').all(|label| ids.contains(&label)), "{labels}");
        }
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }

    #[test]
    fn warnings_stand_at_the_top() {
        let page = page(&sample::hostile());
        let interrupted = page.find("The run was interrupted").unwrap();
        assert!(interrupted < page.find("<main").unwrap());
    }
}
