//! One who takes part in an interleaving, as the controller knows it.

use std::time::Instant;

use tokio::sync::mpsc;
use uuid::Uuid;

use super::transcript::StepWait;
use domain::Row;

/// A client, or a writer of batches.
#[derive(Debug)]
pub struct ActorState {
    /// Lets it go, a step for each.
    pub go: mpsc::Sender<()>,
    /// On which server.
    pub server: u8,
    /// Its session.
    pub session: Uuid,
    /// Where it is.
    pub status: ActorPhase,
    /// Its last entry.
    pub entry: Option<usize>,
    /// Since when PostgreSQL says that it waits, and for whom.
    pub blocked: Option<(Instant, StepWait)>,
}

/// Where a player is.
#[derive(Debug)]
pub enum ActorPhase {
    /// On its way to its next step, unless PostgreSQL says that it waits.
    Running,
    /// At the gate, before this step.
    Stands {
        /// The statement's name.
        name: String,
        /// Its text.
        sql: String,
        /// The values of its parameters.
        values: Vec<String>,
    },
    /// It waits for the mutex of a row, if anybody has it.
    WantsMutex(Row),
    /// It waits for the answer of a batch.
    Queued,
    /// Its operation has ended.
    Ended,
}

impl ActorState {
    /// One who has just come.
    #[must_use]
    pub fn new(go: mpsc::Sender<()>, server: u8, session: Uuid) -> Self {
        Self { go, server, session, status: ActorPhase::Running, entry: None, blocked: None }
    }
}
