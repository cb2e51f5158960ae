//! What the controller saw of an interleaving, or why it did not see the end of it.

use std::collections::BTreeMap;

use super::schedule::{Actor, Schedule};
use super::transcript::TranscriptStep;

/// Why an interleaving could not be run to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsettled {
    /// Somebody neither went on nor was seen to wait.
    #[error("{0} neither goes on nor waits for anybody that PostgreSQL names")]
    Runs(Actor),
    /// Somebody waits for a stranger.
    #[error("{0} waits for a session that is not the explorer's")]
    Stranger(Actor),
    /// On a busy machine a session has looked for deadlocks later than it should have, and was ended in place of the one who closed
    /// the circle.
    #[error("{0} looked for deadlocks too late")]
    Late(Actor),
    /// A session has come back from the queue for a row before the one behind which it stood: PostgreSQL wakes them one right after the other,
    /// and the second may be faster. It is as if they had come in the other order, which is an interleaving of its own.
    #[error("{0} has overtaken those before it in the queue for a row")]
    Overtaken(Actor),
    /// Retries are bounded, and no interleaving has so many steps.
    #[error("there is no end of it after {0} steps")]
    Endless(usize),
    /// All wait, and nothing ends it.
    #[error("everybody waits for somebody, and nobody's wait ends: {0}")]
    Stuck(String),
}

impl Unsettled {
    /// Whether it was chance: run again, it will end otherwise.
    #[must_use]
    pub fn by_chance(&self) -> bool {
        matches!(self, Self::Late(_) | Self::Overtaken(_))
    }
}

/// Everything that was seen.
#[derive(Debug)]
pub struct Observations {
    /// Who was let go.
    pub schedule: Schedule,
    /// The steps.
    pub entries: Vec<TranscriptStep>,
    /// What each client heard.
    pub heard: BTreeMap<Actor, String>,
}

impl Observations {
    /// The numbers of an actor's first step, and of the step with which its last one came back.
    #[must_use]
    pub fn lifetime(&self, actor: Actor) -> (usize, usize) {
        let own = |entry: &&TranscriptStep| entry.actor == actor;
        let began = self.entries.iter().position(|entry| entry.actor == actor).unwrap_or_default();
        let ended = self.entries.iter().rfind(own).and_then(|entry| entry.returned_with);
        (began, ended.unwrap_or(self.entries.len()))
    }
}
