//! A session: one client's conversation with the database, and the one seam through which every statement of a strategy
//! passes.
//!
//! A session enters the queues of its rows before the first attempt, takes a connection when a statement needs one, and
//! gives it back when it is not needed: at its end, and while it pauses or backs off outside a transaction. It knows
//! whether a transaction is open, so it knows what a lost answer means ([`sqlstate`]). Probes that are attached to it
//! ([`probe`]) observe, delay and cut its statements, and an idempotency key ([`idempotency_key`]) adds statements; the
//! strategy does not notice either. A session may also make its change in a batch that it shares with others ([`batch`]).
//!
//! A session may be dropped at any moment. A connection with a statement or a transaction in progress is then closed and
//! not given back, and PostgreSQL rolls back.

pub mod batch;
pub mod error;
pub mod idempotency_key;
pub mod memory;
pub mod probe;
mod sending;
pub mod sqlstate;
pub mod statement;

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Executor, FromRow, Postgres};
use uuid::Uuid;

use crate::database::isolation::Isolation;
use crate::database::pool::Lease;
use crate::server::Server;
use crate::server::admission::RowPermits;
use domain::Row;

pub use error::AttemptError;

use batch::BatchQueue;
use idempotency_key::IdempotencyKey;
use probe::{Probe, ProcessEvent, StatementLog, Step};
use sending::encode;
use statement::{COMMIT, LOCK_IN_PROCESS, Parameters, ROLLBACK, Statement, WAIT_BRIEFLY};

/// One client's conversation with the database. See the [module](self).
pub struct Session {
    id: Uuid,
    server: Server,
    rows: Vec<Row>,
    probes: Vec<Box<dyn Probe>>,
    row_permits: Option<RowPermits>,
    mutexes: Vec<RowPermits>,
    /// When the wait for a connection ends; it includes the wait for the row.
    wait_until: Instant,
    /// Not yet reported to the probes.
    waited_for_row: Duration,
    lease: Option<Lease>,
    transaction: Transaction,
    /// The key under which the change is made at most once.
    key: Option<IdempotencyKey>,
    /// Where the session's change may wait for a batch; without it, the change is a batch of its own.
    batches: Option<Arc<BatchQueue>>,
    /// A statement was sent and its answer has not been read to the end.
    in_flight: bool,
    /// Its transactions wait for a lock only briefly.
    waits_briefly: bool,
}

/// The state of a session's transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transaction {
    /// There is none: each statement commits by itself.
    None,
    /// Begun.
    Open,
    /// Aborted by an error: PostgreSQL accepts only ROLLBACK.
    Aborted,
}

impl Session {
    /// A session that works on these rows. It takes no permit and no connection yet.
    #[must_use]
    pub fn new(id: Uuid, server: Server, rows: Vec<Row>) -> Self {
        let wait_until = Instant::now() + server.queue_wait();
        let probes: Vec<Box<dyn Probe>> =
            if StatementLog::is_wanted() { vec![Box::new(StatementLog)] } else { Vec::new() };
        Self {
            wait_until,
            id,
            server,
            rows,
            probes,
            row_permits: None,
            mutexes: Vec::new(),
            waited_for_row: Duration::ZERO,
            lease: None,
            transaction: Transaction::None,
            key: None,
            batches: None,
            in_flight: false,
            waits_briefly: false,
        }
    }

    /// The id of the session, which is on its log lines.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Attaches a probe; several may be attached.
    pub fn attach(&mut self, probe: Box<dyn Probe>) {
        self.probes.push(probe);
    }

    /// Takes the permits of the session's rows, and waits for them if need be. The engine does so before the first attempt,
    /// so that a request that waits in the queue is no more than an entry there.
    ///
    /// # Errors
    /// [`AttemptError::NotDone`]: too many requests wait already, or the wait was too long.
    pub async fn enter_rows(&mut self) -> Result<(), AttemptError> {
        let started = (!self.probes.is_empty()).then(Instant::now);
        self.row_permits = Some(self.server.admission().enter(&self.rows).await?);
        self.waited_for_row = started.map(|started| started.elapsed()).unwrap_or_default();
        Ok(())
    }

