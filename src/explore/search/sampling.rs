//! A sample of the interleavings: each is run from the beginning, in an order that a [`Scheduler`] chooses, and independent of the
//! others.
//!
//! A first interleaving, one client after the other, shows how many steps each actor takes. It is not part of the sample.

use std::collections::BTreeMap;

use super::choices::IdenticalClients;
use super::execution::{Execution, REPLAYS_MAX, STEPS_MAX};
use super::progress::{SampleProgress, SearchPlan, SearchProgress, SearchStep};
use super::scheduler::{ExpectedSteps, Priorities, RandomWalk, Scheduler, interleavings_without_waits};
use crate::explore::error::ExploreError;
use crate::explore::run::observations::{Observations, Unsettled};
use crate::explore::schedule::{Actor, Schedule};
use crate::explore::search_order::SearchOrder;

/// Interleavings of a sample if the plan has no limit.
const LIMIT: u64 = 1_000;

/// A sample that is being run.
#[derive(Debug)]
pub struct Sampling {
    plan: SearchPlan,
    scheduler: Option<Box<dyn Scheduler>>,
    identical: IdenticalClients,
    expected: ExpectedSteps,
    /// Of the next interleaving.
    number: u64,
    weights: f64,
    /// Nothing waited so far, every actor took as many steps as expected, and no clients are identical.
    without_waits: bool,
    progress: SearchProgress,
}

/// The interleaving that shows how many steps each actor takes.
#[derive(Debug)]
struct OneAfterTheOther;

impl Scheduler for OneAfterTheOther {
    fn begin(&mut self, _: u64) {}

    fn choose(&mut self, ready: &[Actor]) -> Actor {
        ready[0]
    }

    fn weight(&self) -> Option<f64> {
        None
    }
}

impl Sampling {
    /// A sample that has not begun.
    #[must_use]
    pub fn new(plan: SearchPlan) -> Self {
        Self {
            plan,
            scheduler: None,
            identical: IdenticalClients::default(),
            expected: ExpectedSteps::new(),
            number: 0,
            weights: 0.0,
            without_waits: false,
            progress: SearchProgress { sample: Some(SampleProgress::default()), ..SearchProgress::default() },
        }
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> SearchProgress {
        self.progress
    }

    /// Runs the next interleaving; `None` at the limit.
    ///
    /// # Errors
    /// [`ExploreError`].
    pub async fn next(&mut self, execution: &mut dyn Execution) -> Result<Option<SearchStep>, ExploreError> {
        if self.number >= self.plan.limit.unwrap_or(LIMIT) {
            return Ok(None);
        }
        if self.scheduler.is_none() {
            self.identical = IdenticalClients::of(execution, self.plan.permute);
            let seen = match self.run(execution, &mut OneAfterTheOther, 0).await? {
                Ok(seen) => seen,
                Err(why) => return Ok(Some(self.undecided(&why))),
            };
            self.expected = steps_of(&seen);
            self.without_waits = self.identical.is_empty();
            let seed = self.plan.seed.unwrap_or_default();
            self.scheduler = Some(match self.plan.order {
                SearchOrder::Priorities => Box::new(Priorities::new(seed, &self.expected)),
                _ => Box::new(RandomWalk::new(seed, self.expected.clone())),
            });
        }
        let Some(mut scheduler) = self.scheduler.take() else { return Ok(None) };
        let run = self.run(execution, &mut *scheduler, self.number).await;
        let weight = scheduler.weight();
        self.scheduler = Some(scheduler);
        Ok(Some(match run? {
            Ok(seen) => {
                self.number += 1;
                self.count(&seen, weight);
                SearchStep::Interleaving(Box::new(execution.judge(seen).await?))
            }
            Err(why) => self.undecided(&why),
        }))
    }

    fn undecided(&mut self, why: &Unsettled) -> SearchStep {
        let what = format!("interleaving {} of the sample: {why}", self.number + 1);
        self.number += 1;
        SearchStep::Undecided(Schedule::default(), what)
    }

    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    fn count(&mut self, seen: &Observations, weight: Option<f64>) {
        self.progress.interleavings += 1;
        self.weights += weight.unwrap_or_default();
        self.without_waits &= seen.entries.iter().all(|entry| entry.wait.is_none()) && steps_of(seen) == self.expected;
        self.progress.sample = Some(SampleProgress {
            mean_weight: weight.map(|_| self.weights / self.progress.interleavings as f64),
            without_waits: self.without_waits.then(|| interleavings_without_waits(&self.expected)),
        });
    }

    /// Runs an interleaving. One that an accident of timing has spoiled is run again, and without haste.
    async fn run(
        &self,
        execution: &mut dyn Execution,
        scheduler: &mut dyn Scheduler,
        number: u64,
    ) -> Result<Result<Observations, Unsettled>, ExploreError> {
        let mut run = self.run_once(execution, scheduler, number, true).await?;
        for _ in 1..REPLAYS_MAX {
            match &run {
                Err(why) if why.by_chance() => {
                    run = self.run_once(execution, scheduler, number, false).await?;
                }
                _ => break,
            }
        }
        Ok(run)
    }

    async fn run_once(
        &self,
        execution: &mut dyn Execution,
        scheduler: &mut dyn Scheduler,
        number: u64,
        haste: bool,
    ) -> Result<Result<Observations, Unsettled>, ExploreError> {
        scheduler.begin(number);
        let (mut runner, gathered) = execution.begin().await?;
        if let Err(why) = gathered {
            return Ok(Err(why));
        }
        if haste {
            runner.hurry();
        }
        for _ in 0..STEPS_MAX {
            let choices = self.identical.choices(&runner);
            if choices.is_empty() {
                return Ok(Ok(runner.end()));
            }
            if let Err(why) = runner.step(scheduler.choose(&choices)).await? {
                return Ok(Err(why));
            }
        }
        Ok(Err(Unsettled::Endless(STEPS_MAX)))
    }
}

/// The steps that each actor took.
fn steps_of(seen: &Observations) -> ExpectedSteps {
    let mut steps = BTreeMap::new();
    for actor in &seen.schedule.0 {
        *steps.entry(*actor).or_insert(0) += 1;
    }
    steps
}
