//! Every schedule, depth first, each run from the beginning.
//!
//! A database cannot go back to the middle of a transaction, so the search reaches a branch by replaying the steps before it. At
//! each step it checks that the replay has the same choices as the run before. If it has not (a timer fired late), the schedule is
//! run again, and without haste. If that happens too often, the schedule is reported as undecided.
//!
//! Clients that ask for the same are not permuted: of those that have not begun, only the first may begin. The reduced search also
//! uses *sleep sets* (Godefroid, "Partial-Order Methods for the Verification of Concurrent Systems", 1996). Once a branch is
//! explored, its first step sleeps in the branches beside it until a step that depends on it ([`super::independence`]) was taken.
//! To take it earlier would only lead to an interleaving that is equivalent to one that was already run.
//!
//! The number of all interleavings is estimated as by Knuth ("Estimating the Efficiency of Backtrack Programs", 1975): each branch
//! counts as large as those beside it.

use std::hash::BuildHasher as _;

use rustc_hash::FxBuildHasher;

use super::branch::BranchPoint;
use super::choices::IdenticalClients;
use super::execution::{Execution, REPLAYS_MAX, STEPS_MAX};
use super::independence::taken;
use super::progress::{SearchPlan, SearchProgress, SearchStep};
use crate::explore::error::ExploreError;
use crate::explore::run::interleaving_runner::InterleavingRunner;
use crate::explore::run::observations::{Observations, Unsettled};
use crate::explore::schedule::{Actor, Schedule};

/// A depth-first search that is under way.
#[derive(Debug)]
pub struct DepthFirst {
    plan: SearchPlan,
    /// Found with the first interleaving.
    identical: Option<IdenticalClients>,
    /// The branching points on the current path.
    nodes: Vec<BranchPoint>,
    /// The actors on the current path.
    path: Vec<Actor>,
    progress: SearchProgress,
    finished: bool,
}

/// How a run ended.
enum InterleavingEnd {
    Ended(Observations),
    /// The rest is equivalent to what was run.
    Pruned,
    Undecided(Schedule, Unsettled),
    /// The replay differs from the run before.
    Diverged,
}

impl DepthFirst {
    /// A search that has not begun.
    #[must_use]
    pub fn new(plan: SearchPlan) -> Self {
        let path = plan.after.as_ref().map(|after| after.0.clone()).unwrap_or_default();
        Self { plan, identical: None, nodes: Vec::new(), path, progress: SearchProgress::default(), finished: false }
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> SearchProgress {
        self.progress
    }

    /// Whether everything has been explored.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.finished
    }

