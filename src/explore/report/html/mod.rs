//! The page of an exploration: one file, offline, without script, light and dark, in the style of a run's `report.html`.

pub(crate) mod evidence;
pub mod tables;

use maud::{Markup, html};

use super::{matrix, table, view};
use crate::explore::findings::{Exploration, ExplorationVerdict, ExploreReport};
use crate::lab::reports::html::document;

/// The style sheet of what it has beyond a run's page.
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
            (outcomes_of_the_sound(report))
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
            p.tally { (tally(&report.explorations.iter().map(|one| (one.verdict, one.contradicts_claim())))) }
            p { (table::heading(report)) }
            p.soft { (report.started) " · concurrency-lab " (report.versions.lab) }
            @if report.interrupted { p.warning role="note" { "Interrupted: what is here is what there was." } }
        }
    }
}

/// How many of which verdict, the worst first; of each, whether it contradicts its claim.
#[must_use]
pub fn tally(found: &(impl Iterator<Item = (ExplorationVerdict, bool)> + Clone)) -> Markup {
    let failed = found.clone().filter(|(_, contradicts)| *contradicts).count();
    let count = |verdict| found.clone().filter(|(other, contradicts)| *other == verdict && !contradicts).count();
    let verdicts = [
        (ExplorationVerdict::Undecided, "undecided"),
        (ExplorationVerdict::Broken, "broken"),
        (ExplorationVerdict::HeldSoFar, "held so far"),
        (ExplorationVerdict::Proved, "proved"),
    ];
    html! {
        @if failed > 0 { span.verdict.failed { "✗ " (failed) " CLAIM FAILED" } " " }
        @for (verdict, name) in verdicts {
            @if count(verdict) > 0 { span class=(class(verdict)) { (symbol(verdict)) " " (count(verdict)) " " (name) } " " }
        }
    }
}

/// What came out where nothing is wrong: of the others it stands beside the evidence.
fn outcomes_of_the_sound(report: &ExploreReport) -> Markup {
    let sound: Vec<&Exploration> = report.explorations.iter().filter(|one| one.witness.is_none()).collect();
    html! {
        @if !sound.is_empty() {
            section {
                h2 { "Outcomes of the others" }
                @for (scene, explorations) in view::grouped(&sound) {
                    h3 { (scene) }
                    @for exploration in explorations { (tables::outcomes(exploration, Some(&view::name(&exploration.subject)), tables::NO_LINK)) }
                }
            }
        }
    }
}

/// A sign beside the colour.
#[must_use]
pub fn symbol(verdict: ExplorationVerdict) -> &'static str {
    match verdict {
        ExplorationVerdict::Proved => "✓",
        ExplorationVerdict::Broken => "✗",
        ExplorationVerdict::HeldSoFar => "○",
        ExplorationVerdict::Undecided => "?",
    }
}

/// The classes of a verdict in the style sheet.
#[must_use]
pub fn class(verdict: ExplorationVerdict) -> &'static str {
    match verdict {
        ExplorationVerdict::Proved => "verdict good",
        ExplorationVerdict::Broken => "verdict bad",
        ExplorationVerdict::HeldSoFar | ExplorationVerdict::Undecided => "verdict open",
    }
}

/// The verdict of an exploration with its sign, and whether it contradicts the claim.
#[must_use]
pub fn verdict(exploration: &Exploration, text: &str) -> Markup {
    html! {
        span class=(class(exploration.verdict)) { (symbol(exploration.verdict)) " " (text) }
        @if exploration.contradicts_claim() { " " span.verdict.failed { "CLAIM FAILED" } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::report::sample;

    #[test]
    fn a_page_loads_nothing_and_runs_nothing() {
        for report in [sample::report(), sample::levels(), sample::hostile(), sample::nothing()] {
            let page = page(&report);
            assert!(page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'\""));
            for forbidden in ["<script", "http:", "https:", " src=", "@import", "javascript:", " onload", "NaN"] {
                assert!(!page.contains(forbidden), "{forbidden}");
            }
        }
    }

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
