//! What happened in one interleaving, step by step, as people and programs read it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schedule::{Actor, Schedule};

/// How [`Participant::heard`] begins of a client that gave up.
pub const GAVE_UP: &str = "gave up: ";

/// One interleaving from its first step to its last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Transcript {
    /// Who was let go, step by step: enough to run it again.
    pub schedule: Schedule,
    /// Who took part, in the order of the columns.
    pub parts: Vec<Participant>,
    /// The rows before the first step, a line each.
    pub before: Vec<String>,
    /// The steps, in the order in which they were let go.
    pub entries: Vec<TranscriptStep>,
    /// The rows after the last step, a line each.
    pub after: Vec<String>,
}

/// One who took part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Participant {
    /// Who.
    pub actor: Actor,
    /// What was asked, such as `withdraw 2 from user 1`; of a writer, whose batches it makes.
    pub title: String,
    /// How it ended, such as `done: user 1 has 8 (version 2)` or `refused: Insufficient funds`; nothing of a writer.
    pub heard: Option<String>,
}

/// One step: something that was held at the gate, let go, and came back, at once or after a wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TranscriptStep {
    /// Who took it.
    pub actor: Actor,
    /// The statement's name, such as `read`.
    pub name: String,
    /// What was sent, with `$1` … parameters. For what is no SQL (a mutex, a queue), what it is, as an SQL comment.
    pub sql: String,
    /// The values of `$1` …, in order.
    pub values: Vec<String>,
    /// The wait, if it had to wait for somebody.
    pub wait: Option<StepWait>,
    /// The number of the step, from 0, that it came back with: its own if it did not wait, else the one that ended its wait. `None` if it never came back.
    pub returned_with: Option<usize>,
    /// What came back.
    pub outcome: StepOutcome,
    /// The actor's operation ended with this step: what it was answered, as in [`Participant::heard`].
    pub ended: Option<String>,
}

/// A wait for somebody else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepWait {
    /// Who held what was waited for, when the wait began.
    pub holders: Vec<Actor>,
    /// What was waited for, in PostgreSQL's words for it (`transactionid`, `tuple`, `advisory`, `spectoken` …: `wait_event` of
    /// `pg_stat_activity`), or `mutex` or `batch` for waits inside the server.
    pub on: String,
}

/// What came back from a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum StepOutcome {
    /// Rows, or none: each row's columns as `name = value`.
    Rows(Vec<Vec<String>>),
    /// Success of something that returns no rows.
    Done,
    /// An error.
    Error {
        /// Its SQLSTATE, such as `40001`, if the server sent one.
        sqlstate: Option<String>,
        /// Its message.
        message: String,
    },
    /// Carried out, but its connection was cut before the answer was heard.
    Cut,
    /// It never came back.
    Lost,
}

impl Transcript {
    /// The answers and the rows that are left, a line each: equal for equal outcomes.
    #[must_use]
    pub fn outcome(&self) -> Vec<String> {
        let answers = self.parts.iter().filter_map(|part| Some(format!("{}: {}", part.actor, part.heard.as_ref()?)));
        answers.chain(self.after.iter().cloned()).collect()
    }

    /// Whether a step was ended by the deadlock detector.
    #[must_use]
    pub fn deadlocked(&self) -> bool {
        self.has_sqlstate("40P01")
    }

    /// Whether a step ended with this SQLSTATE.
    #[must_use]
    pub fn has_sqlstate(&self, wanted: &str) -> bool {
        self.entries.iter().any(
            |entry| matches!(&entry.outcome, StepOutcome::Error { sqlstate: Some(sqlstate), .. } if sqlstate == wanted),
        )
    }

    /// Whether a client gave up.
    #[must_use]
    pub fn gave_up(&self) -> bool {
        self.parts.iter().any(|part| part.heard.as_ref().is_some_and(|heard| heard.starts_with(GAVE_UP)))
    }

    /// Whether anybody had to wait.
    #[must_use]
    pub fn waited(&self) -> bool {
        self.entries.iter().any(|entry| entry.wait.is_some())
    }
}
