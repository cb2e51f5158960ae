//! The search: every schedule, depth first, each by running it from the beginning.
//!
//! A database cannot be set back to the middle of a transaction, so the way to a branch is to replay the steps before it. That the
//! replay stands where the run before it stood is checked at each step; if it does not (a timer fired late), the schedule is
//! run again, and if that happens too often, it is reported as undecided.
//!
//! Clients that ask for the same are not permuted: of those that have not begun, only the first may. The reduced search also uses *sleep
//! sets* (Godefroid, "Partial-Order Methods for the Verification of Concurrent Systems", 1996): once a branch is explored, the step
//! that begins it sleeps in the branches beside it until a step that depends on it ([`super::independence`]) has been taken;
//! waking it earlier would only lead to an interleaving that is equivalent to one already run.
//!
//! How many there are in all is estimated as Knuth did ("Estimating the Efficiency of Backtrack Programs", 1975): each branch is taken to be as
//! large as those beside it.

use std::hash::BuildHasher as _;

use async_trait::async_trait;
use rustc_hash::FxBuildHasher;

use super::ExploreError;
use super::branch::BranchPoint;
use super::independence::taken;
use super::interleaving_runner::InterleavingRunner;
use super::observations::{Observations, Unsettled};
use super::schedule::{Actor, Schedule};

/// How often a schedule whose replay went another way is run again.
pub const REPLAYS_MAX: usize = 20;

/// Steps of one interleaving: retries are bounded, so more are no interleaving but an endless loop.
pub const STEPS_MAX: usize = 500;

/// What can be played again and again from its beginning.
#[async_trait]
pub trait Execution: Send {
    /// Sets everything back, and brings every client to its first step.
    ///
    /// # Errors
    /// [`ExploreError`]; inside, [`Unsettled`].
    async fn begin(&mut self) -> Result<(InterleavingRunner<'_>, Result<(), Unsettled>), ExploreError>;

    /// Judges what was seen, once nobody plays any more.
    ///
    /// # Errors
    /// [`ExploreError`].
    async fn judge(&mut self, seen: Observations) -> Result<JudgedInterleaving, ExploreError>;

    /// How many clients take part.
    fn clients(&self) -> u8;

    /// Whether two clients ask for the same, so that exchanging them changes nothing.
    fn identical(&self, one: u8, other: u8) -> bool;
}

/// What an interleaving came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedInterleaving {
    /// Everything that was seen.
    pub transcript: super::transcript::Transcript,
    /// The answers and the rows, a line each: equal for equal outcomes.
    pub outcome: Vec<String>,
    /// What is wrong, the gravest first; empty if nothing is.
    pub anomalies: Vec<String>,
    /// What is wrong, in a sentence.
    pub explanation: String,
    /// Somebody was to crash, and did not: then it is no interleaving of the crash.
    pub spared: bool,
    /// After which statement, or during which step, somebody was to crash.
    pub crash_after: Option<u32>,
}

impl JudgedInterleaving {
    /// Adds something that is wrong.
    pub fn object(&mut self, anomaly: &str, explanation: &str) {
        self.anomalies.push(anomaly.to_owned());
        if self.explanation.is_empty() {
            explanation.clone_into(&mut self.explanation);
        }
    }
}

/// How to search.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchPlan {
    /// Leave out what is equivalent to what was run.
    pub reduce: bool,
    /// Permute identical clients as well.
    pub permute: bool,
    /// At most so many interleavings.
    pub limit: Option<u64>,
    /// The order in which branches are explored; `None` for the one that lets an actor go on as long as possible.
    pub seed: Option<u64>,
    /// Go on after this one, which an earlier search has reported as its last.
    pub after: Option<Schedule>,
}

/// What one run of the search came to.
#[derive(Debug)]
pub enum SearchStep {
    /// An interleaving.
    Interleaving(Box<JudgedInterleaving>),
    /// One that could not be decided.
    Undecided(Schedule, String),
}

/// Where the search stands.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SearchProgress {
    /// Interleavings run and judged.
    pub interleavings: u64,
    /// Left out as equivalent to others: a lower bound.
    pub pruned: u64,
    /// How much of the tree is explored, from 0 to 1.
    pub explored: f64,
    /// How much of it an earlier search had explored.
    pub before: f64,
}

impl SearchProgress {
    /// How many interleavings there seem to be.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn estimate(&self) -> f64 {
        let explored = self.explored - self.before;
        if explored > 0.0 { self.interleavings as f64 / explored } else { 0.0 }
    }
}