    /// Begins a transaction at a named level.
    ///
    /// # Errors
    /// As [`Session::fetch_optional`].
    pub async fn begin(&mut self, isolation: Isolation) -> Result<(), AttemptError> {
        // A session with an idempotency key may have opened the transaction before the strategy's first statement.
        if self.in_transaction() {
            return Ok(());
        }
        let isolation = self.server.conditions().isolation.unwrap_or(isolation);
        self.control(isolation.begin()).await?;
        self.transaction = Transaction::Open;
        if self.waits_briefly {
            self.control(&WAIT_BRIEFLY).await?;
        }
        self.claim_key().await
    }

    /// Commits the transaction. A lost answer is [`AttemptError::OutcomeUnknown`]. A session that holds a key does not commit
    /// here but in [`Session::complete_attempt`], when the answer that is stored with the key is known.
    ///
    /// # Errors
    /// As [`Session::fetch_optional`].
    pub async fn commit(&mut self) -> Result<(), AttemptError> {
        if self.holds_key() { Ok(()) } else { self.commit_now().await }
    }

    /// Ends the transaction without a change. What it read under a lock was true all the same.
    ///
    /// # Errors
    /// As [`Session::fetch_optional`].
    pub async fn rollback(&mut self) -> Result<(), AttemptError> {
        let rolled_back = self.control(&ROLLBACK).await;
        if rolled_back.is_err() {
            self.discard_connection();
        }
        self.transaction = Transaction::None;
        rolled_back
    }

    async fn commit_now(&mut self) -> Result<(), AttemptError> {
        self.commit_by(&COMMIT).await
    }

    async fn commit_by(&mut self, commit: &'static Statement) -> Result<(), AttemptError> {
        let committed = self.control(commit).await;
        // A COMMIT that fails has ended its transaction, unless it was cancelled before it began. So the connection is
        // only used again after one of the usual refusals.
        if !matches!(committed, Ok(()) | Err(AttemptError::Conflict(_) | AttemptError::Constraint(_))) {
            self.discard_connection();
        }
        self.transaction = Transaction::None;
        committed
    }

    /// Runs a statement that returns at most one row.
    ///
    /// # Errors
    /// The meaning of the database's answer by [`sqlstate::classify`]; [`AttemptError::NotDone`] if no connection came free
    /// in time.
    pub async fn fetch_optional<T>(
        &mut self,
        statement: &'static Statement,
        values: impl Parameters,
    ) -> Result<Option<T>, AttemptError>
    where
        T: for<'r> FromRow<'r, PgRow>,
    {
        let row = self.send(statement, values).await?;
        row.as_ref().map(T::from_row).transpose().map_err(|error| bug(statement, &error))
    }

    /// Runs a statement that must return exactly one row.
    ///
    /// # Errors
    /// As [`Session::fetch_optional`]; no row is [`AttemptError::Bug`].
    pub async fn fetch_one<T>(
        &mut self,
        statement: &'static Statement,
        values: impl Parameters,
    ) -> Result<T, AttemptError>
    where
        T: for<'r> FromRow<'r, PgRow>,
    {
        let row = self.fetch_optional(statement, values).await?;
        row.ok_or_else(|| bug(statement, &"no row"))
    }

    /// Runs a statement that returns a few rows.
    ///
    /// # Errors
    /// As [`Session::fetch_optional`].
    pub async fn fetch_all<T>(
        &mut self,
        statement: &'static Statement,
        values: impl Parameters,
    ) -> Result<Vec<T>, AttemptError>
    where
        T: for<'r> FromRow<'r, PgRow>,
    {
        self.prepare_for_key().await?;
        let statement = self.amended(statement);
        let texts = self.texts_for_probes(&values);
        let arguments = encode(statement, values)?;
        let rows: Vec<PgRow> = self
            .run(statement, &texts, async |connection: &mut PgConnection| {
                connection.fetch_all(sqlx::query_with::<Postgres, _>(statement.sql, arguments)).await
            })
            .await?;
        let rows: Result<Vec<T>, sqlx::Error> = rows.iter().map(T::from_row).collect();
        rows.map_err(|error| bug(statement, &error))
    }

