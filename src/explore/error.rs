//! Why an exploration fails. A violation is not a failure: it is a finding.

use std::any::Any;

use crate::database::{DatabaseError, ErrorText};

/// Why an exploration fails.
#[derive(Debug, thiserror::Error)]
pub enum ExploreError {
    /// The schema cannot be prepared.
    #[error(transparent)]
    Prepare(#[from] DatabaseError),
    /// The database does not answer, or answers with an error that no client caused.
    #[error("the database failed during the exploration: {}", ErrorText(.0))]
    Database(#[from] sqlx::Error),
    /// The runtime or the thread of a worker cannot be started.
    #[error("cannot start a worker: {0}")]
    Worker(#[from] std::io::Error),
    /// A worker panicked. What the others found is incomplete, so it is not reported.
    #[error(
        "a worker of the explorer panicked while {activity}: {message}\nThis is a bug in concurrency-lab, and nothing \
         is proved. Run this exploration alone with RUST_BACKTRACE=1, and report the bug with the output."
    )]
    Panicked {
        /// What it was doing, such as `exploring "last-money, naive"`.
        activity: String,
        /// The message of the panic.
        message: String,
    },
    /// An explore file cannot be used.
    #[error("{0}")]
    Script(String),
    /// A schedule cannot be followed.
    #[error("the schedule cannot be followed: {0}")]
    Schedule(String),
    /// Another explorer works on this database. Two of them would change each other's rows.
    #[error("another exploration uses this database; wait until it ends, or use another database")]
    Busy,
    /// Sessions do not end, although they were let go and then terminated.
    #[error("sessions of an interleaving do not end, although the explorer terminated them; restart the database")]
    NeverEnds,
}

impl ExploreError {
    /// The error for a panic during this activity.
    #[must_use]
    pub fn panicked(activity: &str, panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let message = text.unwrap_or("a panic without a message").to_owned();
        Self::Panicked { activity: activity.to_owned(), message }
    }

    /// The same error, with the explore file that causes it.
    #[must_use]
    pub fn in_file(self, path: &str) -> Self {
        match self {
            Self::Script(reason) => Self::Script(format!("{path}: {reason}")),
            other => other,
        }
    }
}
