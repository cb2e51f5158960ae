//! A snapshot as pieces of a page. They are made once for each snapshot that anybody looks at, however many do.

use std::sync::Arc;

use maud::{Markup, PreEscaped, Render, html};

use super::request::ExperimentKind;
use super::snapshot::{ExperimentEnding, ExperimentFindings, ExperimentPhase, ExperimentState, Snapshot};
use super::{race, search};
use crate::dashboard::runs::moment;
use crate::report::figures::printable;

/// How many pieces there are.
pub const PARTS: usize = 4;

/// How far it is, in a sentence.
pub const PHASE: &str = "experiment-phase";

/// What is found already.
pub const DONE: &str = "experiment-done";

/// The elements that hold them, from the top of the page.
const IDS: [&str; PARTS] = ["experiment-what", PHASE, "experiment-now", DONE];

/// The pieces of one snapshot.
#[derive(Debug)]
pub struct PageParts([PagePart; PARTS]);

/// A piece: markup that is finished.
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
    /// Each piece with the id of its element.
    pub fn with_ids(&self) -> [(&'static str, &PagePart); PARTS] {
        std::array::from_fn(|at| (IDS[at], &self.0[at]))
    }
}

impl Snapshot {
    /// Its pieces.
    pub(super) fn parts(&self) -> &PageParts {
        self.parts.get_or_init(|| {
            let parts = match &self.experiment {
                None => nothing(),
                Some(state) => pieces(state),
            };
            PageParts(parts.map(|PreEscaped(text)| PagePart(text.into())))
        })
    }
}

fn nothing() -> [Markup; PARTS] {
    let what = html! { h2 { "Nothing has been started yet" } };
    let phase = html! {
        p data-phase="none" {
            "Choose a scenario below and press " strong { "Run" } " to put the approaches under load, or "
            strong { "Explore" } " to run every interleaving of a few clients. What happens is then shown here, as it happens."
        }
    };
    [what, phase, html! {}, html! {}]
}

fn pieces(state: &ExperimentState) -> [Markup; PARTS] {
    let (now, done) = match &state.found {
        ExperimentFindings::Run(found) => (race::now(found, state.is_over()), race::done(found)),
        ExperimentFindings::Exploration(found) => (search::now(found), search::done(found)),
    };
    [what(state), phase(state), now, done]
}

fn what(state: &ExperimentState) -> Markup {
    let order = &state.order;
    html! {
        h2 { @match order.kind { ExperimentKind::Run => "Run: ", ExperimentKind::Explore => "Exploration: " } (order.title) }
        p.soft {
            @for (name, value) in &order.settings { (name) ": " (value) " · " }
            "begun " time.whole datetime=(state.started) { (moment(&state.started)) }
        }
        @for warning in &state.warnings { p.warning role="note" { (printable(warning)) } }
    }
}

