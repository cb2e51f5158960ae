//! The database: a schema of our own on a PostgreSQL that may be somebody else's, its pool, and its seeds.

pub mod admission;
mod forgetting;
pub mod pool;
pub mod schema;
pub mod seed;
mod settings;
mod waiting;

use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::session::batch::{Batches, WriterObserver};
use crate::session::sqlstate::classify;
use crate::session::statement::Isolation;

use admission::Admission;
use pool::Pool;
use schema::{claim_schema, replace_data, seed_if_empty};
use seed::Seed;

/// The schema that holds everything of a server's.
pub const SCHEMA: &str = "concurrency_lab";

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The URL does not parse. It is not shown: it may hold a password.
    #[error("--database-url (DATABASE_URL) is not a PostgreSQL URL: {0}")]
    Url(#[source] sqlx::Error),
    /// Nobody answers, or not to us.
    #[error("cannot connect to the database: {0}")]
    Connect(#[source] sqlx::Error),
    /// The server is too old.
    #[error("the database is PostgreSQL {0}; version 13 or newer is needed")]
    TooOld(String),
    /// A schema of our name that we did not make.
    #[error(
        "the database already has a schema \"{0}\" that concurrency-lab did not make; nothing was changed. \
         Use another database, or rename that schema"
    )]
    ForeignSchema(String),
    /// A schema of ours, but of another version of this program.
    #[error("the schema of concurrency-lab does not fit this version of it: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A statement of the set-up failed.
    #[error("cannot prepare the database: {0}")]
    Prepare(#[from] sqlx::Error),
    /// The pool cannot be built.
    #[error("cannot build the connection pool: {0}")]
    Pool(#[from] deadpool::managed::BuildError),
}

/// A database that is migrated and ready. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Database {
    pool: Pool,
    admission: Arc<Admission>,
    mutexes: Arc<Admission>,
    batches: Arc<Batches>,
    aside: Arc<ReservedConnections>,
    metrics: Metrics,
    conditions: SessionConditions,
}

/// Connections beside the pool, for what must not wait for a busy one: bounded, or a flood of such requests would take
/// all that the server has.
#[derive(Debug)]
struct ReservedConnections {
    options: PgConnectOptions,
    connect_timeout: Duration,
    answer_timeout: Duration,
    queue_wait: Duration,
    /// One reset at a time: the next one would only wait for the same locks.
    resets: Arc<Semaphore>,
    /// Answering "are you there?" to more than a few at once tells nobody more.
    checks: Semaphore,
}

impl ReservedConnections {
    const RESETS: usize = 1;
    /// How often a reset that lost a deadlock is tried; each costs `deadlock_timeout`, a second.
    const RESET_ATTEMPTS: usize = 5;
    const CHECKS: usize = 2;

    fn new(options: PgConnectOptions, limits: &Limits) -> Self {
        Self {
            options,
            connect_timeout: limits.connect_timeout,
            answer_timeout: limits.statement_timeout + limits.statement_grace,
            queue_wait: limits.queue_wait,
            resets: Arc::new(Semaphore::new(Self::RESETS)),
            checks: Semaphore::new(Self::CHECKS),
        }
    }

    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        within(self.connect_timeout, PgConnection::connect_with(&self.options)).await
    }
}

/// A wait for the database with an end; what does not come in time counts as a lost connection.
///
/// # Errors
/// As PostgreSQL says, or [`sqlx::Error::Io`] when it says nothing.
pub async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let answered = tokio::time::timeout(limit, answer).await;
    answered.unwrap_or_else(|_elapsed| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())))
}

/// What an explorer changes about the sessions of a server. Servers that serve change nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionConditions {
    /// The level that every transaction gets, whatever its approach asks for.
    pub isolation: Option<Isolation>,
    /// A statement that writes outside a transaction is one by itself: it holds its locks until its own COMMIT, during which others
    /// may come. That COMMIT is made a step of its own, so that they do.
    pub commits_apart: bool,
}

/// What was found and done when a database was made ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeedOutcome {
    /// It was empty (or a reset was asked for) and has been seeded.
    Now,
    /// It held data of this seed.
    Before,
    /// It holds data of another seed, whose name is unknown to this version if `None`.
    Differently(Option<Seed>),
}

