//! What the runner knows of one client or one writer.

use std::time::Instant;

use tokio::sync::mpsc;
use uuid::Uuid;

use crate::explore::transcript::StepWait;
use domain::Row;

/// A client, or a writer of batches, during an interleaving.
#[derive(Debug)]
pub struct ActorState {
    /// Lets its next step go.
    pub go: mpsc::Sender<()>,
    /// The server that it is on.
    pub server: u8,
    /// Its session.
    pub session: Uuid,
    /// What it is doing.
    pub phase: ActorPhase,
    /// The number of its last step.
    pub entry: Option<usize>,
    /// Since when PostgreSQL reports that it waits, and for which sessions.
    pub blocked: Option<(Instant, StepWait)>,
}

/// What an actor is doing.
#[derive(Debug)]
pub enum ActorPhase {
    /// Its step is under way, or waits for a lock in PostgreSQL.
    Running,
    /// It is at the gate, before this step.
    Ready {
        /// The statement's name.
        name: String,
        /// Its text.
        sql: String,
        /// The values of its parameters.
        values: Vec<String>,
    },
    /// It has asked for the mutex of a row, and waits if another actor holds it.
    WantsMutex(Row),
    /// It waits for the answer of a batch.
    Queued,
    /// It waits inside its application, for something that only another actor can end.
    WaitsInApplication,
    /// Its operation has ended.
    Ended,
}

/// Where an actor is between two steps, when all are still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActorStatus {
    /// It is at the gate, before this step, and can go next.
    Ready {
        /// The statement's name.
        name: String,
        /// The statement that it is about to send.
        sql: String,
        /// The values of its parameters.
        values: Vec<String>,
    },
    /// Its last step is under way, and waits.
    Waits(StepWait),
    /// It has ended, with this answer. A writer has no answer.
    Ended(Option<String>),
}

impl ActorState {
    /// An actor that has just started.
    #[must_use]
    pub fn new(go: mpsc::Sender<()>, server: u8, session: Uuid) -> Self {
        Self { go, server, session, phase: ActorPhase::Running, entry: None, blocked: None }
    }
}
