//! The exploration of one subject: runs the search to its end, and counts what it finds.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;

use super::error::ExploreError;
use super::findings::{
    DistinctOutcome, Exploration, ExplorationVerdict, FailureExample, FailureKind, SampleFigures, Subject,
    ViolationWitness,
};
use super::schedule::Schedule;
use super::search::{Execution, JudgedInterleaving, Search, SearchPlan, SearchProgress, SearchStep};
use super::search_order::SearchOrder;
use super::transcript::Transcript;

/// The number of undecided interleavings that are reported one by one. Further ones are only counted.
const UNDECIDED_NAMED: usize = 3;

/// After this number of undecided interleavings the search ends. Each takes seconds, so the machine or the database has a problem.
const UNDECIDED_MAX: usize = 10;

/// Receives the progress of the search, and returns whether to continue.
pub type ProgressCallback<'a> = &'a mut (dyn FnMut(SearchProgress) -> bool + Send);

/// Runs every interleaving.
///
/// # Errors
/// [`ExploreError`].
pub async fn explore(
    execution: &mut dyn Execution,
    subject: Subject,
    plan: SearchPlan,
    go_on: ProgressCallback<'_>,
) -> Result<Exploration, ExploreError> {
    let mut counter = ExplorationCounter::new();
    counter.explore(execution, plan, go_on).await?;
    Ok(counter.finish(subject))
}

/// Counts what one or several searches find.
#[derive(Debug)]
pub struct ExplorationCounter {
    begun: Instant,
    searched: Vec<(SearchProgress, bool)>,
    interleavings: u64,
    /// An earlier search has run the first part, so this one is incomplete.
    resumed: bool,
    last: Option<Schedule>,
    /// The order and the seed of a sample, and its different schedules.
    sample: Option<(SearchOrder, u64, HashSet<Schedule>)>,
    outcomes: HashMap<Vec<String>, DistinctOutcome>,
    waited: u64,
    deadlocks: u64,
    conflicts: u64,
    gave_up: u64,
    violations: u64,
    undecided: Vec<String>,
    witness: Option<JudgedInterleaving>,
    /// The shortest interleaving of each failure.
    examples: BTreeMap<FailureKind, Transcript>,
}

/// A sort key for violations: the shortest comes first, and of equally long ones the one with the fewest changes of the actor.
#[must_use]
pub fn readability(transcript: &Transcript) -> (usize, usize, &Schedule) {
    (transcript.entries.len(), transcript.schedule.switches(), &transcript.schedule)
}

impl ExplorationCounter {
    /// A counter that has counted nothing. The time starts now.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "it starts a clock")]
    pub fn new() -> Self {
        Self {
            begun: Instant::now(),
            searched: Vec::new(),
            interleavings: 0,
            resumed: false,
            last: None,
            sample: None,
            outcomes: HashMap::new(),
            waited: 0,
            deadlocks: 0,
            conflicts: 0,
            gave_up: 0,
            violations: 0,
            undecided: Vec::new(),
            witness: None,
            examples: BTreeMap::new(),
        }
    }

    /// Runs every interleaving of one more execution, and counts them.
    ///
    /// # Errors
    /// [`ExploreError`].
    pub async fn explore(
        &mut self,
        execution: &mut dyn Execution,
        plan: SearchPlan,
        go_on: ProgressCallback<'_>,
    ) -> Result<(), ExploreError> {
        self.resumed |= plan.after.is_some();
        let stop_at_first = plan.stop_at_first;
        if plan.order != SearchOrder::DepthFirst {
            let sample = (plan.order, plan.seed.unwrap_or_default(), HashSet::new());
            self.sample.get_or_insert(sample);
        }
        let mut search = Search::new(plan);
        while !(stop_at_first && self.witness.is_some())
            && go_on(search.progress())
            && self.undecided.len() < UNDECIDED_MAX
            && let Some(found) = search.next(execution).await?
        {
            match found {
                SearchStep::Interleaving(judged) => {
                    let schedule = &judged.transcript.schedule;
                    match &mut self.sample {
                        Some((.., different)) => drop(different.insert(schedule.clone())),
                        None => self.last = Some(schedule.clone()),
                    }
                    self.add(*judged);
                }
                SearchStep::Undecided(schedule, why) => self.undecided.push(format!("{schedule}: {why}")),
            }
        }
        self.searched.push((search.progress(), search.finished()));
        Ok(())
    }

