//! A client's conversation with the database: the one seam through which every statement of a strategy passes.
//!
//! A session enters the queue of its rows before the first attempt, takes a connection when a statement needs one, and
//! gives it back when it has no more use for it: at its end, and while it pauses or backs off outside a transaction. It
//! knows whether a transaction is open, so it knows what a lost answer means ([`sqlstate`]). Probes attached to it
//! ([`probe`]) see, delay and cut its statements, and an idempotency key ([`idempotency_key`]) adds some of its own; the strategy
//! never knows. A session that has a change to make may also let others send it ([`batch`]).
//!
//! A session may be dropped at any moment: a connection with a statement or a transaction under way is then
//! closed, not returned, and the server rolls back.

pub mod batch;
pub mod idempotency_key;
pub mod memory;
pub mod probe;
mod sending;
pub mod sqlstate;
pub mod statement;

use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Executor, FromRow, Postgres};
use uuid::Uuid;

use crate::database::admission::RowPermits;
use crate::database::pool::Lease;
use crate::database::{Database, admission};
use crate::error::Error;
use domain::Row;

use idempotency_key::IdempotencyKey;
use probe::{Probe, ProcessEvent, StatementLog, Step};
use sending::encode;
use statement::{COMMIT, Isolation, LOCK_IN_PROCESS, Parameters, ROLLBACK, Statement};

/// One client's conversation with the database. See the [module](self).
pub struct Session {
    id: Uuid,
    database: Database,
    rows: Vec<Row>,
    probes: Vec<Box<dyn Probe>>,
    places: Option<RowPermits>,
    mutexes: Vec<RowPermits>,
    /// When the wait for a connection ends; the wait for the row counts.
    wait_until: Instant,
    /// Not yet told to the probes.
    waited_for_row: Duration,
    lease: Option<Lease>,
    transaction: Transaction,
    /// The key under which the change is to be made once.
    once: Option<IdempotencyKey>,
    /// Shares no transaction with others.
    alone: bool,
    /// A statement was sent and its answer has not been read to the end.
    in_flight: bool,
}

/// Where a session stands towards its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transaction {
    /// There is none: each statement commits by itself.
    None,
    /// Begun.
    Open,
    /// Aborted by an error: PostgreSQL takes nothing but ROLLBACK.
    Aborted,
}

impl Session {
    /// A session about these rows; it takes nothing yet.
    #[must_use]
    pub fn new(id: Uuid, database: Database, rows: Vec<Row>) -> Self {
        let wait_until = Instant::now() + database.queue_wait();
        let probes: Vec<Box<dyn Probe>> =
            if StatementLog::is_wanted() { vec![Box::new(StatementLog)] } else { Vec::new() };
        Self {
            wait_until,
            id,
            database,
            rows,
            probes,
            places: None,
            mutexes: Vec::new(),
            waited_for_row: Duration::ZERO,
            lease: None,
            transaction: Transaction::None,
            once: None,
            alone: false,
            in_flight: false,
        }
    }

    /// The id that stands on the session's log lines.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Attaches a probe; several may be attached.
    pub fn attach(&mut self, probe: Box<dyn Probe>) {
        self.probes.push(probe);
    }

    /// Takes the places at the session's rows, waiting for them if need be; the engine does so before the first
    /// attempt, so that a request that waits in the queue is no more than an entry there.
    ///
    /// # Errors
    /// [`Error::NotDone`]: too many wait already, or the wait was too long.
    pub async fn enter(&mut self) -> Result<(), Error> {
        let asked = (!self.probes.is_empty()).then(Instant::now);
        let places = self.database.admission().enter(&self.rows).await;
        self.places = Some(places.map_err(not_admitted)?);
        self.waited_for_row = asked.map(|asked| asked.elapsed()).unwrap_or_default();
        Ok(())
    }

    /// Begins a transaction at a named level.
    ///
    /// # Errors
    /// As [`Session::fetch_optional`].
    pub async fn begin(&mut self, isolation: Isolation) -> Result<(), Error> {
        // A key may have opened it before the first statement.
        if self.in_transaction() {
            return Ok(());
        }
        let isolation = self.database.conditions().isolation.unwrap_or(isolation);
        self.control(isolation.begin()).await?;
        self.transaction = Transaction::Open;
        self.claim_key().await
    }

    /// Commits the transaction. A lost answer is [`Error::OutcomeUnknown`]. A session that holds a key commits only when
    /// the engine knows the answer to store with it ([`Session::settle`]).
    ///
    /// # Errors
    /// As [`Session::fetch_optional`].
    pub async fn commit(&mut self) -> Result<(), Error> {
        if self.holds_key() { Ok(()) } else { self.commit_now().await }
    }

    /// Ends the transaction without a change; what was read in it under a lock is true all the same.
    ///
    /// # Errors
    /// As [`Session::fetch_optional`].
    pub async fn rollback(&mut self) -> Result<(), Error> {
        let rolled_back = self.control(&ROLLBACK).await;
        if rolled_back.is_err() {
            self.discard_connection();
        }
        self.transaction = Transaction::None;
        rolled_back
    }

    async fn commit_now(&mut self) -> Result<(), Error> {
        self.commit_by(&COMMIT).await
    }

