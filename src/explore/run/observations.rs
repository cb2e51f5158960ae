//! What the runner observed of an interleaving, or why it could not observe its end.

use std::collections::BTreeMap;

use crate::explore::schedule::{Actor, Schedule};
use crate::explore::transcript::TranscriptStep;

/// Why an interleaving could not be run to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsettled {
    /// An actor is at work, and PostgreSQL does not report that it waits.
    #[error(
        "{0} neither finishes its step nor waits for a session that PostgreSQL names; the machine may be overloaded"
    )]
    Runs(Actor),
    /// An actor waits for a session of another program.
    #[error("{0} waits for a session of another program on this database; end that session, and explore again")]
    Stranger(Actor),
    /// On a busy machine a session has run its deadlock check too late, and was the victim in place of the session that closed
    /// the cycle.
    #[error(
        "the deadlock check of {0} came too late, so PostgreSQL ended the wrong session; the machine may be overloaded"
    )]
    Late(Actor),
    /// A session has left the queue for a row before the one ahead of it. PostgreSQL wakes them one right after the other, and the
    /// second may be faster. The effect is that of the other order in the queue, which is an interleaving of its own.
    #[error("{0} overtook a session ahead of it in the queue for a row; the machine may be overloaded")]
    Overtaken(Actor),
    /// The interleaving has more steps than bounded retries can make.
    #[error("the interleaving has not ended after {0} steps")]
    Endless(usize),
    /// An actor that the explorer does not run itself does not come to its next step.
    #[error("{0}: {1}")]
    Unfit(Actor, String),
    /// All actors wait for each other, and PostgreSQL ends none of these waits.
    #[error("every session waits, and PostgreSQL ends none of these waits: {0}")]
    Stuck(String),
}

impl Unsettled {
    /// Whether it depends on timing, so that another run may go well.
    #[must_use]
    pub fn by_chance(&self) -> bool {
        matches!(self, Self::Late(_) | Self::Overtaken(_))
    }
}

/// Everything that was observed.
#[derive(Debug)]
pub struct Observations {
    /// The actor of each step.
    pub schedule: Schedule,
    /// The steps.
    pub entries: Vec<TranscriptStep>,
    /// The answer of each client.
    pub heard: BTreeMap<Actor, String>,
}

impl Observations {
    /// The number of an actor's first step, and of the step with which its last one returned.
    #[must_use]
    pub fn lifetime(&self, actor: Actor) -> (usize, usize) {
        let own = |entry: &&TranscriptStep| entry.actor == actor;
        let began = self.entries.iter().position(|entry| entry.actor == actor).unwrap_or_default();
        let ended = self.entries.iter().rfind(own).and_then(|entry| entry.returned_with);
        (began, ended.unwrap_or(self.entries.len()))
    }
}
