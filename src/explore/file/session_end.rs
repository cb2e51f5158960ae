//! How a session of a file ended.

use sqlx::postgres::PgConnection;

use super::notices::SessionNotices;
use super::sending::error_text;
use super::template::{MissingVariable, Variables};

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionResult {
    /// In words, such as `done` or `gave up: 40001 could not serialize access due to concurrent update`.
    pub heard: String,
    /// What each statement of the last attempt returned.
    pub answers: Vec<ScriptAnswer>,
    /// The SQLSTATE of the error that ended it, or in spite of which it went on.
    pub sqlstate: Option<String>,
    /// It has committed a statement that may have changed something.
    pub changed: bool,
    /// What each statement that it sent came to, in order.
    pub sent: Vec<StatementRun>,
    /// The values that the last attempt has read.
    pub variables: Variables,
}

/// The rows that a statement of a session returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptAnswer {
    /// The statement's name.
    pub statement: String,
    /// The rows, as they are compared: each row's columns as `name = value`, without what a sequence gave.
    pub rows: Vec<Vec<String>>,
}

/// What a statement came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementRun {
    /// The statement's name.
    pub name: String,
    /// The rows that it changed, or returned.
    pub rows: u64,
    /// Its error, with the SQLSTATE.
    pub error: Option<(String, String)>,
}

/// The end of a session.
#[derive(Debug)]
pub struct SessionEnd {
    /// How it ended.
    pub result: SessionResult,
    /// Its connections, if they were not cut.
    pub connections: Option<SessionConnections>,
}

/// The connections of a session.
#[derive(Debug)]
pub struct SessionConnections {
    /// For its statements.
    pub own: PgConnection,
    /// The notices that this connection receives.
    pub notices: SessionNotices,
    /// For its conditions, if it has any: they must not become part of its transactions.
    pub conditions: Option<PgConnection>,
}

/// Why a session could not be run to its end. The cause is the file or the machine; it is not a finding.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// A statement has a placeholder for a value that was not read.
    #[error("{missing}")]
    Missing {
        /// The statement's name.
        statement: String,
        /// The missing value.
        missing: MissingVariable,
    },
    /// There was no answer, or it cannot be used.
    #[error("{}", error_text(error))]
    Unanswered {
        /// The statement's name.
        statement: String,
        /// The error.
        error: sqlx::Error,
    },
}

impl ScriptError {
    /// The name of the statement.
    #[must_use]
    pub fn statement(&self) -> &str {
        match self {
            Self::Missing { statement, .. } | Self::Unanswered { statement, .. } => statement,
        }
    }
}
