//! What is remembered of one experiment: enough for the history and for the matrix. The whole of it, with each second and each
//! step, is read again when its page is opened.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::explore::findings::{DistinctOutcome, Exploration, ExplorationVerdict as Proof, ExploreReport, Subject};
use crate::explore::report::view as explored;
use crate::explore::schedule::Schedule;
use crate::lab::reports::figures::median;
use crate::lab::reports::{conditions, view};
use crate::lab::results::{ApproachResult, Run, RunVerdict};
use referee::history::ClaimedSafety;

/// One experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct ArchiveEntry {
    /// Its folder's name, which is its address.
    pub id: String,
    /// When it began, in UTC (RFC 3339).
    pub started: String,
    /// How long it took, in s.
    pub elapsed_s: f64,
    /// It was ended early.
    pub interrupted: bool,
    /// Its results.
    pub found: ArchivedResult,
}

/// The results of an experiment.
#[derive(Debug, Clone, PartialEq)]
pub enum ArchivedResult {
    /// Of a run under load.
    Run(RunSummary),
    /// Of an exploration of interleavings.
    Exploration(Vec<ExplorationSummary>),
}

/// The results of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSummary {
    /// The scenario's name.
    pub scenario: String,
    /// How many servers the load was spread over.
    pub servers: usize,
    /// Whether they are the lab's own: a run on another service says nothing about the lab's approach of the same name.
    pub ours: bool,
    /// Whether a parameter was varied.
    pub swept: bool,
    /// Equal for runs that were made under the same conditions and so can be compared.
    pub conditions: u64,
    /// In the order of the run.
    pub results: Vec<ApproachSummary>,
}

/// What a run found about an approach.
#[derive(Debug, Clone, PartialEq)]
pub struct ApproachSummary {
    /// Its name.
    pub approach: String,
    /// Its claim at the time.
    pub claim: ClaimedSafety,
    /// The verdict, from claim and evidence together.
    pub verdict: RunVerdict,
    /// Its speed; `None` if it is broken or claimed broken, and so not ranked.
    pub cost: Option<ApproachCost>,
}

/// The cost of an approach: medians over its rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ApproachCost {
    /// Answers per second.
    pub rate_per_s: f64,
    /// 99th percentile of the latency, in µs.
    pub p99_us: f64,
}

/// What an exploration found about one subject.
#[derive(Debug, Clone, PartialEq)]
pub struct ExplorationSummary {
    /// What was explored.
    pub subject: Subject,
    /// Its verdict.
    pub verdict: Proof,
    /// How it contradicts the claim, if it does.
    pub contradiction: Option<String>,
    /// Interleavings that were run.
    pub interleavings: u64,
    /// The same as text, with the estimated total if not all were run.
    pub interleavings_text: String,
    /// The distinct outcomes, the most frequent first.
    pub outcomes: Vec<DistinctOutcome>,
    /// The anomalies, the gravest first.
    pub anomalies: Vec<String>,
    /// The shortest violating interleaving.
    pub witness: Option<Schedule>,
}

impl ArchiveEntry {
    /// The entry of a run.
    #[must_use]
    pub fn of_run(id: &str, run: &Run) -> Self {
        let summary = RunSummary {
            scenario: run.scenario.clone(),
            servers: run.environment.targets.len().max(1),
            ours: run.environment.server.is_some(),
            swept: run.sweep.is_some(),
            conditions: conditions_of(run),
            results: run.results.iter().map(ApproachSummary::of).collect(),
        };
        Self {
            id: id.to_owned(),
            started: run.started.clone(),
            elapsed_s: run.elapsed_s,
            interrupted: run.interrupted,
            found: ArchivedResult::Run(summary),
        }
    }

    /// The entry of an exploration.
    #[must_use]
    pub fn of_exploration(id: &str, report: &ExploreReport) -> Self {
        Self {
            id: id.to_owned(),
            started: report.started.clone(),
            elapsed_s: report.elapsed_s,
            interrupted: report.interrupted,
            found: ArchivedResult::Exploration(report.explorations.iter().map(ExplorationSummary::of).collect()),
        }
    }

    /// Its distinct scenarios.
    #[must_use]
    pub fn scenarios(&self) -> Vec<&str> {
        match &self.found {
            ArchivedResult::Run(run) => vec![&run.scenario],
            ArchivedResult::Exploration(all) => distinct(all.iter().map(|one| one.subject.scenario.as_str())),
        }
    }

    /// Its distinct approaches.
    #[must_use]
    pub fn approaches(&self) -> Vec<&str> {
        match &self.found {
            ArchivedResult::Run(run) => distinct(run.results.iter().map(|result| result.approach.as_str())),
            ArchivedResult::Exploration(all) => distinct(all.iter().map(|one| one.subject.approach.as_str())),
        }
    }

    /// Whether it contradicts a claim.
    #[must_use]
    pub fn contradicts(&self) -> bool {
        match &self.found {
            ArchivedResult::Run(run) => run.results.iter().any(|result| result.verdict == RunVerdict::ClaimFailed),
            ArchivedResult::Exploration(all) => all.iter().any(|one| one.contradiction.is_some()),
        }
    }
}

/// A hash of all conditions that `compare` requires to be equal.
fn conditions_of(run: &Run) -> u64 {
    let mut hasher = DefaultHasher::new();
    (conditions::settings(run), conditions::environment(run)).hash(&mut hasher);
    hasher.finish()
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut known = Vec::new();
    for name in names.filter(|name| !name.is_empty()) {
        if !known.contains(&name) {
            known.push(name);
        }
    }
    known
}

impl ApproachSummary {
    fn of(result: &ApproachResult) -> Self {
        let cost = || {
            let rate_per_s = result.spread(|round| round.rate_per_s).median;
            let p99_us = median(result, |round| round.latency.p99_us);
            (rate_per_s.is_finite() && p99_us.is_finite()).then_some(ApproachCost { rate_per_s, p99_us })
        };
        Self {
            approach: result.approach.clone(),
            claim: result.claim,
            verdict: result.verdict,
            cost: view::is_ranked(result).then(cost).flatten(),
        }
    }
}

impl ExplorationSummary {
    fn of(exploration: &Exploration) -> Self {
        let witness = exploration.witness.as_ref();
        Self {
            subject: exploration.subject.clone(),
            verdict: exploration.verdict,
            contradiction: explored::contradiction(exploration),
            interleavings: exploration.interleavings,
            interleavings_text: explored::interleavings(exploration),
            outcomes: exploration.outcomes.clone(),
            anomalies: explored::anomalies(exploration).into_iter().map(str::to_owned).collect(),
            witness: witness.map(|witness| witness.transcript.schedule.clone()),
        }
    }
}
