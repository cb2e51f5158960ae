//! The seam for observers and tormentors of a session.
//!
//! A probe stands between a strategy and the database without either knowing: it may pause a session before a
//! statement, and it hears of every statement that came back. With no probe attached, a session does not even
//! read the clock.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use super::statement::{Effect, Statement};

/// What a probe hears when a statement has come back.
#[derive(Debug, Clone, Copy)]
pub struct Completed<'a> {
    /// The session that sent it.
    pub session: Uuid,
    /// What was sent.
    pub statement: &'static Statement,
    /// How long the session had waited for its row and its connection before it could be sent; zero if it held them.
    pub waited: Duration,
    /// From sending it to its whole answer: the round trip, the work, and the locks that it waited for.
    pub took: Duration,
    /// Rows returned or affected, or the error.
    pub outcome: Result<u64, &'a sqlx::Error>,
}

/// An observer (trace) or a tormentor (think time) of one session.
pub trait Probe: Send {
    /// How long to pause before this statement is sent.
    fn pause_before(&mut self, statement: &Statement) -> Option<Duration> {
        let _ = statement;
        None
    }

    /// Hears that a statement came back.
    fn completed(&mut self, completed: &Completed<'_>) {
        let _ = completed;
    }
}

/// Pauses before each statement that writes: the time an application spends between reading and writing,
/// in which a race can happen.
#[derive(Debug)]
pub struct ThinkTime(pub Duration);

impl Probe for ThinkTime {
    fn pause_before(&mut self, statement: &Statement) -> Option<Duration> {
        (statement.effect == Effect::Writes).then_some(self.0)
    }
}

/// One line of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// What was sent.
    pub statement: &'static Statement,
    /// Wait for row and connection before it.
    pub waited: Duration,
    /// Round trip, work and lock waits.
    pub took: Duration,
}

/// Statements a trace keeps; an attempt has about 5, and a session that retries for long is told by its first ones.
const SPANS_MAX: usize = 64;

/// Records the statements of a session, for `Server-Timing` and for the log.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Trace {
    /// What has been recorded so far, oldest first.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Probe for Trace {
    fn completed(&mut self, completed: &Completed<'_>) {
        let &Completed { session, statement, waited, took, outcome } = completed;
        match outcome {
            Ok(rows) => tracing::debug!(
                target: "concurrency_lab::session", %session, ?waited, ?took, rows, sql = statement.sql, "{}", statement.name
            ),
            Err(error) => tracing::debug!(
                target: "concurrency_lab::session", %session, ?waited, ?took, %error, sql = statement.sql, "{}", statement.name
            ),
        }
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        if spans.len() < SPANS_MAX {
            spans.push(Span { statement, waited, took });
        }
    }
}
