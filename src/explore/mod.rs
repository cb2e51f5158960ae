//! The explorer: every interleaving of a few clients' statements, on the real database.
//!
//! Load shows that a race happened; only enumeration shows that it cannot. Each client runs its approach, the code that serves
//! requests, on a connection of its own behind a gate; a controller lets one statement go at a time, until every order has been
//! run.
//!
//! - [`scenario`]: a few rows, and what the clients want of them
//! - [`schedule`]: who is let go, step by step; [`transcript`]: what happened then
//! - [`gate`]: where a session waits to be let go; [`interleaving_runner`]: lets it, and waits until everybody stands still, with
//!   [`monitor`], which asks PostgreSQL who waits for whom; [`actor_state`]: whom it knows
//! - [`observations`]: what it saw
//! - [`explorer_database`]: rows and connections; [`execution`]: one interleaving of an approach, [`mutation`]: without one of its guards
//! - [`position`]: one interleaving up to a step, and who can go next
//! - [`search`]: all interleavings, [`branch`]: from where they part, [`independence`]: and which of them are equivalent
//! - [`oracle`]: whether a serial order explains what was seen; [`classify`]: what it is called if none does
//! - [`crash`]: connections cut and clients gone, after each statement in turn
//! - [`catalog`]: what there is to explore; [`exploration`]: all this for one subject; [`findings`]: what it proves
//! - [`file`](mod@file): transactions that somebody else has thought of
//! - [`worker_pool`]: several subjects at once; [`report`]: what people and programs read of it all

pub mod actor_state;
pub mod branch;
pub mod catalog;
pub mod classify;
pub mod crash;
pub mod execution;
pub mod exploration;
pub mod explorer_database;
pub mod file;
pub mod findings;
pub mod gate;
pub mod independence;
pub mod interleaving_runner;
pub mod monitor;
pub mod mutation;
pub mod named_ids;
pub mod observations;
pub mod oracle;
pub mod position;
pub mod report;
pub mod scenario;
pub mod schedule;
pub mod search;
pub mod transcript;
pub mod worker_pool;

use crate::database::DatabaseError;

/// Why nothing can be explored.
#[derive(Debug, thiserror::Error)]
pub enum ExploreError {
    /// The schema cannot be made ready.
    #[error(transparent)]
    Prepare(#[from] DatabaseError),
    /// The database did not answer, or not as it should.
    #[error("the database failed during the exploration: {0}")]
    Database(#[from] sqlx::Error),
    /// No runtime could be started for a worker.
    #[error("cannot start a worker: {0}")]
    Worker(#[from] std::io::Error),
    /// An explore file is of no use.
    #[error("{0}")]
    Script(String),
    /// A schedule cannot be followed.
    #[error("the schedule cannot be followed: {0}")]
    Schedule(String),
    /// Two explorers would change each other's rows.
    #[error("somebody else explores on this database; wait for that to end, or use another database")]
    Busy,
    /// Clients that were left to themselves do not end.
    #[error("an interleaving that was left does not end")]
    NeverEnds,
}

impl ExploreError {
    /// The same, with the file whose fault it is.
    #[must_use]
    pub fn in_file(self, path: &str) -> Self {
        match self {
            Self::Script(what) => Self::Script(format!("{path}: {what}")),
            other => other,
        }
    }
}
