//! What happened in one interleaving, step by step.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schedule::{Actor, Schedule};

/// The beginning of [`Participant::heard`] if the client gave up.
pub const GAVE_UP: &str = "gave up: ";

/// One interleaving from its first step to its last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Transcript {
    /// The actor of each step: enough to run the interleaving again.
    pub schedule: Schedule,
    /// The clients and writers, in the order of the columns.
    pub parts: Vec<Participant>,
    /// The rows before the first step, a line each.
    pub before: Vec<String>,
    /// The steps, in the order in which they began.
    pub entries: Vec<TranscriptStep>,
    /// The rows after the last step, a line each.
    pub after: Vec<String>,
}

/// A client or a writer that took part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Participant {
    /// The client or writer.
    pub actor: Actor,
    /// What the client asked for, such as `withdraw 2 from user 1`. Of a writer, what it does.
    pub title: String,
    /// The answer, such as `done: user 1 has 8 (version 2)` or `refused: Insufficient funds`. A writer has none.
    pub heard: Option<String>,
}

/// One step: a statement (or a wait inside the process) from its beginning to its return.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TranscriptStep {
    /// The actor that took it.
    pub actor: Actor,
    /// The statement's name, such as `read`.
    pub name: String,
    /// The SQL that was sent, with parameters `$1` …. A step that is no SQL (a mutex, a queue) is described in an SQL comment.
    pub sql: String,
    /// The values of `$1` …, in order.
    pub values: Vec<String>,
    /// The wait, if it had to wait for another actor.
    pub wait: Option<StepWait>,
    /// The number of the step, from 0, with which it returned: its own if it did not wait, or else the step that ended its wait.
    /// `None` if it never returned.
    pub returned_with: Option<usize>,
    /// What it returned.
    pub outcome: StepOutcome,
    /// The notices that it received, such as `WARNING: there is no transaction in progress`. They are shown, and compared with nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
    /// The answer, as in [`Participant::heard`], if the actor's operation ended with this step.
    pub ended: Option<String>,
}

/// A wait for other actors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepWait {
    /// The actors that blocked it when the wait began.
    pub holders: Vec<Actor>,
    /// What it waited for: `wait_event` of `pg_stat_activity` (`transactionid`, `tuple`, `advisory`, `spectoken` …), or `mutex` or
    /// `batch` for a wait inside the server.
    pub on: String,
}

/// What a step returned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum StepOutcome {
    /// Rows, or none: each row's columns as `name = value`.
    Rows(Vec<Vec<String>>),
    /// Success of a statement that returns no rows.
    Done,
    /// The same, with PostgreSQL's command tag, such as `UPDATE 0`.
    Tag(String),
    /// An error.
    Error {
        /// Its SQLSTATE, such as `40001`, if the server sent one.
        sqlstate: Option<String>,
        /// Its message.
        message: String,
    },
    /// It was executed, and its connection was cut before the answer was received.
    Cut,
    /// It never returned.
    Lost,
}

impl Transcript {
    /// The answers and the final rows, a line each: equal for equal outcomes.
    #[must_use]
    pub fn outcome(&self) -> Vec<String> {
        let answers = self.parts.iter().filter_map(|part| Some(format!("{}: {}", part.actor, part.heard.as_ref()?)));
        answers.chain(self.after.iter().cloned()).collect()
    }

    /// Whether PostgreSQL ended a step because of a deadlock.
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

    /// Whether a step had to wait.
    #[must_use]
    pub fn waited(&self) -> bool {
        self.entries.iter().any(|entry| entry.wait.is_some())
    }
}
