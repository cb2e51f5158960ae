//! The tables of the page: all explorations, verdicts in two dimensions, distinct outcomes.

use maud::{Markup, html};

use super::super::matrix::VerdictMatrix;
use super::super::view;
use super::verdict;
use crate::explore::findings::{Exploration, ExploreReport, Subject};
use crate::explore::schedule::Schedule;
use crate::lab::reports::figures::{NONE, hundredths};
use crate::lab::reports::html::wide;
use crate::lab::reports::view::claim;
use charts::scale::grouped;

/// A table for each scenario.
#[must_use]
pub fn explorations(report: &ExploreReport) -> Markup {
    html! {
        section {
            h2 { "Verdicts" }
            p.soft {
                "Proved: every interleaving of the statements was run, or is equivalent to one that was (pruned), and each is explained by a \
                 serial order. Waited, deadlocks and conflicts: interleavings in which somebody had to wait, was ended by the deadlock \
                 detector, or met a serialization failure (40001)."
            }
            @for (scene, explorations) in view::by_scene(report) {
                h3.scene { (scene) }
                (wide(&scene, &html! {
                    table {
                        thead { (head()) }
                        tbody { @for exploration in &explorations { (row(exploration)) } }
                    }
                }))
                (remarks(&explorations))
            }
        }
    }
}

fn head() -> Markup {
    html! {
        tr {
            th.name scope="col" { "approach" }
            th scope="col" { "verdict" }
            th scope="col" { "claim" }
            @for head in ["interleavings", "pruned", "outcomes", "violations", "waited", "deadlocks", "conflicts"] {
                th.figure scope="col" { (head) }
            }
            th.figure scope="col" { "time" span.unit { " s" } }
        }
    }
}

fn row(exploration: &Exploration) -> Markup {
    let counts = [
        exploration.pruned,
        exploration.outcomes.len() as u64,
        exploration.violations,
        exploration.waited,
        exploration.deadlocks,
        exploration.conflicts,
    ];
    html! {
        tr {
            th.name scope="row" { (view::name(&exploration.subject)) }
            td { (verdict(exploration, &view::verdict(exploration))) }
            td { (claim(exploration.subject.claim)) }
            td.figure { (view::interleavings(exploration)) }
            @for count in counts { td.figure { (grouped(&count.to_string())) } }
            td.figure { (hundredths(exploration.elapsed_s)) }
        }
    }
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
        if let Some(last) = exploration.last.as_ref().filter(|_| !exploration.complete) {
            let text = html! {
                (view::share(exploration)) " of the interleavings were run; to go on: "
                code { (view::go_on(&exploration.subject, last)) }
            };
            items.push(remark(exploration, text));
        }
    }
    html! { @if !items.is_empty() { ul.soft { @for item in items { (item) } } } }
}

/// Verdicts by row and column.
#[must_use]
pub fn matrix(matrix: &VerdictMatrix<'_>) -> Markup {
    html! {
        section {
            h2 { (matrix.title) }
            (wide(&matrix.title, &html! {
                table {
                    thead { tr { td {} @for head in &matrix.heads { th scope="col" { (head) } } } }
                    tbody {
                        @for (name, cells) in &matrix.rows {
                            tr {
                                th.name scope="row" { (name) }
                                @for cell in cells {
                                    @match cell {
                                        Some(exploration) => td { (verdict(exploration, &view::short_verdict(exploration))) },
                                        None => td.soft { (NONE) },
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

/// Where an interleaving can be looked at step by step, if anywhere.
pub type PlayerLink = fn(&Subject, &Schedule) -> Option<String>;

/// A page that is read offline has nowhere to go.
pub const NO_LINK: PlayerLink = |_, _| None;

/// The distinct outcomes, folded.
#[must_use]
pub fn outcomes(exploration: &Exploration, name: Option<&str>, link: PlayerLink) -> Markup {
    let outcomes = &exploration.outcomes;
    let distinct = view::counted(outcomes.len() as u64, "distinct outcome");
    let of = view::counted(exploration.interleavings, "interleaving");
    html! {
        details {
            summary { @if let Some(name) = name { (name) ": " } (distinct) " of " (of) }
            (wide(&format!("Outcomes of {}", view::title(&exploration.subject)), &html! {
                table {
                    thead {
                        tr {
                            th.figure scope="col" { "times" } th scope="col" { "outcome" } th scope="col" { "wrong" }
                            th scope="col" { "such as" }
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
