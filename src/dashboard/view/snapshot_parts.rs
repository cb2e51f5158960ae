//! A snapshot of the experiment as parts of a page.

use std::sync::Arc;

use maud::{Markup, PreEscaped, Render, html};

use super::links::{self, moment};
use super::render_cache::RenderCache;
use super::{exploration_progress, run_progress};
use crate::dashboard::model::experiment_request::ExperimentKind;
use crate::dashboard::model::snapshot::{
    ExperimentEnding, ExperimentFindings, ExperimentPhase, ExperimentState, Snapshot, SnapshotVersion,
};
use crate::report::printable::printable;

/// The number of parts.
pub const PARTS: usize = 4;

/// The part with the phase, in a sentence.
pub const PHASE: &str = "experiment-phase";

/// The part with the results.
pub const RESULTS: &str = "experiment-results";

/// The ids of their elements, from the top of the page.
const IDS: [&str; PARTS] = ["experiment-title", PHASE, "experiment-now", RESULTS];

/// The parts of one snapshot.
#[derive(Debug)]
pub struct PageParts([PagePart; PARTS]);

/// A part: finished markup.
#[derive(Debug)]
pub struct PagePart(Arc<str>);

impl PagePart {
    /// Its text.
    pub fn shared(&self) -> &Arc<str> {
        &self.0
    }
}

impl Render for PagePart {
    fn render_to(&self, buffer: &mut String) {
        buffer.push_str(&self.0);
    }
}

