//! What the archive says about an approach under a workload.
//!
//! - **All runs count**, because a race may need many runs to show. A run that broke the approach always counts.
//! - **Only the newest exploration counts** of each scenario, number of clients, number of servers and kind of crash: repeating an enumeration
//!   adds nothing. An exploration at another isolation level or without a part of the SQL does not count, because that is no longer the
//!   approach; nor does an explore file.
//! - **All costs under a workload come from one run**, because figures from different conditions cannot be compared. It is the run with the
//!   most approaches, and of several the newest; stopped runs and sweeps do not count. An approach that this run does not rank has no cost.
//! - **Runs on other services** do not count.

use std::sync::Arc;

use strum::IntoEnumIterator as _;

use super::entry::{ApproachCost, ArchiveEntry, ArchivedResult, ExplorationSummary, RunSummary};
use crate::explore::scenario::ExploreScenario as Explorable;
use crate::lab::results::RunVerdict;
use crate::lab::scenario::Scenario;
use crate::strategy::Approach;
use domain::Workload;

/// The evidence about an approach under a workload.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Evidence<'a> {
    /// The newest explorations, in the order of their scenarios.
    pub explored: Vec<(&'a str, &'a ExplorationSummary)>,
    /// The runs, newest first.
    pub runs: Vec<RunEvidence<'a>>,
    /// The run that gives the costs of this workload, and the cost.
    pub cost: Option<(&'a str, ApproachCost)>,
}

/// What one run says about the approach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunEvidence<'a> {
    /// The run's id.
    pub id: &'a str,
    /// The gravest verdict in it.
    pub verdict: RunVerdict,
    /// How many servers the load was spread over.
    pub servers: usize,
}

impl<'a> Evidence<'a> {
    /// The evidence in these entries, which are ordered from the newest to the oldest.
    #[must_use]
    pub fn of(entries: &'a [Arc<ArchiveEntry>], approach: Approach, workload: Workload) -> Self {
        let mut evidence = Self::default();
        if let Some((entry, run)) = cost_run(entries, workload) {
            let cost =
                run.results.iter().filter(|result| result.approach == approach.name()).find_map(|result| result.cost);
            evidence.cost = cost.map(|cost| (entry.id.as_str(), cost));
        }
        for entry in entries {
            match &entry.found {
                ArchivedResult::Run(run) => {
                    if !is_run_of(run, workload) {
                        continue;
                    }
                    let of_approach = || run.results.iter().filter(|result| result.approach == approach.name());
                    let Some(verdict) = of_approach().map(|result| result.verdict).max() else { continue };
                    evidence.runs.push(RunEvidence { id: &entry.id, verdict, servers: run.servers });
                }
                ArchivedResult::Exploration(all) => {
                    for explored in all.iter().filter(|explored| is_about(explored, approach, workload)) {
                        if !evidence.explored.iter().any(|(_, newer)| same_question(newer, explored)) {
                            evidence.explored.push((&entry.id, explored));
                        }
                    }
                }
            }
        }
        evidence.explored.sort_by_key(|(_, explored)| reading_order(explored));
        evidence
    }

    /// Whether there is no evidence at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.explored.is_empty() && self.runs.is_empty()
    }

    /// The findings that contradict the claim, in words, each with the id of its experiment.
    #[must_use]
    pub fn contradictions(&self) -> Vec<(&'a str, String)> {
        let explored = self.explored.iter().filter_map(|(id, one)| {
            let how = one.contradiction.as_ref()?;
            Some((*id, format!("{}, {}", one.subject.scenario, how)))
        });
        let runs = self.runs.iter().filter(|run| run.verdict == RunVerdict::ClaimFailed);
        explored.chain(runs.map(|run| (run.id, "claimed safe, but a run broke it".to_owned()))).collect()
    }
}

fn is_run_of(run: &RunSummary, workload: Workload) -> bool {
    run.ours && run.scenario.parse::<Scenario>().is_ok_and(|scenario| scenario.workload() == workload)
}

/// The run that gives the costs in the column of a workload.
fn cost_run(entries: &[Arc<ArchiveEntry>], workload: Workload) -> Option<(&ArchiveEntry, &RunSummary)> {
    let complete = entries.iter().filter(|entry| !entry.interrupted).filter_map(|entry| match &entry.found {
        ArchivedResult::Run(run) if !run.swept && is_run_of(run, workload) => Some((entry.as_ref(), run)),
        ArchivedResult::Run(_) | ArchivedResult::Exploration(_) => None,
    });
    // Of several with as many approaches it takes the first, which is the newest.
    complete.reduce(|best, other| if other.1.results.len() > best.1.results.len() { other } else { best })
}

/// The order in which explorations are listed: by scenario, then without a crash first, then by clients, then one server first.
fn reading_order(explored: &ExplorationSummary) -> (Option<usize>, Option<u8>, u32, Option<u8>) {
    let subject = &explored.subject;
    let scenario = Explorable::iter().position(|scenario| scenario.to_string() == subject.scenario);
    let crash = subject.crash.map(|crash| crash as u8);
    (scenario, crash, subject.clients, subject.servers.map(|servers| servers as u8))
}

fn is_about(explored: &ExplorationSummary, approach: Approach, workload: Workload) -> bool {
    let subject = &explored.subject;
    let unmodified = subject.file.is_none() && subject.isolation.is_none() && subject.without.is_none();
    unmodified
        && subject.approach == approach.name()
        && subject.scenario.parse::<Explorable>().is_ok_and(|scenario| scenario.workload() == workload)
}

fn same_question(one: &ExplorationSummary, other: &ExplorationSummary) -> bool {
    let question = |explored: &ExplorationSummary| {
        let subject = &explored.subject;
        (subject.scenario.clone(), subject.clients, subject.servers, subject.crash)
    };
    question(one) == question(other)
}
