//! What is remembered of one experiment: enough for the history and for the matrix. The whole of it, with each second and each
//! step, is read again when somebody opens it.

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
    /// What it found.
    pub found: ArchivedResult,
}

/// What it found.
#[derive(Debug, Clone, PartialEq)]
pub enum ArchivedResult {
    /// Under load.
    Run(RunSummary),
    /// By running every interleaving.
    Exploration(Vec<ExplorationSummary>),
}

/// A run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSummary {
    /// The scenario's name.
    pub scenario: String,
    /// Servers that were raced as one.
    pub servers: usize,
    /// Whether they are ours: what a service of somebody else did says nothing about our approach of the same name.
    pub ours: bool,
    /// A parameter was varied.
    pub swept: bool,
    /// Runs with the same number here were made under the same conditions, and can be compared.
    pub conditions: u64,
    /// In the order of the run.
    pub results: Vec<ApproachSummary>,
}

/// What a run found of an approach.
#[derive(Debug, Clone, PartialEq)]
pub struct ApproachSummary {
    /// Its name.
    pub approach: String,
    /// What was claimed of it.
    pub claim: ClaimedSafety,
    /// Claim and evidence together.
    pub verdict: RunVerdict,
    /// Its speed, if it may be ranked.
    pub cost: Option<ApproachCost>,
}

/// What an approach costs: medians over its rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ApproachCost {
    /// Answers a second.
    pub rate_per_s: f64,
    /// 99th percentile of latency, in µs.
    pub p99_us: f64,
}

/// What an exploration found of one subject.
#[derive(Debug, Clone, PartialEq)]
pub struct ExplorationSummary {
    /// What was explored.
    pub subject: Subject,
    /// What it proves.
    pub verdict: Proof,
    /// How the claim fails, if it does.
    pub contradiction: Option<String>,
    /// Interleavings that were run.
    pub interleavings: u64,
    /// The same in words, with how many there are if not all were run.
    pub interleavings_told: String,
    /// What came out, the most frequent first.
    pub outcomes: Vec<DistinctOutcome>,
    /// What is wrong, the gravest first.
    pub anomalies: Vec<String>,
    /// The shortest interleaving that shows it.
    pub witness: Option<Schedule>,
}

impl ArchiveEntry {
    /// Of a run.
    #[must_use]
    pub fn of_run(id: &str, run: &Run) -> Self {
        let raced = RunSummary {
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
            found: ArchivedResult::Run(raced),
        }
    }

    /// Of an exploration.
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

    /// The scenarios in it, once each.
    #[must_use]
    pub fn scenarios(&self) -> Vec<&str> {
        match &self.found {
            ArchivedResult::Run(raced) => vec![&raced.scenario],
            ArchivedResult::Exploration(all) => once_each(all.iter().map(|one| one.subject.scenario.as_str())),
        }
    }

    /// The approaches in it, once each.
    #[must_use]
    pub fn approaches(&self) -> Vec<&str> {
        match &self.found {
            ArchivedResult::Run(raced) => once_each(raced.results.iter().map(|result| result.approach.as_str())),
            ArchivedResult::Exploration(all) => once_each(all.iter().map(|one| one.subject.approach.as_str())),
        }
    }

    /// Whether it contradicts a claim.
    #[must_use]
    pub fn contradicts(&self) -> bool {
        match &self.found {
            ArchivedResult::Run(raced) => raced.results.iter().any(|result| result.verdict == RunVerdict::ClaimFailed),
            ArchivedResult::Exploration(all) => all.iter().any(|one| one.contradiction.is_some()),
        }
    }
}

/// A hash of all that `compare` wants to be alike.
fn conditions_of(run: &Run) -> u64 {
    let mut hasher = DefaultHasher::new();
    (conditions::settings(run), conditions::environment(run)).hash(&mut hasher);
    hasher.finish()
}

fn once_each<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
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
            interleavings_told: explored::interleavings(exploration),
            outcomes: exploration.outcomes.clone(),
            anomalies: explored::anomalies(exploration).into_iter().map(str::to_owned).collect(),
            witness: witness.map(|witness| witness.transcript.schedule.clone()),
        }
    }
}
