//! The tables of the page: all explorations, verdicts in two dimensions, distinct outcomes.

use charts::scale::grouped;
use maud::{Markup, html};

use super::super::matrix::VerdictMatrix;
use super::super::{table, view};
use crate::explore::findings::{Exploration, ExploreReport, Subject};
use crate::explore::schedule::Schedule;
use crate::report::figures::counted;
use crate::report::html::wide;

/// A table for each scenario.
#[must_use]
pub fn explorations(report: &ExploreReport) -> Markup {
    html! {
        section {
            h2 { "Verdicts" }
            p.soft {
                "Proved: every interleaving of the statements was run, or is equivalent to one that was (pruned), and a serial order explains \
                 each. The last counts are interleavings: those in which a session waited, in which the deadlock detector ended one, in \
                 which one met a serialization failure (conflicts, 40001), and in which a client gave up."
            }
            @for (scene, explorations) in view::by_scene(report) {
                h3.scene { (scene) }
                (alone(&explorations))
                (table::html(&scene, &explorations))
                (remarks(&explorations))
            }
        }
    }
}

/// What each command of a file does alone.
fn alone(explorations: &[&Exploration]) -> Markup {
    let lines: Vec<&String> = explorations.iter().flat_map(|exploration| &exploration.alone).collect();
    html! { @if !lines.is_empty() { ul.soft { @for line in lines { li { (line) } } } } }
}

/// What failed, what is undecided, and how to go on.
fn remarks(explorations: &[&Exploration]) -> Markup {
    let remark =
        |exploration: &Exploration, text: Markup| html! { li { (view::name(&exploration.subject)) ": " (text) } };
    let mut items = Vec::new();
    for exploration in explorations {
        if let Some(how) = view::contradiction(exploration) {
            items.push(remark(exploration, html! { strong { "claim failed" } ": " (how) }));
        }
        items.extend(exploration.undecided.iter().map(|what| remark(exploration, html! { "undecided: " (what) })));
        if let Some(run) = view::incompleteness(exploration) {
            let text = html! {
                (run)
                @if let Some(last) = &exploration.last { "; to continue: " code { (view::go_on(&exploration.subject, last)) } }
            };
            items.push(remark(exploration, text));
        }
    }
    html! { @if !items.is_empty() { ul.soft { @for item in items { (item) } } } }
}

/// Verdicts by row and column.
#[must_use]
pub fn matrix(matrix: &VerdictMatrix) -> Markup {
    html! {
        section {
            h2 { (matrix.title) }
            (matrix.table.html(&matrix.title))
        }
    }
}

/// The address where an interleaving can be looked at step by step, if there is one.
pub type PlayerLink = fn(&Subject, &Schedule) -> Option<String>;

/// A page that is read offline has no links.
pub const NO_LINK: PlayerLink = |_, _| None;

/// The distinct outcomes, folded.
#[must_use]
pub fn outcomes(exploration: &Exploration, name: Option<&str>, link: PlayerLink) -> Markup {
    let outcomes = &exploration.outcomes;
    let distinct = counted(outcomes.len() as u64, "distinct outcome");
    let of = counted(exploration.interleavings, "interleaving");
    html! {
        details {
            summary { @if let Some(name) = name { (name) ": " } (distinct) " of " (of) }
            (wide(&format!("Outcomes of {}", view::title(&exploration.subject)), &html! {
                table {
                    thead {
                        tr {
                            th.figure scope="col" { "interleavings" } th scope="col" { "outcome" } th scope="col" { "anomalies" }
                            th scope="col" { "example of a schedule" }
                        }
                    }
                    tbody {
                        @for outcome in outcomes {
                            tr {
                                td.figure { (grouped(&outcome.count.to_string())) }
                                td { @for line in &outcome.lines { div { (line) } } }
                                td {
                                    @if outcome.anomalies.is_empty() { span.good { "✓ explained by a serial order" } }
                                    @else { span.bad { "✗ " (outcome.anomalies.join(", ")) } }
                                }
                                td {
                                    @match link(&exploration.subject, &outcome.example) {
                                        Some(address) => a href=(address) { code { (outcome.example) } },
                                        None => code { (outcome.example) },
                                    }
                                }
                            }
                        }
                    }
                }
            }))
        }
    }
}
