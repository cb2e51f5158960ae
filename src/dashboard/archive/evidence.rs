//! What the archive says about an approach under a workload.
//!
//! - **Runs are counted**, all of them: luck is a matter of how often. One that broke stays broken.
//! - **Of explorations the newest counts**, for each scenario, number of clients, place of the clients and kind of crash: an enumeration
//!   does not get truer by repeating it. What was made to have another isolation level, or was robbed of a piece of its SQL, is not
//!   the approach any more, and an explore file is none.
//! - **The costs under a workload are all of one run**, since figures that were taken under different conditions say nothing about each other:
//!   of the runs that came to their end and were no sweep, the one with the most approaches, and of several the newest. An approach that it
//!   does not rank has none.
//! - **Services of others** say nothing about ours.

use std::sync::Arc;

use strum::IntoEnumIterator as _;

use super::entry::{ApproachCost, ArchiveEntry, ArchivedResult, ExplorationSummary, RunSummary};
use crate::explore::scenario::ExploreScenario as Explorable;
use crate::lab::results::RunVerdict;
use crate::lab::scenario::Scenario;
use crate::strategy::Approach;
use domain::Workload;

/// What was found.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Evidence<'a> {
    /// The newest explorations, in the order of their scenarios.
    pub explored: Vec<(&'a str, &'a ExplorationSummary)>,
    /// The runs, newest first.
    pub raced: Vec<RunEvidence<'a>>,
    /// What it costs, and which run says so: for all approaches under one workload the same.
    pub cost: Option<(&'a str, ApproachCost)>,
}

/// What one run says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunEvidence<'a> {
    /// The run.
    pub id: &'a str,
    /// The gravest verdict in it.
    pub verdict: RunVerdict,
    /// Servers that were raced as one.
    pub servers: usize,
}

impl<'a> Evidence<'a> {
    /// What these entries, newest first, say about an approach under a workload.
    #[must_use]
    pub fn of(entries: &'a [Arc<ArchiveEntry>], approach: Approach, workload: Workload) -> Self {
        let mut evidence = Self::default();
        if let Some((entry, raced)) = yardstick(entries, workload) {
            let cost =
                raced.results.iter().filter(|result| result.approach == approach.name()).find_map(|result| result.cost);
            evidence.cost = cost.map(|cost| (entry.id.as_str(), cost));
        }
        for entry in entries {
            match &entry.found {
                ArchivedResult::Run(raced) => {
                    if !is_run_of(raced, workload) {
                        continue;
                    }
                    let of_approach = || raced.results.iter().filter(|result| result.approach == approach.name());
                    let Some(verdict) = of_approach().map(|result| result.verdict).max() else { continue };
                    evidence.raced.push(RunEvidence { id: &entry.id, verdict, servers: raced.servers });
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
        evidence.explored.sort_by_key(|(_, explored)| place(explored));
        evidence
    }

    /// Nothing was ever found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.explored.is_empty() && self.raced.is_empty()
    }

    /// What contradicts the claim, in words, each with its experiment.
    #[must_use]
    pub fn contradictions(&self) -> Vec<(&'a str, String)> {
        let explored = self.explored.iter().filter_map(|(id, one)| {
            let how = one.contradiction.as_ref()?;
            Some((*id, format!("{}, {}", one.subject.scenario, how)))
        });
        let raced = self.raced.iter().filter(|race| race.verdict == RunVerdict::ClaimFailed);
        explored.chain(raced.map(|race| (race.id, "claimed safe, but a run broke it".to_owned()))).collect()
    }
}

fn is_run_of(raced: &RunSummary, workload: Workload) -> bool {
    raced.ours && raced.scenario.parse::<Scenario>().is_ok_and(|scenario| scenario.workload() == workload)
}

/// The run whose figures stand in the column of a workload.
fn yardstick(entries: &[Arc<ArchiveEntry>], workload: Workload) -> Option<(&ArchiveEntry, &RunSummary)> {
    let whole = entries.iter().filter(|entry| !entry.interrupted).filter_map(|entry| match &entry.found {
        ArchivedResult::Run(raced) if !raced.swept && is_run_of(raced, workload) => Some((entry.as_ref(), raced)),
        ArchivedResult::Run(_) | ArchivedResult::Exploration(_) => None,
    });
    // Of equals the first, which is the newest.
    whole.reduce(|best, other| if other.1.results.len() > best.1.results.len() { other } else { best })
}

/// As a reader looks for it: by scenario, those that crash last, those on one server first.
fn place(explored: &ExplorationSummary) -> (Option<usize>, Option<u8>, u32, Option<u8>) {
    let subject = &explored.subject;
    let scenario = Explorable::iter().position(|scenario| scenario.to_string() == subject.scenario);
    let crash = subject.crash.map(|crash| crash as u8);
    (scenario, crash, subject.clients, subject.servers.map(|servers| servers as u8))
}

fn is_about(explored: &ExplorationSummary, approach: Approach, workload: Workload) -> bool {
    let subject = &explored.subject;
    let as_it_is = subject.file.is_none() && subject.isolation.is_none() && subject.without.is_none();
    as_it_is
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
