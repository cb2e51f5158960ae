//! What enumeration found of an approach: how many interleavings, their distinct outcomes, and an example of each outcome to play.

use std::sync::Arc;

use maud::{Markup, html};
use strum::IntoEnumIterator as _;

use super::evidence_cell::anomaly;
use super::links::{experiment, player};
use crate::dashboard::model::archive::ArchiveListing;
use crate::dashboard::model::archive::entry::{ArchiveEntry, ExplorationSummary};
use crate::dashboard::model::archive::evidence::Evidence;
use crate::explore::findings::ExplorationVerdict;
use crate::explore::report::view::mark_of;
use crate::report::figures::NONE;
use crate::report::html::wide;
use crate::strategy::Approach;
use charts::scale::grouped;
use domain::Workload;

/// The section.
pub fn section(listing: &ArchiveListing, approach: Approach) -> Markup {
    let all: Vec<(&str, &ExplorationSummary)> = explored(&listing.entries, approach);
    html! {
        section #interleavings {
            h2 { "Interleavings" }
            @if all.is_empty() {
                p.soft { "Not explored yet. " a href="/" { "Explore interleavings" } " on the overview." }
            } @else {
                p.soft {
                    "The newest exploration of each scenario. Each outcome is listed with the number of interleavings that end in it, and a link \
                     that plays one of them."
                }
                (wide("Interleavings", &table(&all)))
            }
        }
    }
}

fn explored(entries: &[Arc<ArchiveEntry>], approach: Approach) -> Vec<(&str, &ExplorationSummary)> {
    Workload::iter().flat_map(|workload| Evidence::of(entries, approach, workload).explored).collect()
}

fn table(all: &[(&str, &ExplorationSummary)]) -> Markup {
    html! {
        table {
            thead {
                tr {
                    th.name scope="col" { "scenario" }
                    th scope="col" { "verdict" }
                    th.figure scope="col" { "clients" }
                    th scope="col" { "servers" }
                    th.figure scope="col" { "interleavings" }
                    th scope="col" { "outcomes" }
                    th scope="col" { "experiment" }
                }
            }
            tbody { @for (id, one) in all { (row(id, one)) } }
        }
    }
}

fn row(id: &str, one: &ExplorationSummary) -> Markup {
    let subject = &one.subject;
    html! {
        tr {
            th.name scope="row" {
                (subject.scenario) @if let Some(crash) = subject.crash { span.soft { ", " (crash) } }
            }
            td { (verdict(one)) }
            td.figure { (subject.clients) }
            td { (subject.servers.map_or(NONE.to_owned(), |servers| servers.to_string())) }
            td.figure { (one.interleavings_text) }
            td { (outcomes(one)) }
            td { a href=(experiment(id)) { (id) } }
        }
    }
}

fn verdict(one: &ExplorationSummary) -> Markup {
    let word = match one.verdict {
        ExplorationVerdict::Proved => "proved".to_owned(),
        ExplorationVerdict::Broken => one.anomalies.first().map_or("broken".to_owned(), |name| anomaly(name)),
        ExplorationVerdict::HeldSoFar => "held so far (not every interleaving was run)".to_owned(),
        ExplorationVerdict::Undecided => "undecided (an interleaving could not be run to its end)".to_owned(),
        ExplorationVerdict::DependsOnTime => "depends on the time that something takes".to_owned(),
        ExplorationVerdict::NotJudged => "not judged".to_owned(),
    };
    let text = mark_of(one.verdict).html(&word);
    let witness = one.witness.as_ref().and_then(|schedule| player(&one.subject, schedule));
    html! {
        (text)
        @if let Some(link) = witness { " " a href=(link) { "play it" span.hidden { " step by step: " (one.subject.scenario) } } }
        @if let Some(how) = &one.contradiction { " " span.verdict.failed { "CLAIM FAILED" } " " (how) }
    }
}

fn outcomes(one: &ExplorationSummary) -> Markup {
    html! {
        details {
            summary { (grouped(&one.outcomes.len().to_string())) " distinct outcomes" }
            ul.outcomes {
                @for outcome in &one.outcomes {
                    li {
                        span.figure { (grouped(&outcome.count.to_string())) " ×" } " "
                        @match player(&one.subject, &outcome.example) {
                            Some(link) => a href=(link) { code { (outcome.example) } },
                            None => code { (outcome.example) },
                        }
                        " "
                        @if outcome.anomalies.is_empty() { span.good { "✓ explained by a serial order" } }
                        @else { span.bad { "✗ " (outcome.anomalies.iter().map(|name| anomaly(name)).collect::<Vec<_>>().join(", ")) } }
                        @for line in &outcome.lines { div { (line) } }
                    }
                }
            }
        }
    }
}
