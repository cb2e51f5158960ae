//! The pieces of an exploration: what is being explored, and the verdicts of what is explored.

use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::snapshot::LiveExploration;
use crate::explore::findings::{Exploration, Servers, ViolationWitness};
use crate::explore::report::view;
use crate::lab::reports::view::claim;
use crate::report::figures::{NONE, counted, float, hundredths, whole};

/// How far it is.
pub fn sentence(search: &LiveExploration) -> Markup {
    html! {
        "Exploring: " (search.done.len()) " of " (counted(search.planned, "exploration")) " "
        @if search.planned == 1 { "is" } @else { "are" } " done."
        @if search.contradictions() > 0 { " " strong { (search.contradictions()) " not as claimed." } }
    }
}

/// What is being explored.
pub fn now(search: &LiveExploration) -> Markup {
    html! {
        p.progress {
            progress max=(search.planned.max(1)) value=(search.done.len()) aria-label="Explorations that are done" {}
            " " span.figure { (search.done.len()) " of " (search.planned) } " explorations"
        }
        @for (job, (subject, interleavings, estimate)) in &search.under_way {
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

/// What is explored.
pub fn done(search: &LiveExploration) -> Markup {
    html! {
        @if !search.done.is_empty() {
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
                        th scope="col" { "witness" }
                    }
                }
                tbody { @for (job, exploration) in &search.done { (row(*job, exploration)) } }
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
                    Some(witness) => a id={ "witness-" (job) } href=(player(exploration, witness)) {
                        "play " code { (witness.transcript.schedule) }
                    },
                    None => (NONE),
                }
            }
        }
    }
}

/// Where the witness is played.
fn player(exploration: &Exploration, witness: &ViolationWitness) -> String {
    let subject = &exploration.subject;
    let encoded = |text: &str| utf8_percent_encode(text, &QUERY).to_string();
    let servers = match subject.servers {
        Some(Servers::Each) => "each",
        Some(Servers::One) | None => "one",
    };
    format!(
        "/lab/player?approach={}&scenario={}&clients={}&servers={servers}&schedule={}",
        encoded(&subject.approach),
        encoded(&subject.scenario),
        subject.clients,
        witness.transcript.schedule
    )
}

/// What is encoded in a query; hyphens, of which our names are full, need not be.
const QUERY: percent_encoding::AsciiSet = NON_ALPHANUMERIC.remove(b'-');