impl Database {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`DatabaseError::Url`].
    pub fn parse_url(url: &str) -> Result<PgConnectOptions, DatabaseError> {
        PgConnectOptions::from_str(url).map_err(DatabaseError::Url)
    }

    /// Connects, creates our schema or recognises it, migrates, seeds an empty database (or any, with `reset`).
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn prepare(
        options: PgConnectOptions,
        limits: &Limits,
        seed: Seed,
        reset: bool,
    ) -> Result<(Self, SeedOutcome), DatabaseError> {
        Self::prepare_in(SCHEMA, options, limits, seed, reset).await
    }

    /// The same in a schema of another name.
    ///
    /// # Errors
    /// As [`Database::prepare`].
    pub async fn prepare_in(
        schema: &str,
        options: PgConnectOptions,
        limits: &Limits,
        seed: Seed,
        reset: bool,
    ) -> Result<(Self, SeedOutcome), DatabaseError> {
        let settings = [
            ("search_path", schema.to_owned()),
            // Every statement of ours finds its rows by their keys whatever the values are. Left to itself, PostgreSQL would
            // plan those with an array anew each time, which is a fifth of what a batch costs it.
            ("plan_cache_mode", "force_generic_plan".to_owned()),
            // And a plan that was made while a table was tiny must still be good when it has grown. (At SERIALIZABLE a scan of
            // a whole table, however small, also conflicts with everybody who writes to it.)
            ("enable_seqscan", "off".to_owned()),
            ("lock_timeout", limits.lock_timeout.as_millis().to_string()),
            // From here on not for the set-up: a migration may take its time.
            ("statement_timeout", limits.statement_timeout.as_millis().to_string()),
            ("idle_in_transaction_session_timeout", limits.idle_in_transaction_timeout.as_millis().to_string()),
        ];
        let setup_options = options
            .application_name("concurrency-lab")
            .options(settings[..4].iter().cloned())
            .disable_statement_logging();
        let connecting = PgConnection::connect_with(&setup_options);
        let mut connection = within(limits.connect_timeout, connecting).await.map_err(DatabaseError::Connect)?;
        claim_schema(&mut connection, schema).await?;
        MIGRATIONS.run(&mut connection).await?;
        let seeded = seed_if_empty(&mut connection, seed, reset).await?;
        connection.close().await?;

        let options = setup_options.options(settings[4..].iter().cloned());
        let pool = Pool::new(options.clone(), limits)?;
        let admission = Admission::new(limits.row_sessions, limits.queue, limits.queue_wait);
        let mutexes = Admission::new(1, limits.queue, limits.queue_wait);
        let batches = Batches::new(limits);
        let aside = Arc::new(ReservedConnections::new(options, limits));
        Ok((
            Self {
                pool,
                admission,
                mutexes,
                batches,
                aside,
                metrics: Metrics::on(),
                conditions: SessionConditions::default(),
            },
            seeded,
        ))
    }

    /// The same, counting nothing.
    #[must_use]
    pub fn without_metrics(self) -> Self {
        Self { metrics: Metrics::off(), ..self }
    }

    /// The same, with these connections.
    #[must_use]
    pub fn with_pool(self, pool: Pool) -> Self {
        Self { pool, ..self }
    }

    /// The same rows as a server of its own sees them, under these conditions: what a server keeps in its memory is new.
    #[must_use]
    pub fn another_server(
        &self,
        limits: &Limits,
        conditions: SessionConditions,
        observed: Option<WriterObserver>,
    ) -> Self {
        Self {
            admission: Admission::new(limits.row_sessions, limits.queue, limits.queue_wait),
            mutexes: Admission::new(1, limits.queue, limits.queue_wait),
            batches: Batches::observed(limits, observed),
            conditions,
            ..self.clone()
        }
    }

    /// How its connections are opened.
    #[must_use]
    pub fn connect_options(&self) -> &PgConnectOptions {
        &self.aside.options
    }

    /// Under which conditions its sessions work.
    #[must_use]
    pub fn conditions(&self) -> SessionConditions {
        self.conditions
    }

    /// What happened on it, counted; within reach of whoever works on it.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The connections that serve requests.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Who may work on which row.
    #[must_use]
    pub fn admission(&self) -> &Arc<Admission> {
        &self.admission
    }

    /// The keyed mutexes of this process: admission with one place a row.
    #[must_use]
    pub fn mutexes(&self) -> &Arc<Admission> {
        &self.mutexes
    }

    /// The changes that wait for a transaction that they share.
    #[must_use]
    pub fn batches(&self) -> &Arc<Batches> {
        &self.batches
    }

    /// Replaces all data by a seed's, in one transaction on a connection of its own, so that a busy pool cannot
    /// keep it waiting.
    ///
    /// # Errors
    /// [`Error::NotDone`] when nothing was changed, [`Error::OutcomeUnknown`] when the answer of COMMIT was lost.
    pub async fn reset(&self, seed: Seed) -> Result<(), Error> {
        for _ in 1..ReservedConnections::RESET_ATTEMPTS {
            match self.try_reset(seed).await {
                // It locks whole tables, and each approach reaches for them in its own order.
                Err(Error::Conflict(_)) => {}
                settled => return settled,
            }
        }
        self.try_reset(seed).await
    }

    async fn try_reset(&self, seed: Seed) -> Result<(), Error> {
        let undecided = |error| classify(&error, false);
        let mut connection = self.aside.connect().await.map_err(undecided)?;
        let mut transaction = self.heard(connection.begin()).await.map_err(undecided)?;
        self.heard(replace_data(&mut transaction, seed)).await.map_err(undecided)?;
        self.heard(transaction.commit()).await.map_err(|error| classify(&error, true))?;
        if let Err(error) = self.heard(connection.close()).await {
            tracing::debug!(%error, "the reset is done, but its connection did not close cleanly");
        }
        Ok(())
    }

    /// Waits for the turn to reset. Whoever gives up waiting has changed nothing.
    ///
    /// # Errors
    /// [`Error::NotDone`] after `queue_wait`.
    pub async fn turn_to_reset(&self) -> Result<OwnedSemaphorePermit, Error> {
        let turn = Arc::clone(&self.aside.resets).acquire_owned();
        match tokio::time::timeout(self.aside.queue_wait, turn).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(closed)) => Err(Error::Bug(closed.to_string().into())),
            Err(_elapsed) => Err(Error::NotDone("Waited too long for other resets".into())),
        }
    }

    /// The database's answer, if it comes while it can be waited for; else the connection counts as lost.
    ///
    /// # Errors
    /// As PostgreSQL says, or [`sqlx::Error::Io`] when it says nothing.
    pub async fn heard<T>(&self, answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
        within(self.aside.answer_timeout, answer).await
    }

    /// How long a request may wait for its row and its connection.
    #[must_use]
    pub fn queue_wait(&self) -> Duration {
        self.aside.queue_wait
    }

    /// Whether the database answers, asked on a connection of the question's own.
    ///
    /// # Errors
    /// As PostgreSQL says.
    pub async fn check(&self) -> Result<(), sqlx::Error> {
        let _turn = self.aside.checks.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
        let mut connection = self.aside.connect().await?;
        self.heard(connection.ping()).await?;
        self.heard(connection.close()).await
    }
}