    /// Runs the next interleaving; `None` if there is none left, or the limit is reached.
    ///
    /// # Errors
    /// [`ExploreError`].
    pub async fn next(&mut self, execution: &mut dyn Execution) -> Result<Option<SearchStep>, ExploreError> {
        if let Some(after) = self.plan.after.take()
            && !self.resume(execution, &after).await?
        {
            self.finished = true;
            return Ok(Some(SearchStep::Undecided(
                after,
                "no interleaving has this schedule, so the search cannot continue after it".to_owned(),
            )));
        }
        while !self.finished && self.plan.limit.is_none_or(|limit| self.progress.interleavings < limit) {
            let run = self.run_again(execution).await?;
            let schedule = Schedule(self.path.clone());
            let found = match run {
                InterleavingEnd::Ended(seen) => {
                    self.progress.interleavings += 1;
                    Some(SearchStep::Interleaving(Box::new(execution.judge(seen).await?)))
                }
                InterleavingEnd::Pruned => {
                    self.progress.pruned += 1;
                    None
                }
                InterleavingEnd::Undecided(schedule, why) => Some(SearchStep::Undecided(schedule, why.to_string())),
                InterleavingEnd::Diverged => Some(SearchStep::Undecided(
                    schedule,
                    format!(
                        "each of {REPLAYS_MAX} replays of it differed from the run before; the machine may be overloaded"
                    ),
                )),
            };
            self.advance();
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Goes to the schedule at which an earlier search ended; `false` if no interleaving has it.
    async fn resume(&mut self, execution: &mut dyn Execution, after: &Schedule) -> Result<bool, ExploreError> {
        let run = self.run_again(execution).await?;
        self.advance();
        self.progress.before = self.progress.explored;
        Ok(matches!(run, InterleavingEnd::Ended(seen) if seen.schedule == *after))
    }

    /// Runs the path until the replay equals the run before, at most [`REPLAYS_MAX`] times.
    async fn run_again(&mut self, execution: &mut dyn Execution) -> Result<InterleavingEnd, ExploreError> {
        let mut run = InterleavingEnd::Diverged;
        for number in 0..REPLAYS_MAX {
            run = self.run(execution, number == 0).await?;
            if !matches!(run, InterleavingEnd::Diverged) {
                break;
            }
        }
        Ok(run)
    }

    /// Runs the path, and after its end always the first choice.
    async fn run(&mut self, execution: &mut dyn Execution, haste: bool) -> Result<InterleavingEnd, ExploreError> {
        let identical = || IdenticalClients::of(execution, self.plan.permute);
        let identical = self.identical.get_or_insert_with(identical).clone();
        let (access, step_key) = (execution.access(), execution.step_key());
        let (mut runner, gathered) = execution.begin().await?;
        if let Err(why) = gathered {
            return Ok(InterleavingEnd::Undecided(Schedule::default(), why));
        }
        if haste {
            runner.hurry();
        }
        let mut pruned = false;
        for depth in 0..STEPS_MAX {
            let choices = self.choices(&runner, &identical, depth);
            if choices.is_empty() {
                let seen = runner.end();
                return Ok(match depth {
                    _ if pruned => InterleavingEnd::Pruned,
                    _ if depth < self.path.len() => InterleavingEnd::Diverged,
                    _ => InterleavingEnd::Ended(seen),
                });
            }
            // Not by the whole text, which may contain what was read before, such as the number of a transaction.
            let key = |actor: &Actor| runner.next_step(*actor).map(|(name, sql)| step_key(name, sql));
            let steps = choices.iter().filter_map(key).collect();
            let Some(actor) = self.choose(choices, steps, depth, &mut pruned) else {
                return Ok(InterleavingEnd::Diverged);
            };
            let waited = self.nodes.get(depth).filter(|_| !pruned).and_then(|node| node.waiting.as_ref());
            if let Err(why) = runner.step_again(actor, waited).await? {
                let so_far = || Schedule(self.path[..=depth.min(self.path.len() - 1)].to_vec());
                return Ok(if why.by_chance() {
                    InterleavingEnd::Diverged
                } else {
                    InterleavingEnd::Undecided(so_far(), why)
                });
            }
            if pruned {
                continue;
            }
            let (node, waiting) = (&mut self.nodes[depth], runner.waiting());
            if *node.waiting.get_or_insert_with(|| waiting.clone()) != waiting {
                return Ok(InterleavingEnd::Diverged);
            }
            // The same steps have the same properties in each run. A run that is repeated was not like the one before.
            if self.plan.reduce && (node.taken[node.at].is_none() || !haste) {
                node.taken[node.at] = Some(taken(runner.entries(), depth, access.as_deref()));
            }
        }
        let schedule = runner.end().schedule;
        Ok(InterleavingEnd::Undecided(schedule, Unsettled::Endless(STEPS_MAX)))
    }

    /// The actors that can go, in the order in which they are explored.
    fn choices(&self, runner: &InterleavingRunner<'_>, identical: &IdenticalClients, depth: usize) -> Vec<Actor> {
        let mut choices = identical.choices(runner);
        let path = &self.path[..depth.min(self.path.len())];
        if let Some(seed) = self.plan.seed {
            choices.sort_by_cached_key(|actor| shuffled(seed, path, *actor));
        } else {
            choices.sort_by_key(|actor| (Some(actor) != path.last(), *actor));
        }
        choices
    }

    /// Chooses the actor that goes; `None` if the choices or their steps are not those of the run before.
    fn choose(&mut self, choices: Vec<Actor>, steps: Vec<String>, depth: usize, pruned: &mut bool) -> Option<Actor> {
        if *pruned {
            return choices.first().copied();
        }
        if let Some(node) = self.nodes.get(depth) {
            return (node.choices == choices && node.steps == steps).then(|| node.choices[node.at]);
        }
        let sleeping = match depth.checked_sub(1).and_then(|above| self.nodes.get(above)) {
            Some(above) if self.plan.reduce => {
                above.taken[above.at].as_ref().map(|step| above.sleeping_after(step)).unwrap_or_default()
            }
            _ => Vec::new(),
        };
        let mut node = BranchPoint { at: 0, taken: vec![None; choices.len()], waiting: None, sleeping, choices, steps };
        // Up to the schedule at which an earlier search ended, the choices before the one on the path are explored.
        match self.path.get(depth) {
            Some(actor) => node.at = node.choices.iter().position(|choice| choice == actor)?,
            None => node.skip_sleeping(),
        }
        let Some(actor) = node.choices.get(node.at).copied() else {
            *pruned = true;
            return node.choices.first().copied();
        };
        if depth == self.path.len() {
            self.path.push(actor);
        }
        self.nodes.push(node);
        Some(actor)
    }

    /// Moves on to the next branch that is not explored.
    fn advance(&mut self) {
        while let Some(node) = self.nodes.last_mut() {
            node.at += 1;
            node.waiting = None;
            if self.plan.reduce {
                node.skip_sleeping();
            }
            self.path.truncate(self.nodes.len() - 1);
            if let Some(actor) = self.nodes.last().and_then(|node| node.choices.get(node.at)) {
                self.path.push(*actor);
                self.progress.explored = self.explored();
                return;
            }
            self.nodes.pop();
        }
        self.finished = true;
        self.progress.explored = 1.0;
    }

    /// The part of the tree before the current branch.
    #[allow(clippy::cast_precision_loss, reason = "a handful of choices")]
    fn explored(&self) -> f64 {
        let (mut explored, mut width) = (0.0, 1.0);
        for node in &self.nodes {
            let awake = node.choices.iter().filter(|actor| !node.is_asleep(**actor)).count();
            let before = node.choices[..node.at].iter().filter(|actor| !node.is_asleep(**actor)).count();
            width /= awake.max(1) as f64;
            explored += width * before as f64;
        }
        explored
    }
}

/// A number by which choices are sorted, so that the seed determines their order.
fn shuffled(seed: u64, path: &[Actor], actor: Actor) -> u64 {
    fastrand::Rng::with_seed(FxBuildHasher.hash_one((seed, path, actor))).u64(..)
}
