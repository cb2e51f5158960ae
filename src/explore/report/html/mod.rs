//! The page of an exploration, in the frame of [`report::html`](crate::report::html).

pub(crate) mod evidence;
pub mod tables;

use maud::{Markup, html};

use super::{matrix, table, view};
use crate::explore::findings::{Exploration, ExploreReport};
use crate::report::INTERRUPTED;
use crate::report::html::{document, warnings};

/// The style sheet of what it has beyond the frame.
pub const STYLE: &str = include_str!("style.css");

/// The page.
#[must_use]
pub fn page(report: &ExploreReport) -> String {
    let title = title(report);
    let body = html! {
        (heading(report, &title))
        main {
            @if let Some(overview) = matrix::overview(report) { (tables::matrix(&overview)) }
            (tables::explorations(report))
            @for levels in matrix::by_isolation(report) { (tables::matrix(&levels)) }
            (evidence::section(report))
            (outcomes_without_witness(report))
        }
    };
    document(&format!("{title} · {} · concurrency-lab", report.started), STYLE, &body)
}

/// The scenario, if there is only one.
#[must_use]
pub fn title(report: &ExploreReport) -> String {
    let mut names: Vec<&str> = report.explorations.iter().map(|one| one.subject.scenario.as_str()).collect();
    names.dedup();
    match names[..] {
        [only] => format!("{only}, every interleaving"),
        _ => "Every interleaving".to_owned(),
    }
}

fn heading(report: &ExploreReport, title: &str) -> Markup {
    html! {
        header {
            h1 { (title) }
            p.tally { (view::verdict_counts(&report.explorations.iter().map(|one| (one.verdict, one.contradicts_claim())))) }
            p { (table::heading(report)) }
            p.soft { (report.started) " · concurrency-lab " (report.versions.lab) }
            @if report.interrupted { (warnings(&[INTERRUPTED])) }
        }
    }
}

/// The outcomes of those without a witness: the others have theirs beside the evidence.
fn outcomes_without_witness(report: &ExploreReport) -> Markup {
    let sound: Vec<&Exploration> = report.explorations.iter().filter(|one| one.witness.is_none()).collect();
    html! {
        @if !sound.is_empty() {
            section {
                h2 { "Outcomes where no anomaly was found" }
                @for (scene, explorations) in view::grouped(&sound) {
                    h3 { (scene) }
                    @for exploration in explorations { (tables::outcomes(exploration, Some(&view::name(&exploration.subject)), tables::NO_LINK)) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::report::sample;

    #[test]
    fn it_shows_every_exploration_and_the_evidence_of_what_is_broken() {
        let report = sample::report();
        let page = page(&report);
        for exploration in &report.explorations {
            assert!(page.contains(&view::name(&exploration.subject)));
            let replay = exploration.witness.as_ref().map(|witness| view::replay(&exploration.subject, witness));
            assert!(replay.is_none_or(|line| page.contains(&line)), "{:?}", exploration.subject);
        }
    }
}
