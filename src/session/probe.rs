//! The seam for observers and tormentors of a session.
//!
//! A probe stands between a strategy and the database without either knowing: it may hold a session back before a
//! step, hears of every statement that came back, and may cut the connection after it. With no probe attached, a
//! session does not even read the clock.
//!
//! Most steps are statements. Waits inside the process go through the same gate, for they decide who goes on as locks do:
//! a mutex of ours, the queue of batches ([`ProcessEvent`]).

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
    /// The statement, or what stands for a wait inside the process.
    pub statement: &'static Statement,
    /// The values of its parameters, `$1` first, as text.
    pub values: &'a [String],
}

/// How long a session is held back.
pub type Delay<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

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
    /// The rows returned, or the error.
    pub outcome: Result<&'a [PgRow], &'a sqlx::Error>,
}

/// What happens to a session inside the process, where the database sees nothing.
#[derive(Debug, Clone, Copy)]
pub enum ProcessEvent<'a> {
    /// It wants the mutex of a row, and waits for it if somebody has it.
    Wants(Row),
    /// It has that mutex.
    Has(Row),
    /// It has none any more.
    Released,
    /// Its change lies in the queue of batches, and it waits for the answer.
    Queued,
    /// A writer has taken so many changes out of the queue.
    Took(usize),
    /// A writer has answered these sessions.
    Answered(&'a [Uuid]),
}

/// An observer (trace, log) or a tormentor (think time, fault) of one session.
pub trait Probe: Send {
    /// Holds the session back before a step; `None` lets it go at once.
    fn hold(&mut self, step: Step<'_>) -> Option<Delay<'_>> {
        let _ = step;
        None
    }

    /// Another statement to send in place of this one: what if a guard were missing?
    fn amends(&mut self, statement: &'static Statement) -> Option<&'static Statement> {
        let _ = statement;
        None
    }

    /// Hears that a statement came back.
    fn completed(&mut self, completed: &Completed<'_>) {
        let _ = completed;
    }

    /// Hears what happened inside the process.
    fn inside(&mut self, event: ProcessEvent<'_>) {
        let _ = event;
    }

    /// Whether to cut the connection now that this statement has been carried out, before its answer is heard of.
    fn cuts_after(&mut self, statement: &Statement) -> bool {
        let _ = statement;
        false
    }
}

/// Pauses before each statement that writes: the time an application spends between reading and writing,
/// in which a race can happen.
#[derive(Debug)]
pub struct ThinkTime(pub Duration);

impl Probe for ThinkTime {
    fn hold(&mut self, step: Step<'_>) -> Option<Delay<'_>> {
        (step.statement.effect == Effect::Writes).then(|| Box::pin(tokio::time::sleep(self.0)) as Delay<'_>)
    }
}

/// Cuts the connection after a number of statements, as a network or a failover does: what was not committed by then is
/// rolled back, and whether the last one was is for the session to say.
#[derive(Debug)]
pub struct Fault {
    /// Statements still to come, the last one of which is cut; 0 once it was.
    pub statements: u32,
}

impl Probe for Fault {
    fn cuts_after(&mut self, _: &Statement) -> bool {
        let cut = self.statements == 1;
        self.statements = self.statements.saturating_sub(1);
        cut
    }
}

/// Writes a line of log for each statement, when that is asked for.
#[derive(Debug)]
pub struct StatementLog;

impl StatementLog {
    /// Whether anybody wants to read them.
    #[must_use]
    pub fn is_wanted() -> bool {
        tracing::enabled!(target: "concurrency_lab::session", tracing::Level::DEBUG)
    }
}

impl Probe for StatementLog {
    fn completed(&mut self, completed: &Completed<'_>) {
        let &Completed { session, statement, waited, took, outcome } = completed;
        let (rows, error) = (outcome.ok().map(<[_]>::len), outcome.err().map(tracing::field::display));
        tracing::debug!(
            target: "concurrency_lab::session", %session, ?waited, ?took, rows, error, sql = statement.sql, "{}", statement.name
        );
    }
}

/// One line of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceSpan {
    /// What was sent.
    pub statement: &'static Statement,
    /// Wait for row and connection before it.
    pub waited: Duration,
    /// Round trip, work and lock waits.
    pub took: Duration,
}

/// Statements a trace keeps; an attempt has about 5, and a session that retries for long is told by its first ones.
const SPANS_MAX: usize = 64;

/// Records the statements of a session, for `Server-Timing`.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    spans: Arc<Mutex<Vec<TraceSpan>>>,
}

impl Trace {
    /// What has been recorded so far, oldest first.
    #[must_use]
    pub fn spans(&self) -> Vec<TraceSpan> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Probe for Trace {
    fn completed(&mut self, completed: &Completed<'_>) {
        let &Completed { statement, waited, took, .. } = completed;
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        if spans.len() < SPANS_MAX {
            spans.push(TraceSpan { statement, waited, took });
        }
    }
}