fn phase(state: &ExperimentState) -> Markup {
    let (name, text) = match &state.phase {
        ExperimentPhase::Preparing => ("starting", html! { "Preparing the database of experiments." }),
        ExperimentPhase::Starting => ("starting", html! { "Starting its process." }),
        ExperimentPhase::Running => ("running", under_way(state)),
        ExperimentPhase::Stopping => {
            ("stopping", html! { "Stopping: answers under way are still waited for, and what was found is saved." })
        }
        ExperimentPhase::Ended(ending) => ("ended", ended(ending)),
    };
    html! {
        p.phase data-phase=(name) { (text) }
        @if let ExperimentPhase::Ended(ExperimentEnding::Failed(reason)) = &state.phase { pre.reason tabindex="0" { (lines(reason)) } }
        @if let Some(folder) = &state.saved {
            p { "What was found is kept: " a #experiment-saved href={ "/lab/runs/" (folder) } { (folder) } }
        }
    }
}

fn under_way(state: &ExperimentState) -> Markup {
    match &state.found {
        ExperimentFindings::Run(found) => race::sentence(found),
        ExperimentFindings::Exploration(found) => search::sentence(found),
    }
}

fn ended(ending: &ExperimentEnding) -> Markup {
    match ending {
        ExperimentEnding::AsClaimed => html! { span.verdict.good { "✓ Ended" } ": everything is as claimed." },
        ExperimentEnding::Otherwise(how) => html! { span.verdict.bad { "✗ Ended" } ": " (lines(how)) },
        ExperimentEnding::Stopped => {
            html! { span.verdict.open { "○ Stopped" } " before its end: of what was under way there is only what came until then." }
        }
        ExperimentEnding::Failed(_) => {
            html! { span.verdict.failed { "Failed" } ": it could not go on. The reason, in its own words:" }
        }
    }
}

/// Text from another process: line breaks are kept, other control characters shown.
fn lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::ExperimentEvent;
    use super::super::request::ExperimentRequest;
    use super::super::snapshot::SnapshotVersion;
    use super::*;
    use crate::feed::{LiveSlice, LiveWaits, OutcomeCounts, PoolGauges};
    use crate::lab::reports::sample;
    use referee::history::{ClaimedSafety, RoundTitle};

    fn state(asked: serde_json::Value) -> ExperimentState {
        let serde_json::Value::Object(fields) = asked else { panic!("an object") };
        ExperimentState::new(Arc::new(ExperimentRequest::read(fields).unwrap()), "2026-01-02T03:04:05Z".to_owned())
    }

    fn shown(state: &ExperimentState) -> String {
        let snapshot = Snapshot::new(SnapshotVersion { epoch: 1, experiment: 1, state: 1 }, Some(state.clone()));
        snapshot.parts().with_ids().map(|(_, part)| part.shared().to_string()).join("\n")
    }

    fn title(approach: &str, claim: ClaimedSafety, round: u32) -> RoundTitle {
        let (scenario, approach) = ("withdrawal".to_owned(), approach.to_owned());
        RoundTitle { scenario, approach, claim, servers: 1, round, point: None }
    }

    #[test]
    fn a_run_is_folded_from_what_it_told() {
        let mut state = state(json!({"kind": "run", "scenario": "withdrawal", "approaches": ["naive", "pessimistic"]}));
        assert!(shown(&state).contains("Preparing the database"));
        let approaches = ["naive", "pessimistic"].map(str::to_owned).to_vec();
        state.hear(ExperimentEvent::Race { rounds: 2, approaches, not_offered: Vec::new() });
        let (requests, duration_ms) = (Some(100), None);
        state.hear(ExperimentEvent::RoundBegins {
            title: title("naive", ClaimedSafety::Broken, 1),
            requests,
            duration_ms,
        });
        for number in 0..2 {
            let tally = OutcomeCounts { done: 20, refused: 4, gave_up: 1, other: 0, retried: 3 };
            let waits = Some(LiveWaits { traced: 1, pool_us: 900.0, ..LiveWaits::default() });
            let (from_ms, to_ms) = (number * 250, (number + 1) * 250);
            state.hear(ExperimentEvent::Tick(LiveSlice { from_ms, to_ms, tally, latencies: vec![(20, 24)], waits }));
        }
        state.hear(ExperimentEvent::Pool(PoolGauges {
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
        state.hear(ExperimentEvent::Judging);
        assert!(shown(&state).contains("the referee"), "{}", shown(&state));
        let round = Box::new(broken.rounds[0].clone());
        state.hear(ExperimentEvent::RoundEnds { title: title("naive", ClaimedSafety::Broken, 1), round });
        assert!(shown(&state).contains("✗ BROKEN"));
        state.hear(ExperimentEvent::Saved { folder: "1700000000-7".to_owned() });
        state.phase = ExperimentPhase::Ended(ExperimentEnding::AsClaimed);
        let text = shown(&state);
        assert!(text.contains("href=\"/lab/runs/1700000000-7\"") && text.contains("as claimed"), "{text}");
        assert!(text.contains(">40<"), "the last state stays: {text}");
        assert!(!text.contains(" style="), "the policy of a page forbids it");
    }

    #[test]
    fn an_exploration_is_folded_from_what_it_told() {
        let mut state = state(json!({"kind": "explore", "scenario": "last-money"}));
        state.hear(ExperimentEvent::Plan { explorations: 3 });
        let report = crate::explore::report::sample::report();
        let broken = report.explorations.iter().find(|found| found.witness.is_some()).unwrap();
        let subject = broken.subject.clone();
        state.hear(ExperimentEvent::Exploring { job: 2, subject: subject.clone(), interleavings: 5, estimate: 20.0 });
        let text = shown(&state);
        assert!(text.contains("0 of 3 explorations") && text.contains("5 of about 20"), "{text}");
        state.hear(ExperimentEvent::Explored { job: 2, exploration: Box::new(broken.clone()) });
        let (text, schedule) = (shown(&state), &broken.witness.as_ref().unwrap().transcript.schedule);
        assert!(text.contains("1 of 3 explorations") && !text.contains("5 of about"), "{text}");
        assert!(text.contains(&format!("/lab/player?approach={}&amp;scenario={}", subject.approach, subject.scenario)));
        assert!(text.contains(&format!("&amp;schedule={schedule}")), "{text}");
    }

    #[test]
    fn what_another_process_says_is_shown_and_not_obeyed() {
        let mut state = state(json!({"kind": "run", "scenario": "mixed"}));
        state.hear(ExperimentEvent::Warning { text: "<b>\u{1b}[31mred".to_owned() });
        state.phase =
            ExperimentPhase::Ended(ExperimentEnding::Failed("no initdb\r\n<script>alert(1)</script>".to_owned()));
        let text = shown(&state);
        assert!(text.contains("&lt;b&gt;\\u{1b}[31mred"), "{text}");
        assert!(text.contains("no initdb\n&lt;script&gt;") && !text.contains('\r'), "{text}");
    }
}