/// A search that is under way.
#[derive(Debug)]
pub struct Search {
    plan: SearchPlan,
    /// The branching points on the way to where it stands.
    nodes: Vec<BranchPoint>,
    /// The way itself.
    path: Vec<Actor>,
    progress: SearchProgress,
    finished: bool,
}

/// How a run ended.
enum InterleavingEnd {
    Ended(Observations),
    /// What is left is equivalent to what was run.
    Pruned,
    Undecided(Schedule, Unsettled),
    /// It did not go where it went before.
    Strayed,
}

impl Search {
    /// A search that has not begun.
    #[must_use]
    pub fn new(plan: SearchPlan) -> Self {
        let path = plan.after.as_ref().map(|after| after.0.clone()).unwrap_or_default();
        Self { plan, nodes: Vec::new(), path, progress: SearchProgress::default(), finished: false }
    }

    /// Where it stands.
    #[must_use]
    pub fn progress(&self) -> SearchProgress {
        self.progress
    }

    /// Whether everything has been explored.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.finished
    }

    /// The next interleaving; `None` when there is none, or as many as wanted were run.
    ///
    /// # Errors
    /// [`ExploreError`].
    pub async fn next(&mut self, play: &mut dyn Execution) -> Result<Option<SearchStep>, ExploreError> {
        if let Some(after) = self.plan.after.take()
            && !self.resume(play, &after).await?
        {
            self.finished = true;
            return Ok(Some(SearchStep::Undecided(after, "there is no such interleaving to go on after".to_owned())));
        }
        while !self.finished && self.plan.limit.is_none_or(|limit| self.progress.interleavings < limit) {
            let run = self.run_again(play).await?;
            let schedule = Schedule(self.path.clone());
            let found = match run {
                InterleavingEnd::Ended(seen) => {
                    self.progress.interleavings += 1;
                    Some(SearchStep::Interleaving(Box::new(play.judge(seen).await?)))
                }
                InterleavingEnd::Pruned => {
                    self.progress.pruned += 1;
                    None
                }
                InterleavingEnd::Undecided(schedule, why) => Some(SearchStep::Undecided(schedule, why.to_string())),
                InterleavingEnd::Strayed => Some(SearchStep::Undecided(
                    schedule,
                    format!("{REPLAYS_MAX} replays of it went another way each time"),
                )),
            };
            self.advance();
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Goes to where an earlier search has ended; `false` if there is no such place.
    async fn resume(&mut self, play: &mut dyn Execution, after: &Schedule) -> Result<bool, ExploreError> {
        let run = self.run_again(play).await?;
        self.advance();
        self.progress.before = self.progress.explored;
        Ok(matches!(run, InterleavingEnd::Ended(seen) if seen.schedule == *after))
    }

    /// Runs the path until it goes where it went before, though not for ever.
    async fn run_again(&mut self, play: &mut dyn Execution) -> Result<InterleavingEnd, ExploreError> {
        let mut run = InterleavingEnd::Strayed;
        for _ in 0..REPLAYS_MAX {
            run = self.run(play).await?;
            if !matches!(run, InterleavingEnd::Strayed) {
                break;
            }
        }
        Ok(run)
    }

    /// Runs the path, and from its end on the first choice each time.
    async fn run(&mut self, play: &mut dyn Execution) -> Result<InterleavingEnd, ExploreError> {
        let identical: Vec<(u8, u8)> = self.identical(play);
        let (mut controller, gathered) = play.begin().await?;
        if let Err(why) = gathered {
            return Ok(InterleavingEnd::Undecided(Schedule::default(), why));
        }
        let mut pruned = false;
        for depth in 0..STEPS_MAX {
            let choices = self.choices(&controller, &identical, depth);
            if choices.is_empty() {
                let seen = controller.end();
                return Ok(match depth {
                    _ if pruned => InterleavingEnd::Pruned,
                    _ if depth < self.path.len() => InterleavingEnd::Strayed,
                    _ => InterleavingEnd::Ended(seen),
                });
            }
            // By name: the text may hold what was read before, such as a transaction's number.
            let name = |actor: &Actor| controller.next_step(*actor).map(|(name, _)| name.to_owned());
            let steps = choices.iter().filter_map(name).collect();
            let Some(actor) = self.choose(choices, steps, depth, &mut pruned) else {
                return Ok(InterleavingEnd::Strayed);
            };
            if let Err(why) = controller.step(actor).await? {
                let so_far = || Schedule(self.path[..=depth.min(self.path.len() - 1)].to_vec());
                return Ok(if why.by_chance() {
                    InterleavingEnd::Strayed
                } else {
                    InterleavingEnd::Undecided(so_far(), why)
                });
            }
            if !pruned {
                let step = taken(controller.entries(), depth);
                let node = &mut self.nodes[depth];
                node.taken[node.at] = Some(step);
            }
        }
        let schedule = controller.end().schedule;
        Ok(InterleavingEnd::Undecided(schedule, Unsettled::Endless(STEPS_MAX)))
    }

    /// Pairs of clients of whom the second does not begin before the first.
    fn identical(&self, play: &dyn Execution) -> Vec<(u8, u8)> {
        if self.plan.permute {
            return Vec::new();
        }
        let clients = 0..play.clients();
        clients
            .clone()
            .flat_map(|one| (one + 1..clients.end).map(move |other| (one, other)))
            .filter(|(one, other)| play.identical(*one, *other))
            .collect()
    }

    /// Who may be let go, in the order in which they are explored.
    fn choices(&self, controller: &InterleavingRunner<'_>, identical: &[(u8, u8)], depth: usize) -> Vec<Actor> {
        let may_begin = |actor: Actor| {
            let Actor::Client(client) = actor else { return true };
            controller.has_begun(actor)
                || identical
                    .iter()
                    .filter(|(_, other)| *other == client)
                    .all(|(one, _)| controller.has_begun(Actor::Client(*one)))
        };
        let mut choices: Vec<Actor> = controller.standing().filter(|actor| may_begin(*actor)).collect();
        let path = &self.path[..depth.min(self.path.len())];
        if let Some(seed) = self.plan.seed {
            choices.sort_by_cached_key(|actor| shuffled(seed, path, *actor));
        } else {
            choices.sort_by_key(|actor| (Some(actor) != path.last(), *actor));
        }
        choices
    }

    /// Whose turn it is; `None` if those who stand, or what they stand at, are not what was here before.
    fn choose(&mut self, choices: Vec<Actor>, steps: Vec<String>, depth: usize, pruned: &mut bool) -> Option<Actor> {
        if *pruned {
            return choices.first().copied();
        }
        if let Some(node) = self.nodes.get(depth) {
            return (node.choices == choices && node.steps == steps).then(|| node.choices[node.at]);
        }
        let sleeping = match depth.checked_sub(1).and_then(|above| self.nodes.get(above)) {
            Some(above) if self.plan.reduce => {
                above.taken[above.at].map(|step| above.sleeping_after(step)).unwrap_or_default()
            }
            _ => Vec::new(),
        };
        let mut node = BranchPoint { at: 0, taken: vec![None; choices.len()], sleeping, choices, steps };
        // On the way to where an earlier search has ended, what comes before in the order has been explored.
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

    /// On to the next branch that is not explored.
    fn advance(&mut self) {
        while let Some(node) = self.nodes.last_mut() {
            node.at += 1;
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

    /// How much of the tree lies before the branch at hand.
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

/// Runs one schedule, and lets those who then still stand at the gate go on, one after the other.
///
/// # Errors
/// [`ExploreError`]; [`ExploreError::Schedule`] when somebody is to go on who cannot, or the play does not come to an end.
pub async fn replay(play: &mut dyn Execution, schedule: &Schedule) -> Result<JudgedInterleaving, ExploreError> {
    for _ in 1..REPLAYS_MAX {
        match follow(play, schedule).await? {
            Err(why) if why.by_chance() => {}
            settled => return settled.map_err(|why| ExploreError::Schedule(why.to_string())),
        }
    }
    follow(play, schedule).await?.map_err(|why| ExploreError::Schedule(why.to_string()))
}

async fn follow(
    play: &mut dyn Execution,
    schedule: &Schedule,
) -> Result<Result<JudgedInterleaving, Unsettled>, ExploreError> {
    let (mut controller, mut played) = play.begin().await?;
    let mut asked = schedule.0.iter();
    for step in 1..=STEPS_MAX {
        if let Err(why) = played {
            return Ok(Err(why));
        }
        let standing: Vec<Actor> = controller.standing().collect();
        let Some(actor) = asked.next().or(standing.first()) else {
            let seen = controller.end();
            return play.judge(seen).await.map(Ok);
        };
        if !standing.contains(actor) {
            let standing: Vec<String> = standing.iter().map(ToString::to_string).collect();
            let can = if standing.is_empty() { "nobody".to_owned() } else { standing.join(" or ") };
            return Err(ExploreError::Schedule(format!("step {step}: {actor} cannot go on; {can} can")));
        }
        played = controller.step(*actor).await?;
    }
    Ok(Err(Unsettled::Endless(STEPS_MAX)))
}

/// A number by which choices are put in an order that the seed decides.
fn shuffled(seed: u64, path: &[Actor], actor: Actor) -> u64 {
    fastrand::Rng::with_seed(FxBuildHasher.hash_one((seed, path, actor))).u64(..)
}