    async fn commit_by(&mut self, commit: &'static Statement) -> Result<(), Error> {
        let committed = self.control(commit).await;
        // A COMMIT that fails has ended its transaction, unless it was cancelled before it began: after what is no usual
        // refusal, nobody else gets the connection.
        if !matches!(committed, Ok(()) | Err(Error::Conflict(_) | Error::Constraint(_))) {
            self.discard_connection();
        }
        self.transaction = Transaction::None;
        committed
    }

    /// Runs a statement that returns at most one row.
    ///
    /// # Errors
    /// Whatever [`sqlstate::classify`] makes of the database's answer; [`Error::NotDone`] when no
    /// connection was to be had in time.
    pub async fn fetch_optional<T>(
        &mut self,
        statement: &'static Statement,
        values: impl Parameters,
    ) -> Result<Option<T>, Error>
    where
        T: for<'r> FromRow<'r, PgRow>,
    {
        let row = self.send(statement, values).await?;
        row.as_ref().map(T::from_row).transpose().map_err(|error| bug(statement, &error))
    }

    /// Runs a statement that must return exactly one row.
    ///
    /// # Errors
    /// As [`Session::fetch_optional`]; no row is [`Error::Bug`].
    pub async fn fetch_one<T>(&mut self, statement: &'static Statement, values: impl Parameters) -> Result<T, Error>
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
    ) -> Result<Vec<T>, Error>
    where
        T: for<'r> FromRow<'r, PgRow>,
    {
        self.prepare_for_key().await?;
        let statement = self.amended(statement);
        let shown = self.shown(&values);
        let arguments = encode(statement, values)?;
        let rows: Vec<PgRow> = self
            .run(statement, &shown, async |connection: &mut PgConnection| {
                connection.fetch_all(sqlx::query_with::<Postgres, _>(statement.sql, arguments)).await
            })
            .await?;
        let rows: Result<Vec<T>, sqlx::Error> = rows.iter().map(T::from_row).collect();
        rows.map_err(|error| bug(statement, &error))
    }

    /// Takes the keyed mutexes of these rows, in order, in this process only; they are held until the attempt ends.
    ///
    /// # Errors
    /// [`Error::NotDone`]: too many wait already, or the wait was too long.
    pub async fn lock_in_process(&mut self, rows: &[Row]) -> Result<(), Error> {
        // Whoever holds the mutex may need a connection: those who wait for it must not hold them all.
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
            self.tell(ProcessEvent::Wants(row));
            let mutex = self.database.mutexes().enter(&[row]).await;
            self.mutexes.push(mutex.map_err(not_admitted)?);
            self.tell(ProcessEvent::Has(row));
        }
        Ok(())
    }

    /// Runs a statement whose rows, if it returns any, do not matter.
    ///
    /// # Errors
    /// As [`Session::fetch_optional`].
    pub async fn execute(&mut self, statement: &'static Statement, values: impl Parameters) -> Result<(), Error> {
        self.send(statement, values).await.map(drop)
    }

    /// Ends an attempt that failed: rolls back what is open and gives the connection back, but keeps the place at the
    /// row, so that a repeated attempt does not queue behind everybody who came later.
    pub async fn end_attempt(&mut self) {
        if self.in_transaction() && self.lease.is_some() && !self.in_flight {
            // If ROLLBACK fails, the connection is discarded and the server rolls back by itself.
            let _ = Box::pin(self.rollback()).await;
        }
        self.transaction = Transaction::None;
        self.release_connection();
        self.release_mutexes();
        self.give_key_back();
        // Another attempt holds its place at the row, and has few before it at the pool; it may wait anew.
        self.wait_until = Instant::now() + self.database.queue_wait();
    }

    /// Lets the probes hold the session back before a step; a connection that it does not need meanwhile goes back.
    async fn hold(&mut self, statement: &'static Statement, values: &[String]) {
        let resting = !self.in_transaction();
        for probe in &mut self.probes {
            if let Some(hold) = probe.hold(Step { statement, values }) {
                if resting {
                    self.lease = None;
                }
                hold.await;
            }
        }
    }

    /// What is sent for a statement of the strategy: itself, unless a probe wants to see what happens without a guard.
    fn amended(&mut self, statement: &'static Statement) -> &'static Statement {
        self.probes.iter_mut().find_map(|probe| probe.amends(statement)).unwrap_or(statement)
    }

    /// Tells the probes what happened inside the process.
    fn tell(&mut self, event: ProcessEvent<'_>) {
        self.probes.iter_mut().for_each(|probe| probe.inside(event));
    }

    /// The values of a statement, if anybody looks.
    fn shown(&self, values: &impl Parameters) -> Vec<String> {
        if self.probes.is_empty() { Vec::new() } else { values.shown() }
    }

    fn release_mutexes(&mut self) {
        if !self.mutexes.is_empty() {
            self.mutexes.clear();
            self.tell(ProcessEvent::Released);
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

/// A statement and its Rust side do not fit each other.
fn bug(statement: &Statement, what: &dyn std::fmt::Display) -> Error {
    Error::Bug(format!("{}: {what}", statement.name).into())
}

fn not_admitted(refused: admission::AdmissionRefused) -> Error {
    Error::NotDone(match refused {
        admission::AdmissionRefused::QueueFull => "Too many requests waiting".into(),
        admission::AdmissionRefused::WaitedTooLong => "Waited too long for the row".into(),
    })
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.in_transaction() || self.in_flight {
            self.discard_connection();
        }
        self.release_mutexes();
    }
}
