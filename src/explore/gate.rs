//! The gate: the probe at which every step of a session waits until the controller lets it go.
//!
//! It tells the controller where its session stands, what came back, and what happens inside the process, all through one
//! channel, so that the controller hears it in the order in which it happened. When the controller is gone, the
//! gate stands open, and whoever waits at it runs to its end.

use std::sync::Arc;

use sqlx::postgres::{PgDatabaseError, PgRow};
use tokio::sync::{Notify, mpsc};
use uuid::Uuid;

use super::named_ids;
use super::schedule::Actor;
use super::transcript::StepOutcome;
use crate::session::probe::{Completed, Delay, Probe, ProcessEvent, Step};
use crate::session::statement::Statement;
use domain::Row;

/// What the controller hears.
#[derive(Debug)]
pub enum GateEvent {
    /// Somebody new: a writer whom nobody has seen yet, or a client's first word.
    Arrives {
        /// Lets it go, a step for each.
        go: mpsc::Sender<()>,
        /// On which server.
        server: u8,
        /// Its session.
        session: Uuid,
    },
    /// It stands before this step.
    Stands {
        /// The statement's name.
        name: String,
        /// Its text.
        sql: String,
        /// The values of its parameters.
        values: Vec<String>,
    },
    /// Its step came back.
    Returned(StepOutcome),
    /// It wants the mutex of a row.
    Wants(Row),
    /// It has that mutex.
    Has(Row),
    /// It has no mutex any more.
    Released,
    /// It waits for the answer of a batch.
    Queued,
    /// It has answered the changes of these sessions.
    Answered(Vec<Uuid>),
    /// Its session has ended.
    Gone,
    /// Its operation has ended, and this is what it heard.
    Heard(String),
    /// Its client waits no longer, while the operation goes on.
    HungUp(String),
}

/// Where events go: a few for each step, and the controller reads them all before it lets another step go.
pub type GateEvents = mpsc::UnboundedSender<(Actor, GateEvent)>;

/// The gate of one session.
#[derive(Debug)]
pub struct Gate {
    actor: Actor,
    events: GateEvents,
    go: mpsc::Receiver<()>,
    /// Statements after which its connection is cut; 0 once it was, or never is.
    cut_after: u32,
    /// Steps until one during which its client hangs up, and who tells it.
    hang_up: Option<(u32, Arc<Notify>)>,
}

impl Gate {
    /// A gate for an actor's session, of which the controller hears at once.
    #[must_use]
    pub fn new(actor: Actor, server: u8, session: Uuid, events: GateEvents) -> Self {
        let (go, gone) = mpsc::channel(1);
        let gate = Self { actor, events, go: gone, cut_after: 0, hang_up: None };
        gate.tell(GateEvent::Arrives { go, server, session });
        gate
    }

    /// The same, with its connection cut after so many statements, from 1.
    #[must_use]
    pub fn cut_after(mut self, statements: u32) -> Self {
        self.cut_after = statements;
        self
    }

    /// The same, with its client told to hang up while this step, from 1, is under way.
    #[must_use]
    pub fn hang_up_during(mut self, step: u32, client: Arc<Notify>) -> Self {
        self.hang_up = Some((step, client));
        self
    }

    /// Waits before a step until it is let go.
    pub async fn step(&mut self, name: &str, sql: &str, values: &[String]) {
        self.tell(GateEvent::Stands { name: name.to_owned(), sql: sql.to_owned(), values: values.to_vec() });
        // None: the controller is gone, and the gate open.
        self.go.recv().await;
        if let Some((steps, client)) = &mut self.hang_up {
            *steps = steps.saturating_sub(1);
            if *steps == 0 {
                client.notify_one();
                self.hang_up = None;
            }
        }
    }

    /// Tells what came back from a step.
    pub fn returned(&self, outcome: Result<&[PgRow], &sqlx::Error>, rows: bool) {
        self.tell(GateEvent::Returned(match outcome {
            Ok([]) if !rows => StepOutcome::Done,
            Ok(rows) => StepOutcome::Rows(rows.iter().map(named_ids::columns).collect()),
            Err(error) => failed(error),
        }));
    }

    /// Whether the connection is to be cut now that one more statement has been carried out.
    pub fn cuts(&mut self) -> bool {
        let cut = self.cut_after == 1;
        self.cut_after = self.cut_after.saturating_sub(1);
        if cut {
            self.was_cut();
        }
        cut
    }

    /// Tells that the connection was cut, and the answer of the last step not heard.
    pub fn was_cut(&self) {
        self.tell(GateEvent::Returned(StepOutcome::Cut));
    }

    /// Nobody hears it when the controller is gone.
    fn tell(&self, event: GateEvent) {
        let _ = self.events.send((self.actor, event));
    }
}

fn failed(error: &sqlx::Error) -> StepOutcome {
    let answer = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    match answer {
        Some(answer) => {
            StepOutcome::Error { sqlstate: Some(answer.code().to_owned()), message: answer.message().to_owned() }
        }
        None => StepOutcome::Error { sqlstate: None, message: error.to_string() },
    }
}

impl Probe for Gate {
    fn hold(&mut self, Step { statement, values }: Step<'_>) -> Option<Delay<'_>> {
        let Statement { name, sql, .. } = *statement;
        let values = values.to_vec();
        Some(Box::pin(async move { self.step(name, sql, &values).await }))
    }

    fn completed(&mut self, completed: &Completed<'_>) {
        self.returned(completed.outcome, named_ids::returns_rows(completed.statement.sql));
    }

    fn cuts_after(&mut self, _: &Statement) -> bool {
        self.cuts()
    }

    fn inside(&mut self, event: ProcessEvent<'_>) {
        self.tell(match event {
            ProcessEvent::Wants(row) => GateEvent::Wants(row),
            ProcessEvent::Has(row) => GateEvent::Has(row),
            ProcessEvent::Released => GateEvent::Released,
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
        self.tell(GateEvent::Gone);
    }
}
