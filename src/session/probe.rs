//! Probes observe, delay and cut the statements of a session.
//!
//! A probe is between a strategy and the database, and neither notices it. It may hold the session before a step, it gets
//! every statement that has returned, and it may cut the connection after one. With no probe attached, a session does not
//! even read the clock.
//!
//! Most steps are statements. Waits inside the process are steps too, because they decide which session goes on as locks
//! do: a keyed mutex, and the queue of batches ([`ProcessEvent`]).

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::statement::{Effect, Statement};
use domain::Row;

/// What a session is about to do.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// The statement, or the constant that stands for a wait inside the process.
    pub statement: &'static Statement,
    /// The values of its parameters, `$1` first, as text.
    pub values: &'a [String],
}

/// A delay of a session: it ends when the session may go on.
pub type Delay<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A statement that has returned.
#[derive(Debug, Clone, Copy)]
pub struct Completed<'a> {
    /// The session that sent it.
    pub session: Uuid,
    /// The statement.
    pub statement: &'static Statement,
    /// How long the session was queued for its row before this statement; zero if it held its place.
    pub waited_for_row: Duration,
    /// How long it then waited for a connection; zero if it had one.
    pub waited_for_connection: Duration,
    /// From sending it to the end of its answer: the round trip, the work, and the waits for locks.
    pub took: Duration,
    /// The rows returned, or the error.
    pub outcome: Result<&'a [PgRow], &'a sqlx::Error>,
}

/// An event of a session inside the process, which the database does not see.
#[derive(Debug, Clone, Copy)]
pub enum ProcessEvent<'a> {
    /// It wants the mutex of a row, and waits if another session has it.
    Wants(Row),
    /// It has got that mutex.
    Has(Row),
    /// It has released all its mutexes.
    Released,
    /// Its change is in the queue for the next batch, and it waits for the answer.
    Queued,
    /// A writer has taken so many changes from the queue.
    Took(usize),
    /// A writer has answered these sessions.
    Answered(&'a [Uuid]),
}

/// An observer of one session (trace, log), or a disturbance of it (think time, fault).
pub trait Probe: Send {
    /// Holds the session before a step; with `None` it goes on at once.
    fn delay(&mut self, step: Step<'_>) -> Option<Delay<'_>> {
        let _ = step;
        None
    }

    /// A statement to send in place of this one, to show what happens without a guard.
    fn amends(&mut self, statement: &'static Statement) -> Option<&'static Statement> {
        let _ = statement;
        None
    }

    /// Called when a statement has returned.
    fn completed(&mut self, completed: &Completed<'_>) {
        let _ = completed;
    }

    /// Called when something happened inside the process.
    fn inside(&mut self, event: ProcessEvent<'_>) {
        let _ = event;
    }

    /// Whether to cut the connection now that this statement was executed, so that the session does not get its answer.
    fn cuts_after(&mut self, statement: &Statement) -> bool {
        let _ = statement;
        false
    }
}

/// Pauses before each statement that writes. An application spends such a time between reading and writing, and in it a race
/// can happen.
#[derive(Debug)]
pub struct ThinkTime(pub Duration);

impl Probe for ThinkTime {
    fn delay(&mut self, step: Step<'_>) -> Option<Delay<'_>> {
        (step.statement.effect == Effect::Writes).then(|| Box::pin(tokio::time::sleep(self.0)) as Delay<'_>)
    }
}

/// Cuts the connection after a number of statements, as a network failure or a failover does. PostgreSQL rolls back what was
/// not committed by then; the session decides what the lost answer means.
#[derive(Debug)]
pub struct Fault {
    /// Statements still to come; the connection is cut after the last of them. 0 once it was cut.
    pub statements: u32,
}

impl Probe for Fault {
    fn cuts_after(&mut self, _: &Statement) -> bool {
        let cut = self.statements == 1;
        self.statements = self.statements.saturating_sub(1);
        cut
    }
}

/// Writes a log line for each statement, if the log level asks for it.
#[derive(Debug)]
pub struct StatementLog;

impl StatementLog {
    /// Whether the log level asks for these lines.
    #[must_use]
    pub fn is_wanted() -> bool {
        tracing::enabled!(target: "concurrency_lab::session", tracing::Level::DEBUG)
    }
}

impl Probe for StatementLog {
    fn completed(&mut self, completed: &Completed<'_>) {
        let &Completed { session, statement, waited_for_row, waited_for_connection, took, outcome } = completed;
        let (rows, error) = (outcome.ok().map(<[_]>::len), outcome.err().map(tracing::field::display));
        tracing::debug!(
            target: "concurrency_lab::session", %session, ?waited_for_row, ?waited_for_connection, ?took, rows, error, sql = statement.sql, "{}", statement.name
        );
    }
}

/// One statement of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceSpan {
    /// The statement.
    pub statement: &'static Statement,
    /// How long the session was queued for its row before it.
    pub waited_for_row: Duration,
    /// How long it then waited for a connection.
    pub waited_for_connection: Duration,
    /// The round trip, the work, and the waits for locks.
    pub took: Duration,
}

/// The most statements that a trace keeps. An attempt has about 5; of a session with many retries, the first ones are kept.
const SPANS_MAX: usize = 64;

/// Records the statements of a session, for `Server-Timing`.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    spans: Arc<Mutex<Vec<TraceSpan>>>,
}

impl Trace {
    /// The statements so far, oldest first.
    #[must_use]
    pub fn spans(&self) -> Vec<TraceSpan> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Probe for Trace {
    fn completed(&mut self, completed: &Completed<'_>) {
        let &Completed { statement, waited_for_row, waited_for_connection, took, .. } = completed;
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        if spans.len() < SPANS_MAX {
            spans.push(TraceSpan { statement, waited_for_row, waited_for_connection, took });
        }
    }
}