    /// Takes the keyed mutexes of these rows, in order, in this process only. They are held until the attempt ends.
    ///
    /// # Errors
    /// [`AttemptError::NotDone`]: too many requests wait already, or the wait was too long.
    pub async fn lock_in_process(&mut self, rows: &[Row]) -> Result<(), AttemptError> {
        // The session that has the mutex may need a connection, so the sessions that wait for the mutex must not hold all of them.
        if !self.in_transaction() {
            self.release_connection();
        }
        let mut rows = rows.to_vec();
        rows.sort_unstable();
        rows.dedup();
        for row in rows {
            if !self.probes.is_empty() {
                self.hold(&LOCK_IN_PROCESS, &[row.to_string()]).await;
            }
            self.notify_probes(ProcessEvent::Wants(row));
            let mutex = self.server.mutexes().enter(&[row]).await;
            self.mutexes.push(mutex?);
            self.notify_probes(ProcessEvent::Has(row));
        }
        Ok(())
    }

    /// Runs a statement and ignores the rows that it may return.
    ///
    /// # Errors
    /// As [`Session::fetch_optional`].
    pub async fn execute(
        &mut self,
        statement: &'static Statement,
        values: impl Parameters,
    ) -> Result<(), AttemptError> {
        self.send(statement, values).await.map(drop)
    }

    /// Ends an attempt that failed: rolls back an open transaction and gives the connection back. The session keeps its
    /// permits for the rows, so that a repeated attempt does not queue behind requests that came later.
    pub async fn fail_attempt(&mut self) {
        if self.in_transaction() && self.lease.is_some() && !self.in_flight {
            // If ROLLBACK fails, the connection is discarded and the server rolls back by itself.
            let _ = Box::pin(self.rollback()).await;
        }
        self.transaction = Transaction::None;
        self.release_connection();
        self.release_mutexes();
        self.return_key();
        // The next attempt has its permits already, and few requests are before it in the pool's queue: its wait starts anew.
        self.wait_until = Instant::now() + self.server.queue_wait();
    }

    /// Lets the probes hold the session before a step. A connection that is not needed meanwhile goes back.
    async fn hold(&mut self, statement: &'static Statement, values: &[String]) {
        let outside_transaction = !self.in_transaction();
        for probe in &mut self.probes {
            if let Some(delay) = probe.delay(Step { statement, values }) {
                if outside_transaction {
                    self.lease = None;
                }
                delay.await;
            }
        }
    }

    /// The statement that is sent for a statement of the strategy: itself, unless a probe replaces it to remove a guard.
    fn amended(&mut self, statement: &'static Statement) -> &'static Statement {
        self.probes.iter_mut().find_map(|probe| probe.amends(statement)).unwrap_or(statement)
    }

    /// Tells the probes what happened inside the process.
    fn notify_probes(&mut self, event: ProcessEvent<'_>) {
        self.probes.iter_mut().for_each(|probe| probe.inside(event));
    }

    /// The values of a statement as text, if a probe is attached.
    fn texts_for_probes(&self, values: &impl Parameters) -> Vec<String> {
        if self.probes.is_empty() { Vec::new() } else { values.texts() }
    }

    fn release_mutexes(&mut self) {
        if !self.mutexes.is_empty() {
            self.mutexes.clear();
            self.notify_probes(ProcessEvent::Released);
        }
    }

    fn in_transaction(&self) -> bool {
        self.transaction != Transaction::None
    }

    fn release_connection(&mut self) {
        self.lease = None;
    }

    fn discard_connection(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.discard();
        }
        self.transaction = Transaction::None;
    }
}

/// A statement does not fit the Rust code that uses it.
fn bug(statement: &Statement, what: &dyn std::fmt::Display) -> AttemptError {
    AttemptError::Bug(format!("{}: {what}", statement.name).into())
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.in_transaction() || self.in_flight {
            self.discard_connection();
        }
        self.release_mutexes();
    }
}
