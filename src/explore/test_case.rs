//! A test case: an approach in a scenario, and the conditions under which its clients run.

use std::sync::Arc;

use super::findings::{CrashKind, Servers};
use super::mutation::Mutation;
use super::scenario::ExploreScenario;
use crate::server::SessionConditions;
use crate::session::statement::Isolation;
use crate::strategy::Strategy;

/// One cell of the table: what is explored.
#[derive(Clone)]
pub struct TestCase {
    /// The approach's code.
    pub strategy: &'static dyn Strategy,
    /// The rows, and the change that each client asks for.
    pub scenario: ExploreScenario,
    /// The number of clients.
    pub clients: u8,
    /// The servers of the clients.
    pub servers: Servers,
    /// A level for every transaction, if it is not left to the approach.
    pub isolation: Option<Isolation>,
    /// What is replaced in the approach's SQL.
    pub mutation: Option<Arc<Mutation>>,
    /// The COMMIT of a statement outside a transaction is a step of its own, so that other clients can run while the statement
    /// holds its locks.
    pub commits_apart: bool,
    /// The crash of the first client.
    pub crash: Option<Crash>,
}

impl TestCase {
    /// The conditions of its sessions.
    #[must_use]
    pub fn conditions(&self) -> SessionConditions {
        SessionConditions { isolation: self.isolation, commits_apart: self.commits_apart }
    }
}

/// A crash of the first client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crash {
    /// The kind of crash.
    pub kind: CrashKind,
    /// The statement after which it happens, or the step during which it happens, from 1. Each in turn if `None`.
    pub after: Option<u32>,
}
