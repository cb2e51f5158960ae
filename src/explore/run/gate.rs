//! The gate: the probe at which every step of a session waits until the runner lets it go.
//!
//! The gate reports to the runner which step comes next, what a step returned, and what happens inside the process. All gates use
//! one channel, so the runner receives the events in the order in which they happened. When the runner is dropped, the gate is
//! open: its session runs to the end.

use std::sync::Arc;

use sqlx::postgres::{PgDatabaseError, PgRow};
use tokio::sync::{Notify, mpsc};
use uuid::Uuid;

use crate::explore::row_text::columns;
use crate::explore::schedule::Actor;
use crate::explore::sql_words::returns_rows;
use crate::explore::transcript::StepOutcome;
use crate::session::probe::{Completed, Delay, Probe, ProcessEvent, Step};
use crate::session::statement::Statement;
use domain::Row;

/// An event that the runner receives from an actor.
#[derive(Debug)]
pub enum GateEvent {
    /// A session has started: a client's, or that of a new writer.
    Started {
        /// Lets its next step go.
        go: mpsc::Sender<()>,
        /// The server that it is on.
        server: u8,
        /// The session.
        session: Uuid,
    },
    /// It is at the gate, before this step.
    Ready {
        /// The statement's name.
        name: String,
        /// Its text.
        sql: String,
        /// The values of its parameters.
        values: Vec<String>,
    },
    /// Its step has received these notices, and is about to return.
    Noticed(Vec<String>),
    /// Its step has returned.
    Returned(StepOutcome),
    /// It asks for the mutex of a row.
    WantsMutex(Row),
    /// It has that mutex.
    HasMutex(Row),
    /// It has released its mutexes.
    ReleasedMutexes,
    /// It waits for the answer of a batch.
    Queued,
    /// Its application has been silent for so long that it must wait for something that PostgreSQL does not know of.
    WaitsInApplication,
    /// That wait may be over.
    GoesOnInApplication,
    /// It has answered the changes of these sessions.
    Answered(Vec<Uuid>),
    /// Its session has ended.
    SessionEnded,
    /// Its operation has ended, with this answer.
    OperationEnded(String),
    /// Its client has hung up, and its operation goes on. This is what the client knows.
    HungUp(String),
    /// The interleaving cannot go on, for this reason.
    Stuck(String),
}

/// Where events are sent. Unbounded: a step makes a few events, and the runner reads them all before it lets another step go.
pub type GateEvents = mpsc::UnboundedSender<(Actor, GateEvent)>;

/// The gate of one session.
#[derive(Debug)]
pub struct Gate {
    actor: Actor,
    events: GateEvents,
    go: mpsc::Receiver<()>,
    /// Statements until its connection is cut; 0 if it is not cut, or was.
    cut_after: u32,
    /// Steps until the one during which its client hangs up, and how the client is notified.
    hang_up: Option<(u32, Arc<Notify>)>,
}

impl Gate {
    /// A gate for an actor's session. The runner is notified at once that the session has started.
    #[must_use]
    pub fn new(actor: Actor, server: u8, session: Uuid, events: GateEvents) -> Self {
        let (go, let_go) = mpsc::channel(1);
        let gate = Self { actor, events, go: let_go, cut_after: 0, hang_up: None };
        gate.send(GateEvent::Started { go, server, session });
        gate
    }

    /// The same, with the connection cut after this statement, counted from 1; 0 for never.
    #[must_use]
    pub fn cut_after(mut self, statements: u32) -> Self {
        self.cut_after = statements;
        self
    }

    /// The same, with the client notified to hang up during this step, counted from 1.
    #[must_use]
    pub fn hang_up_during(mut self, step: u32, client: Arc<Notify>) -> Self {
        self.hang_up = Some((step, client));
        self
    }

