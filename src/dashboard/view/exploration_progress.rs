//! How far an exploration is: the subjects under way, and the verdicts of those that are done.

use maud::{Markup, html};

use super::links;
use crate::dashboard::model::snapshot::LiveExploration;
use crate::explore::findings::Exploration;
use crate::explore::report::view;
use crate::lab::reports::view::claim;
use crate::report::figures::{NONE, counted, float, hundredths, whole};

/// The progress in a sentence.
pub fn sentence(live: &LiveExploration) -> Markup {
    html! {
        "Exploring: " (live.done.len()) " of " (counted(live.planned, "exploration")) " "
        @if live.planned == 1 { "is" } @else { "are" } " done."
        @if live.contradictions() > 0 { " " strong { (live.contradictions()) " contradict their claim." } }
    }
}

/// The explorations under way.
pub fn now(live: &LiveExploration) -> Markup {
    html! {
        p.progress {
            progress max=(live.planned.max(1)) value=(live.done.len()) aria-label="Explorations that are done" {}
            " " span.figure { (live.done.len()) " of " (live.planned) } " explorations"
        }
        @for (job, (subject, interleavings, estimate)) in &live.under_way {
            @let estimate = estimate.max(float(*interleavings)).max(1.0);
            p.progress {
                progress max=(whole(estimate)) value=(interleavings) aria-labelledby={ "exploring-" (job) } {}
                " " span id={ "exploring-" (job) } {
                    (view::title(subject)) ": " span.figure { (interleavings) " of about " (whole(estimate)) } " interleavings"
                }
            }
        }
    }
}

/// The explorations that are done.
pub fn results(live: &LiveExploration) -> Markup {
    html! {
        @if !live.done.is_empty() {
            h3 { "Explored" }
            table {
                thead {
                    tr {
                        th scope="col" { "verdict" }
                        th.name scope="col" { "approach" }
                        th scope="col" { "scenario" }
                        th scope="col" { "claim" }
                        th.figure scope="col" { "interleavings" }
                        th.figure scope="col" { "violations" }
                        th.figure scope="col" { "time" span.unit { " s" } }
                        th scope="col" { "violating schedule" }
                    }
                }
                tbody { @for (job, exploration) in &live.done { (row(*job, exploration)) } }
            }
        }
    }
}

fn row(job: u64, exploration: &Exploration) -> Markup {
    html! {
        tr {
            td { (view::mark(exploration).html(&view::verdict(exploration))) }
            th.name scope="row" { (view::name(&exploration.subject)) }
            td { (exploration.subject.scenario) }
            td { (claim(exploration.subject.claim)) }
            td.figure { (view::interleavings(exploration)) }
            td.figure { (exploration.violations) }
            td.figure { (hundredths(exploration.elapsed_s)) }
            td {
                @match &exploration.witness {
                    Some(witness) => @match links::player(&exploration.subject, &witness.transcript.schedule) {
                        Some(link) => a id={ "witness-" (job) } href=(link) { "play " code { (witness.transcript.schedule) } },
                        None => code { (witness.transcript.schedule) },
                    },
                    None => (NONE),
                }
            }
        }
    }
}
