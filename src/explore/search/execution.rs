//! What can be run again and again from its beginning, one interleaving each time.

use std::sync::Arc;

use async_trait::async_trait;

use super::access::StatementAccess;
use crate::explore::error::ExploreError;
use crate::explore::run::interleaving_runner::InterleavingRunner;
use crate::explore::run::observations::{Observations, Unsettled};
use crate::explore::transcript::Transcript;

/// How often a schedule is run again if its replay differs from the run before.
pub const REPLAYS_MAX: usize = 20;

/// Steps of one interleaving at most: an explore file of 8 sessions with 64 statements, each with a commit of its own, has 1,024. Retries are
/// bounded, so more steps are an endless loop.
pub const STEPS_MAX: usize = 2_000;

/// What can be run again and again from its beginning.
#[async_trait]
pub trait Execution: Send {
    /// Resets the rows, and brings every client to its first step.
    ///
    /// # Errors
    /// [`ExploreError`]; inside, [`Unsettled`].
    async fn begin(&mut self) -> Result<(InterleavingRunner<'_>, Result<(), Unsettled>), ExploreError>;

    /// Judges what was observed, once all sessions have ended.
    ///
    /// # Errors
    /// [`ExploreError`].
    async fn judge(&mut self, seen: Observations) -> Result<JudgedInterleaving, ExploreError>;

    /// The number of clients.
    fn clients(&self) -> u8;

    /// Whether two clients ask for the same, so that exchanging them changes nothing.
    fn identical(&self, one: u8, other: u8) -> bool;

    /// By what a step is recognised when it is run again in the same place: its name, or what its text has in common in two runs.
    fn step_key(&self) -> fn(&str, &str) -> String {
        |name, _sql| name.to_owned()
    }

    /// What statements access, where that is known and every session is at READ COMMITTED.
    fn access(&self) -> Option<Arc<dyn StatementAccess>> {
        None
    }
}

/// One interleaving, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedInterleaving {
    /// Everything that was observed.
    pub transcript: Transcript,
    /// The answers and the rows, a line each: equal for equal outcomes.
    pub outcome: Vec<String>,
    /// The names of what is wrong, the gravest first; empty if nothing is.
    pub anomalies: Vec<String>,
    /// What is wrong, in a sentence.
    pub explanation: String,
    /// A crash was planned and did not happen, so this is no interleaving of that crash and does not count.
    pub crash_missed: bool,
    /// The statement after which, or the step during which, the crash was planned.
    pub crash_after: Option<u32>,
}

impl JudgedInterleaving {
    /// Adds something that is wrong.
    pub fn add_anomaly(&mut self, name: &str, explanation: &str) {
        self.anomalies.push(name.to_owned());
        if self.explanation.is_empty() {
            explanation.clone_into(&mut self.explanation);
        }
    }
}
