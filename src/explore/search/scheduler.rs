//! Orders in which a sample of the interleavings is run. Each is a rule that chooses, at every step, which actor goes.
//!
//! - [`RandomWalk`]: independent random walks. An actor is chosen with a probability in proportion to the steps that it has left, so
//!   that every interleaving is equally likely if nothing waits: there are n! / (a! b! …) of them, and the product of the
//!   probabilities is the inverse of that. Where something waits, the inverse of a walk's probability still has the number of all
//!   interleavings as its mean (Horvitz and Thompson, 1952; Knuth, "Estimating the Efficiency of Backtrack Programs", 1975).
//! - [`Priorities`]: probabilistic concurrency testing (Burckhardt et al., "A Randomized Scheduler with Probabilistic Guarantees of Finding
//!   Bugs", 2010). The actors have random priorities, and the one with the highest goes; at d - 1 random steps the one
//!   that would go gets the lowest. Of n actors with k steps in all, it finds a violation that needs d steps in a certain
//!   order with a probability of at least 1 / (n k^(d-1)) each time. It favours some interleavings, so it estimates nothing.

use std::collections::BTreeMap;
use std::fmt::Debug;

use rustc_hash::FxHashMap;

use crate::explore::schedule::Actor;

/// Of how many steps the order must be right for a violation that [`Priorities`] looks for.
pub const PRIORITIES_DEPTH: usize = 3;

/// Chooses which actor goes. The choices of an interleaving depend only on its number, and on what was possible before.
pub trait Scheduler: Debug + Send {
    /// Begins the interleaving of this number.
    fn begin(&mut self, number: u64);

    /// The actor that goes, of those that can. There is at least one.
    fn choose(&mut self, ready: &[Actor]) -> Actor;

    /// The inverse of the probability of the choices so far; `None` if it is not known.
    fn weight(&self) -> Option<f64>;
}

/// The steps that each actor is expected to take.
pub type ExpectedSteps = BTreeMap<Actor, usize>;

/// The number of interleavings of actors with these steps if nothing waits: the multinomial coefficient.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "some dozens of steps")]
pub fn interleavings_without_waits(steps: &ExpectedSteps) -> f64 {
    let (mut number, mut all) = (1.0_f64, 0_usize);
    for own in steps.values() {
        for step in 1..=*own {
            all += 1;
            // Whole after each factor: a binomial coefficient.
            number = (number * all as f64 / step as f64).round();
        }
    }
    number
}

/// Independent random walks.
#[derive(Debug)]
pub struct RandomWalk {
    seed: u64,
    expected: ExpectedSteps,
    left: ExpectedSteps,
    weight: f64,
    random: fastrand::Rng,
}

impl RandomWalk {
    /// Walks of actors that are expected to take so many steps.
    #[must_use]
    pub fn new(seed: u64, expected: ExpectedSteps) -> Self {
        Self { seed, left: expected.clone(), expected, weight: 1.0, random: fastrand::Rng::with_seed(seed) }
    }
}

impl Scheduler for RandomWalk {
    fn begin(&mut self, number: u64) {
        self.random = random_of(self.seed, number);
        self.left = self.expected.clone();
        self.weight = 1.0;
    }

    #[allow(clippy::cast_precision_loss, reason = "some dozens of steps")]
    fn choose(&mut self, ready: &[Actor]) -> Actor {
        // An actor that retries takes more steps than expected.
        let left = |actor: &Actor| self.left.get(actor).copied().unwrap_or_default().max(1);
        let all: usize = ready.iter().map(left).sum();
        let mut number = self.random.usize(..all);
        let mut chosen = ready[0];
        for actor in ready {
            chosen = *actor;
            if number < left(actor) {
                break;
            }
            number -= left(actor);
        }
        self.weight *= all as f64 / left(&chosen) as f64;
        if let Some(left) = self.left.get_mut(&chosen) {
            *left = left.saturating_sub(1);
        }
        chosen
    }

    fn weight(&self) -> Option<f64> {
        Some(self.weight)
    }
}

/// Probabilistic concurrency testing.
#[derive(Debug)]
pub struct Priorities {
    seed: u64,
    steps: usize,
    random: fastrand::Rng,
    /// The priority of each actor. Those that were lowered are negative.
    by_actor: FxHashMap<Actor, i64>,
    /// The steps before which an actor is lowered.
    changes: Vec<usize>,
    taken: usize,
    lowest: i64,
}

impl Priorities {
    /// Interleavings of actors that are expected to take so many steps.
    #[must_use]
    pub fn new(seed: u64, expected: &ExpectedSteps) -> Self {
        Self {
            seed,
            steps: expected.values().sum::<usize>().max(1),
            random: fastrand::Rng::with_seed(seed),
            by_actor: FxHashMap::default(),
            changes: Vec::new(),
            taken: 0,
            lowest: 0,
        }
    }

    fn highest(&mut self, ready: &[Actor]) -> Actor {
        for actor in ready {
            let priority = self.random.i64(0..i64::MAX);
            self.by_actor.entry(*actor).or_insert(priority);
        }
        *ready.iter().max_by_key(|actor| self.by_actor[*actor]).expect("an actor can go")
    }
}