    /// The interleavings that were judged so far.
    #[must_use]
    pub fn interleavings(&self) -> u64 {
        self.interleavings
    }

    /// Adds something that could not be decided.
    pub fn add_undecided(&mut self, why: String) {
        self.undecided.push(why);
    }

    fn add(&mut self, judged: JudgedInterleaving) {
        if judged.crash_missed {
            return;
        }
        self.interleavings += 1;
        let transcript = &judged.transcript;
        self.waited += u64::from(transcript.waited());
        let failures = [
            (FailureKind::Deadlock, transcript.deadlocked(), &mut self.deadlocks),
            (FailureKind::Conflict, transcript.has_sqlstate("40001"), &mut self.conflicts),
            (FailureKind::GaveUp, transcript.gave_up(), &mut self.gave_up),
        ];
        for (kind, _, count) in failures.into_iter().filter(|(_, failed, _)| *failed) {
            *count += 1;
            if self.examples.get(&kind).is_none_or(|shortest| readability(transcript) < readability(shortest)) {
                self.examples.insert(kind, transcript.clone());
            }
        }
        let outcome = self.outcomes.entry(judged.outcome.clone()).or_insert_with(|| DistinctOutcome {
            lines: judged.outcome.clone(),
            count: 0,
            anomalies: judged.anomalies.clone(),
            example: transcript.schedule.clone(),
        });
        outcome.count += 1;
        if judged.anomalies.is_empty() {
            return;
        }
        // The same answers and rows may have an explanation if the operations overlap, and none if they do not.
        outcome.anomalies.clone_from(&judged.anomalies);
        self.violations += 1;
        if self
            .witness
            .as_ref()
            .is_none_or(|witness| readability(&judged.transcript) < readability(&witness.transcript))
        {
            self.witness = Some(judged);
        }
    }

    /// The result of all searches.
    #[must_use]
    pub fn finish(mut self, subject: Subject) -> Exploration {
        let finished = self.searched.iter().all(|(_, finished)| *finished);
        let complete = finished && !self.resumed;
        let interleavings = self.interleavings;
        let pruned = self.searched.iter().map(|(progress, _)| progress.pruned).sum();
        // The sum of nothing is -0.
        let estimate = self.searched.iter().map(|(progress, _)| progress.estimate()).sum::<f64>() + 0.0;
        let sample = self.sample.take().map(|(order, seed, different)| {
            // Of several crash points, each has a sample of its own.
            let only = if let [(progress, _)] = self.searched[..] { progress.sample } else { None };
            SampleFigures {
                order,
                seed,
                distinct: different.len() as u64,
                all_without_waits: only.and_then(|sample| sample.without_waits),
                mean_estimate: only.and_then(|sample| sample.mean_weight),
            }
        });
        let verdict = if self.witness.is_some() {
            ExplorationVerdict::Broken
        } else if !self.undecided.is_empty() || interleavings == 0 {
            ExplorationVerdict::Undecided
        } else if complete {
            ExplorationVerdict::Proved
        } else {
            ExplorationVerdict::HeldSoFar
        };
        let unnamed = self.undecided.len().saturating_sub(UNDECIDED_NAMED);
        if unnamed > 0 {
            self.undecided.truncate(UNDECIDED_NAMED);
            self.undecided.push(format!("and {unnamed} more"));
        }
        let mut outcomes: Vec<DistinctOutcome> = self.outcomes.into_values().collect();
        outcomes.sort_by(|one, other| (Reverse(one.count), &one.lines).cmp(&(Reverse(other.count), &other.lines)));
        let of_file = subject.file.is_some();
        let examples = self.examples.into_iter().filter(|_| of_file);
        Exploration {
            subject,
            interleavings,
            estimate,
            complete,
            pruned,
            sample,
            last: self.last.filter(|_| !finished),
            waited: self.waited,
            deadlocks: self.deadlocks,
            conflicts: self.conflicts,
            gave_up: self.gave_up,
            outcomes,
            violations: self.violations,
            undecided: self.undecided,
            missed: Vec::new(),
            limits: Vec::new(),
            alone: Vec::new(),
            examples: examples.map(|(failure, transcript)| FailureExample { failure, transcript }).collect(),
            verdict,
            witness: self.witness.map(|judged| ViolationWitness {
                anomalies: judged.anomalies,
                explanation: judged.explanation,
                crash_after: judged.crash_after,
                transcript: judged.transcript,
            }),
            elapsed_s: self.begun.elapsed().as_secs_f64(),
        }
    }
}
