//! Which actors can go at a step.

use super::execution::Execution;
use crate::explore::run::interleaving_runner::InterleavingRunner;
use crate::explore::schedule::Actor;

/// Pairs of clients of which the second does not begin before the first, because they ask for the same.
#[derive(Debug, Clone, Default)]
pub struct IdenticalClients(Vec<(u8, u8)>);

impl IdenticalClients {
    /// The identical clients of an execution. With `permute` there are none: they are run in every order.
    #[must_use]
    pub fn of(execution: &dyn Execution, permute: bool) -> Self {
        if permute {
            return Self::default();
        }
        let clients = 0..execution.clients();
        let pairs = clients.clone().flat_map(|one| (one + 1..clients.end).map(move |other| (one, other)));
        Self(pairs.filter(|(one, other)| execution.identical(*one, *other)).collect())
    }

    /// Whether no two clients are identical, or they are run in every order.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The actors that can go.
    #[must_use]
    pub fn choices(&self, runner: &InterleavingRunner<'_>) -> Vec<Actor> {
        let has_begun = |client| runner.has_begun(Actor::Client(client));
        let may_begin = |actor: &Actor| match actor {
            Actor::Client(client) if !has_begun(*client) => {
                self.0.iter().filter(|(_, other)| other == client).all(|(one, _)| has_begun(*one))
            }
            _ => true,
        };
        let choices: Vec<Actor> = runner.ready().filter(may_begin).collect();
        // The first of two identical ones may wait for something before it begins.
        if choices.is_empty() { runner.ready().collect() } else { choices }
    }
}