impl Scheduler for Priorities {
    fn begin(&mut self, number: u64) {
        self.random = random_of(self.seed, number);
        self.by_actor.clear();
        let steps = self.steps;
        self.changes = (1..PRIORITIES_DEPTH).map(|_| self.random.usize(..steps)).collect();
        (self.taken, self.lowest) = (0, 0);
    }

    fn choose(&mut self, ready: &[Actor]) -> Actor {
        let mut chosen = self.highest(ready);
        if self.changes.contains(&self.taken) {
            self.lowest -= 1;
            self.by_actor.insert(chosen, self.lowest);
            chosen = self.highest(ready);
        }
        self.taken += 1;
        chosen
    }

    fn weight(&self) -> Option<f64> {
        None
    }
}

/// The random numbers of one interleaving: independent of those of the others.
fn random_of(seed: u64, number: u64) -> fastrand::Rng {
    // Twice, because generators with similar seeds begin alike.
    let mut random = fastrand::Rng::with_seed(fastrand::Rng::with_seed(seed).u64(..) ^ number);
    fastrand::Rng::with_seed(random.u64(..))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const A: Actor = Actor::Client(0);
    const B: Actor = Actor::Client(1);
    const C: Actor = Actor::Client(2);

    /// Runs one interleaving of actors that never wait.
    fn interleaving(scheduler: &mut dyn Scheduler, number: u64, steps: &ExpectedSteps) -> Vec<Actor> {
        scheduler.begin(number);
        let mut left = steps.clone();
        let mut taken = Vec::new();
        loop {
            let ready: Vec<Actor> = left.iter().filter(|(_, left)| **left > 0).map(|(actor, _)| *actor).collect();
            if ready.is_empty() {
                return taken;
            }
            let actor = scheduler.choose(&ready);
            *left.get_mut(&actor).unwrap() -= 1;
            taken.push(actor);
        }
    }

    fn c_is_before_a(taken: &[Actor]) -> bool {
        taken.iter().find(|actor| [A, C].contains(actor)) == Some(&C)
    }

    /// The file one-third.toml, without a database: C begins before A in exactly a third of all interleavings.
    #[test]
    fn three_hundred_walks_find_about_a_third_with_every_seed() {
        let steps = ExpectedSteps::from([(A, 6), (B, 6), (C, 3)]);
        assert!((interleavings_without_waits(&steps) - 420_420.0).abs() < 0.5);
        for seed in 0..20 {
            let mut walks = RandomWalk::new(seed, steps.clone());
            let found = (0..300).filter(|number| c_is_before_a(&interleaving(&mut walks, *number, &steps))).count();
            assert!((60..=140).contains(&found), "seed {seed}: {found} of 300");
            assert!((walks.weight().unwrap() - 420_420.0).abs() < 1.0, "every interleaving is equally likely");
        }
    }

    #[test]
    fn a_walk_depends_on_its_seed_and_number_only() {
        let steps = ExpectedSteps::from([(A, 6), (B, 6)]);
        let all: BTreeSet<Vec<Actor>> = (0..50)
            .map(|number| {
                let walk = interleaving(&mut RandomWalk::new(7, steps.clone()), number, &steps);
                assert_eq!(walk, interleaving(&mut RandomWalk::new(7, steps.clone()), number, &steps));
                walk
            })
            .collect();
        assert!(all.len() > 40, "{} different ones of 50", all.len());
        let other: BTreeSet<Vec<Actor>> =
            (0..50).map(|number| interleaving(&mut RandomWalk::new(8, steps.clone()), number, &steps)).collect();
        assert!(all.intersection(&other).count() < 10, "another seed gives other walks");
    }

    /// Where B can go only once A has ended, the walks have different probabilities, and the mean is still the number of interleavings.
    #[test]
    fn the_mean_of_the_weights_is_the_number_of_interleavings() {
        let (steps, mut sum) = (ExpectedSteps::from([(A, 3), (B, 3), (C, 3)]), 0.0);
        let mut walks = RandomWalk::new(1, steps.clone());
        for number in 0..2_000 {
            walks.begin(number);
            let mut left = steps.clone();
            while left.values().any(|left| *left > 0) {
                let can_go = |actor: &Actor| left[actor] > 0 && (*actor != B || left[&A] == 0);
                let ready: Vec<Actor> = [A, B, C].into_iter().filter(can_go).collect();
                *left.get_mut(&walks.choose(&ready)).unwrap() -= 1;
            }
            sum += walks.weight().unwrap();
        }
        // A, then B, with C's steps anywhere: 9! / (6! 3!).
        let mean = sum / 2_000.0;
        assert!((mean - 84.0).abs() < 6.0, "{mean}");
    }

    #[test]
    fn priorities_change_rarely_and_favour_long_runs_of_an_actor() {
        let steps = ExpectedSteps::from([(A, 12), (B, 12)]);
        let switches = |taken: &[Actor]| taken.windows(2).filter(|pair| pair[0] != pair[1]).count();
        let mut priorities = Priorities::new(3, &steps);
        let mut different = BTreeSet::new();
        for number in 0..200 {
            let taken = interleaving(&mut priorities, number, &steps);
            assert_eq!(taken, interleaving(&mut Priorities::new(3, &steps), number, &steps));
            assert!(switches(&taken) < PRIORITIES_DEPTH + 1, "{taken:?}");
            different.insert(taken);
        }
        assert!(different.len() > 80, "{}", different.len());
        assert_eq!(priorities.weight(), None);
    }
}
