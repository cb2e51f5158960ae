//! A branching point of the search, and who sleeps there: see [`super::search`].

use super::independence::{TakenStep, independent};
use super::schedule::Actor;

/// Where several may be let go.
#[derive(Debug)]
pub struct BranchPoint {
    /// Who stood at the gate, in the order in which they are let go.
    pub choices: Vec<Actor>,
    /// The name of what each of them stood at.
    pub steps: Vec<String>,
    /// Which of them is being explored.
    pub at: usize,
    /// Their steps, as far as explored.
    pub taken: Vec<Option<TakenStep>>,
    /// Those that need not be explored here, with their steps.
    pub sleeping: Vec<(Actor, TakenStep)>,
}

impl BranchPoint {
    /// Whether an actor's step need not be explored here.
    #[must_use]
    pub fn is_asleep(&self, actor: Actor) -> bool {
        self.sleeping.iter().any(|(sleeper, _)| *sleeper == actor)
    }

    /// On to the next one that is to be explored.
    pub fn skip_sleeping(&mut self) {
        while self.at < self.choices.len() && self.is_asleep(self.choices[self.at]) {
            self.at += 1;
        }
    }

    /// Whose steps sleep after the step at hand has been taken.
    #[must_use]
    pub fn sleeping_after(&self, step: TakenStep) -> Vec<(Actor, TakenStep)> {
        let before = self.choices[..self.at].iter().zip(&self.taken);
        let explored = before.filter_map(|(actor, taken)| Some((*actor, (*taken)?)));
        let mut sleeping: Vec<(Actor, TakenStep)> =
            self.sleeping.iter().copied().chain(explored).filter(|(_, sleeper)| independent(*sleeper, step)).collect();
        sleeping.sort_by_key(|(actor, _)| *actor);
        sleeping.dedup_by_key(|(actor, _)| *actor);
        sleeping
    }
}
