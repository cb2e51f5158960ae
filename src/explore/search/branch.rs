//! A branching point of the search, and which steps sleep there: see [`super::depth_first`].

use std::collections::BTreeSet;

use super::independence::{TakenStep, independent};
use crate::explore::schedule::Actor;

/// A point at which several actors can go.
#[derive(Debug)]
pub struct BranchPoint {
    /// The actors that can go, in the order in which the search tries them.
    pub choices: Vec<Actor>,
    /// The name of the next step of each of them.
    pub steps: Vec<String>,
    /// The index of the choice that is being explored.
    pub at: usize,
    /// The steps of the choices, as far as they are explored.
    pub taken: Vec<Option<TakenStep>>,
    /// The actors that wait after the step of the choice that is being explored, once it was taken.
    pub waiting: Option<BTreeSet<Actor>>,
    /// The actors that need not be explored here, with their steps.
    pub sleeping: Vec<(Actor, TakenStep)>,
}

impl BranchPoint {
    /// Whether an actor's step need not be explored here.
    #[must_use]
    pub fn is_asleep(&self, actor: Actor) -> bool {
        self.sleeping.iter().any(|(sleeper, _)| *sleeper == actor)
    }

    /// Moves on to the next choice that is to be explored.
    pub fn skip_sleeping(&mut self) {
        while self.at < self.choices.len() && self.is_asleep(self.choices[self.at]) {
            self.at += 1;
        }
    }

    /// The actors that sleep once the current choice has taken its step.
    #[must_use]
    pub fn sleeping_after(&self, step: &TakenStep) -> Vec<(Actor, TakenStep)> {
        let before = self.choices[..self.at].iter().zip(&self.taken);
        let explored = before.filter_map(|(actor, taken)| Some((*actor, taken.as_ref()?)));
        let asleep = self.sleeping.iter().map(|(actor, sleeper)| (*actor, sleeper));
        let stay = asleep.chain(explored).filter(|(_, sleeper)| independent(sleeper, step));
        let mut sleeping: Vec<(Actor, TakenStep)> = stay.map(|(actor, sleeper)| (actor, sleeper.clone())).collect();
        sleeping.sort_by_key(|(actor, _)| *actor);
        sleeping.dedup_by_key(|(actor, _)| *actor);
        sleeping
    }
}