    /// Waits before a step until the runner lets it go.
    pub async fn step(&mut self, name: &str, sql: &str, values: &[String]) {
        self.send(GateEvent::Ready { name: name.to_owned(), sql: sql.to_owned(), values: values.to_vec() });
        // It returns None when the runner is dropped: then the gate is open.
        self.go.recv().await;
        if let Some((steps, client)) = &mut self.hang_up {
            *steps = steps.saturating_sub(1);
            if *steps == 0 {
                client.notify_one();
                self.hang_up = None;
            }
        }
    }

    /// Reports the notices that a step received, before its result.
    pub fn noticed(&self, notices: Vec<String>) {
        if !notices.is_empty() {
            self.send(GateEvent::Noticed(notices));
        }
    }

    /// Reports what a step returned. `rows` says that the statement returns rows, so that none is an answer as well.
    pub fn returned(&self, outcome: Result<&[PgRow], &sqlx::Error>, rows: bool) {
        match outcome {
            Ok([]) if !rows => self.returned_tag(""),
            outcome => self.returned_rows(outcome),
        }
    }

    /// Reports the rows that a step returned, maybe none.
    pub fn returned_rows(&self, outcome: Result<&[PgRow], &sqlx::Error>) {
        self.send(GateEvent::Returned(match outcome {
            Ok(rows) => StepOutcome::Rows(rows.iter().map(columns).collect()),
            Err(error) => error_outcome(error),
        }));
    }

    /// Reports the success of a step that returns no rows, with its command tag if there is something to say.
    pub fn returned_tag(&self, tag: &str) {
        self.send(GateEvent::Returned(if tag.is_empty() {
            StepOutcome::Done
        } else {
            StepOutcome::Tag(tag.to_owned())
        }));
    }

    /// Whether the connection is to be cut, now that one more statement was executed.
    pub fn cuts(&mut self) -> bool {
        let cut = self.cut_after == 1;
        self.cut_after = self.cut_after.saturating_sub(1);
        if cut {
            self.was_cut();
        }
        cut
    }

    /// Reports that the connection was cut before the answer of the last step was received.
    pub fn was_cut(&self) {
        self.send(GateEvent::Returned(StepOutcome::Cut));
    }

    /// Sends an event. When the runner is dropped, the event is, too.
    fn send(&self, event: GateEvent) {
        let _ = self.events.send((self.actor, event));
    }
}

fn error_outcome(error: &sqlx::Error) -> StepOutcome {
    let answer = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    match answer {
        Some(answer) => {
            StepOutcome::Error { sqlstate: Some(answer.code().to_owned()), message: answer.message().to_owned() }
        }
        None => StepOutcome::Error { sqlstate: None, message: error.to_string() },
    }
}

impl Probe for Gate {
    fn delay(&mut self, Step { statement, values }: Step<'_>) -> Option<Delay<'_>> {
        let Statement { name, sql, .. } = *statement;
        let values = values.to_vec();
        Some(Box::pin(async move { self.step(name, sql, &values).await }))
    }

    fn completed(&mut self, completed: &Completed<'_>) {
        self.returned(completed.outcome, returns_rows(completed.statement.sql));
    }

    fn cuts_after(&mut self, _: &Statement) -> bool {
        self.cuts()
    }

    fn inside(&mut self, event: ProcessEvent<'_>) {
        self.send(match event {
            ProcessEvent::Wants(row) => GateEvent::WantsMutex(row),
            ProcessEvent::Has(row) => GateEvent::HasMutex(row),
            ProcessEvent::Released => GateEvent::ReleasedMutexes,
            ProcessEvent::Queued => GateEvent::Queued,
            ProcessEvent::Took(changes) => {
                let rows = vec![vec![format!("changes = {changes}")]];
                GateEvent::Returned(StepOutcome::Rows(rows))
            }
            ProcessEvent::Answered(sessions) => GateEvent::Answered(sessions.to_vec()),
        });
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.send(GateEvent::SessionEnded);
    }
}