impl PageParts {
    /// Each part with the id of its element.
    pub fn with_ids(&self) -> [(&'static str, &PagePart); PARTS] {
        std::array::from_fn(|at| (IDS[at], &self.0[at]))
    }
}

/// The parts of the newest snapshot, rendered once for all viewers.
pub type SnapshotMarkup = RenderCache<SnapshotVersion, PageParts>;

/// The parts of a snapshot.
#[must_use]
pub fn parts(snapshot: &Snapshot, markup: &SnapshotMarkup) -> Arc<PageParts> {
    markup.get(snapshot.version, || {
        let parts = match &snapshot.experiment {
            None => nothing(),
            Some(state) => all(state),
        };
        PageParts(parts.map(|PreEscaped(text)| PagePart(text.into())))
    })
}

/// The phase of the newest experiment in a sentence, for pages that do not show the rest. The script keeps it up to date.
#[must_use]
pub fn progress(snapshot: &Snapshot, markup: &SnapshotMarkup) -> Markup {
    let parts = parts(snapshot, markup);
    let phase = parts.with_ids().into_iter().find(|(id, _)| *id == PHASE);
    html! {
        @if let Some((id, part)) = phase {
            section.progress-line aria-label="The newest experiment" hidden[snapshot.experiment.is_none()] {
                div id=(id) role="status" data-reload="" { (part) }
            }
        }
    }
}

fn nothing() -> [Markup; PARTS] {
    let title = html! { h2 { "No experiment has been started yet" } };
    let phase = html! {
        p data-phase="none" {
            "Choose a scenario below. Press " strong { "Run" } " to put the approaches under load, or "
            strong { "Explore" } " to run every interleaving of a few clients. The results appear here while the experiment is under way."
        }
    };
    [title, phase, html! {}, html! {}]
}

fn all(state: &ExperimentState) -> [Markup; PARTS] {
    let (now, results) = match &state.findings {
        ExperimentFindings::Run(run) => (run_progress::now(run, state.is_over()), run_progress::results(run)),
        ExperimentFindings::Exploration(exploration) => {
            (exploration_progress::now(exploration), exploration_progress::results(exploration))
        }
    };
    [title(state), phase(state), now, results]
}

fn title(state: &ExperimentState) -> Markup {
    let request = &state.request;
    html! {
        h2 { @match request.kind { ExperimentKind::Run => "Run: ", ExperimentKind::Explore => "Exploration: " } (request.title) }
        p.soft {
            @for (name, value) in &request.settings { (name) ": " (value) " · " }
            "started " time.whole datetime=(state.started) { (moment(&state.started)) }
        }
        @for warning in &state.warnings { p.warning role="note" { (printable(warning)) } }
    }
}

fn phase(state: &ExperimentState) -> Markup {
    let (name, text) = match &state.phase {
        ExperimentPhase::Preparing => ("starting", html! { "Preparing the database for experiments." }),
        ExperimentPhase::Starting => ("starting", html! { "Starting the experiment's process." }),
        ExperimentPhase::Running => ("running", under_way(state)),
        ExperimentPhase::Stopping => {
            ("stopping", html! { "Stopping: the experiment waits for pending answers and saves its results." })
        }
        ExperimentPhase::Ended(ending) => ("ended", ended(ending)),
    };
    html! {
        p.phase data-phase=(name) { (text) }
        @if let ExperimentPhase::Ended(ExperimentEnding::Failed(reason)) = &state.phase { pre.reason tabindex="0" { (lines(reason)) } }
        @if let Some(folder) = &state.saved {
            p { "The results are saved: " a #experiment-saved href=(links::experiment(folder)) { (folder) } }
        }
    }
}

fn under_way(state: &ExperimentState) -> Markup {
    match &state.findings {
        ExperimentFindings::Run(run) => run_progress::sentence(run),
        ExperimentFindings::Exploration(exploration) => exploration_progress::sentence(exploration),
    }
}

fn ended(ending: &ExperimentEnding) -> Markup {
    match ending {
        ExperimentEnding::AsClaimed => html! { span.verdict.good { "✓ Ended" } ": every result is as claimed." },
        ExperimentEnding::Otherwise(how) => html! { span.verdict.bad { "✗ Ended" } ": " (lines(how)) },
        ExperimentEnding::Stopped => {
            html! { span.verdict.open { "○ Stopped" } " before its end: the last round or exploration is incomplete." }
        }
        ExperimentEnding::Failed(_) => {
            html! { span.verdict.failed { "Failed" } ": the experiment ended with an error:" }
        }
    }
}

/// Text from another process: line breaks are kept, other control characters are shown as escapes.
fn lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dashboard::model::ExperimentEvent;
    use crate::dashboard::model::experiment_request::ExperimentRequest;
    use crate::feed::{LiveSlice, LiveWaits, OutcomeCounts, PoolGauges};
    use crate::lab::reports::sample;
    use referee::history::{ClaimedSafety, RoundTitle};

    fn state(body: serde_json::Value) -> ExperimentState {
        let serde_json::Value::Object(fields) = body else { panic!("an object") };
        ExperimentState::new(Arc::new(ExperimentRequest::read(fields).unwrap()), "2026-01-02T03:04:05Z".to_owned())
    }

    fn shown(state: &ExperimentState) -> String {
        let version = SnapshotVersion { epoch: 1, experiment: 1, state: 1 };
        let snapshot = Snapshot { version, experiment: Some(state.clone()) };
        parts(&snapshot, &SnapshotMarkup::default()).with_ids().map(|(_, part)| part.shared().to_string()).join("\n")
    }

    fn title(approach: &str, claim: ClaimedSafety, round: u32) -> RoundTitle {
        let (scenario, approach) = ("withdrawal".to_owned(), approach.to_owned());
        RoundTitle { scenario, approach, claim, servers: 1, round, point: None }
    }

    #[test]
    fn a_run_is_shown_from_its_events() {
        let mut state = state(json!({"kind": "run", "scenario": "withdrawal", "approaches": ["naive", "pessimistic"]}));
        assert!(shown(&state).contains("Preparing the database"));
        let approaches = ["naive", "pessimistic"].map(str::to_owned).to_vec();
        state.apply(ExperimentEvent::Race { rounds: 2, approaches, not_offered: Vec::new() });
        let (requests, duration_ms) = (Some(100), None);
        state.apply(ExperimentEvent::RoundBegins {
            title: title("naive", ClaimedSafety::Broken, 1),
            requests,
            duration_ms,
        });
        for number in 0..2 {
            let counts = OutcomeCounts { done: 20, refused: 4, gave_up: 1, other: 0, retried: 3 };
            let waits = Some(LiveWaits { traced: 1, pool_us: 900.0, ..LiveWaits::default() });
            let (from_ms, to_ms) = (number * 250, (number + 1) * 250);
            state.apply(ExperimentEvent::Tick(LiveSlice { from_ms, to_ms, counts, latencies: vec![(20, 24)], waits }));
        }
        state.apply(ExperimentEvent::Pool(PoolGauges {
            in_use: 4,
            limit: 32,
            waiting_for_row: 250,
            ..PoolGauges::default()
        }));
        let text = shown(&state);
        for expected in [
            "round 1 of 2: ",
            "naive",
            ">40<",
            ">8<",
            ">2<",
            ">6<",
            "4 of 32",
            ">250<",
            "live-latency-title",
            "live-waits-title",
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        let run = sample::run();
        let broken = run.results.iter().find(|result| result.approach == "naive").unwrap();
        state.apply(ExperimentEvent::Judging);
        assert!(shown(&state).contains("the referee"), "{}", shown(&state));
        let round = Box::new(broken.rounds[0].clone());
        state.apply(ExperimentEvent::RoundEnds { title: title("naive", ClaimedSafety::Broken, 1), round });
        assert!(shown(&state).contains("✗ BROKEN"));
        state.apply(ExperimentEvent::Saved { folder: "1700000000-7".to_owned() });
        state.phase = ExperimentPhase::Ended(ExperimentEnding::AsClaimed);
        let text = shown(&state);
        assert!(text.contains("href=\"/lab/runs/1700000000-7\"") && text.contains("as claimed"), "{text}");
        assert!(text.contains(">40<"), "the last state stays: {text}");
        assert!(!text.contains(" style="), "the content security policy forbids it");
    }

    #[test]
    fn an_exploration_is_shown_from_its_events() {
        let mut state = state(json!({"kind": "explore", "scenario": "last-money"}));
        state.apply(ExperimentEvent::Plan { explorations: 3 });
        let report = crate::explore::report::sample::report();
        let broken = report.explorations.iter().find(|found| found.witness.is_some()).unwrap();
        let subject = broken.subject.clone();
        state.apply(ExperimentEvent::Exploring { job: 2, subject: subject.clone(), interleavings: 5, estimate: 20.0 });
        let text = shown(&state);
        assert!(text.contains("0 of 3 explorations") && text.contains("5 of about 20"), "{text}");
        state.apply(ExperimentEvent::Explored { job: 2, exploration: Box::new(broken.clone()) });
        let (text, schedule) = (shown(&state), &broken.witness.as_ref().unwrap().transcript.schedule);
        assert!(text.contains("1 of 3 explorations") && !text.contains("5 of about"), "{text}");
        assert!(text.contains(&format!("/lab/player?approach={}&amp;scenario={}", subject.approach, subject.scenario)));
        assert!(text.contains(&format!("&amp;schedule={schedule}")), "{text}");
    }

    #[test]
    fn text_of_another_process_is_escaped() {
        let mut state = state(json!({"kind": "run", "scenario": "mixed"}));
        state.apply(ExperimentEvent::Warning { text: "<b>\u{1b}[31mred".to_owned() });
        state.phase =
            ExperimentPhase::Ended(ExperimentEnding::Failed("no initdb\r\n<script>alert(1)</script>".to_owned()));
        let text = shown(&state);
        assert!(text.contains("&lt;b&gt;\\u{1b}[31mred"), "{text}");
        assert!(text.contains("no initdb\n&lt;script&gt;") && !text.contains('\r'), "{text}");
    }
}
