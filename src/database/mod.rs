//! The database: connecting, a schema of our own on a PostgreSQL that may hold other data, its pool, and its seeds.
//!
//! It knows no sessions and no approaches, and it does not say what an error means for an operation:
//! [`crate::session::sqlstate`] does. What one server remembers beside it is in [`crate::server`].

pub mod commit_warning;
mod connection_limit;
mod connection_permits;
mod error_text;
mod examination;
pub mod isolation;
mod key_expiry;
mod migrations;
pub mod opening;
pub mod pool;
mod reserved;
pub mod schema;
pub mod seed;
mod settings;
mod setup_fault;
mod sharing;
mod tls;
pub(crate) mod waiting;

use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};

use crate::config::Limits;

pub use connection_limit::ConnectionLimit;
pub use error_text::ErrorText;
pub use examination::SessionSetting;
pub use reserved::{CheckError, ResetError, ResetPermit};
pub use settings::lost_by_a_crash;
pub use tls::connect;

use migrations::MIGRATIONS;
use opening::{ConnectionOpener, Examination, OpenError};
use pool::Pool;
use reserved::ReservedConnections;
use schema::{claim_schema, demand_schema, seed_if_empty};
use seed::Seed;
use setup_fault::{SetupConditions, SetupStep};

/// The schema that holds everything of a server's.
pub const SCHEMA: &str = "concurrency_lab";

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The URL does not parse. It is not shown, because it may hold a password.
    #[error("--database-url (DATABASE_URL) is not a PostgreSQL URL: {0}")]
    Url(#[source] sqlx::Error),
    /// No server answers there, or it refuses the connection.
    #[error("cannot connect to the database: {}", ErrorText(.0))]
    Connect(#[source] sqlx::Error),
    /// Its sessions are not what this program needs.
    #[error("the database cannot be used: {0}. Nothing was changed")]
    Session(#[source] OpenError),
    /// An explorer's database behind a pooler.
    #[error(
        "a connection pooler is between this program and PostgreSQL, and the explorer must reach PostgreSQL directly: it asks for the \
         settings of each session when it connects, and it watches the server processes"
    )]
    Indirect,
    /// The schema in which our tables would be created is another one.
    #[error(
        "the schema of the session is {found:?} and not \"{wanted}\", so no table was created; does the role's search_path or a pooler change it?"
    )]
    OtherSchema {
        /// Ours.
        wanted: String,
        /// What PostgreSQL says.
        found: Option<String>,
    },
    /// A right, a setting or something else that the set-up needs is missing.
    #[error("the database cannot be used: {missing} (PostgreSQL: {reason})")]
    Missing {
        /// What is missing, and what would provide it.
        missing: String,
        /// What PostgreSQL said.
        reason: String,
    },
    /// The server is too old.
    #[error("the database is PostgreSQL {0}; version 13 or newer is needed")]
    TooOld(String),
    /// A schema of our name that this program did not make.
    #[error(
        "the database already has a schema \"{0}\" that concurrency-lab did not make; nothing was changed. \
         Use another database, or rename that schema"
    )]
    ForeignSchema(String),
    /// A schema of ours, but of another version of this program.
    #[error("the schema of concurrency-lab does not fit this version of it: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A statement of the set-up failed.
    #[error("cannot prepare the database: {}", ErrorText(.0))]
    Prepare(#[from] sqlx::Error),
    /// The pool cannot be built.
    #[error("cannot build the connection pool: {0}")]
    Pool(#[from] deadpool::managed::BuildError),
}

impl From<OpenError> for DatabaseError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Connect(error) => Self::Connect(error),
            other => Self::Session(other),
        }
    }
}

/// A database that is migrated and ready. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Database {
    pool: Pool,
    reserved: Arc<ReservedConnections>,
    limit: ConnectionLimit,
}

/// Waits for the database at most `limit` long; an answer that does not come in time counts as a lost connection.
///
/// # Errors
/// As PostgreSQL reports, or [`sqlx::Error::Io`] when no answer comes.
pub async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let answered = tokio::time::timeout(limit, answer).await;
    answered.unwrap_or_else(|_elapsed| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())))
}

/// Which data a database holds after it was prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeedOutcome {
    /// It was empty (or a reset was asked for) and has been seeded.
    Now,
    /// It held data of this seed.
    Before,
    /// It holds data of another seed; `None` if this version does not know that seed.
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

    /// Connects, looks for a pooler that this program cannot use, creates our schema or recognises it, migrates it, and seeds an empty
    /// database (with `reset`, any database).
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn prepare(
        options: PgConnectOptions,
        limits: &Limits,
        seed: Seed,
        reset: bool,
    ) -> Result<(Self, SeedOutcome), DatabaseError> {
        let conditions = SetupConditions::new(&options, limits.lock_timeout);
        let opener = opener(SCHEMA, options, limits);
        let connection = first_connection(&opener, &conditions).await?;
        Self::prepare_with(SCHEMA, connection, &opener, &conditions, limits, seed, reset).await
    }

    /// The same in a schema of another name, and only without a pooler: for callers that open sessions of their own.
    ///
    /// # Errors
    /// As [`Database::prepare`], and [`DatabaseError::Indirect`].
    pub async fn prepare_in(
        schema: &str,
        options: PgConnectOptions,
        limits: &Limits,
        seed: Seed,
        reset: bool,
    ) -> Result<(Self, SeedOutcome), DatabaseError> {
        let conditions = SetupConditions::new(&options, limits.lock_timeout);
        let opener = opener(schema, options, limits);
        let connection = first_connection(&opener, &conditions).await?;
        if opener.is_pooled() {
            return Err(DatabaseError::Indirect);
        }
        Self::prepare_with(schema, connection, &opener, &conditions, limits, seed, reset).await
    }

    async fn prepare_with(
        schema: &str,
        mut connection: PgConnection,
        opener: &ConnectionOpener,
        conditions: &SetupConditions,
        limits: &Limits,
        seed: Seed,
        reset: bool,
    ) -> Result<(Self, SeedOutcome), DatabaseError> {
        let claimed = async {
            claim_schema(&mut connection, schema).await?;
            demand_schema(&mut connection, schema).await
        };
        claimed.await.map_err(|error| conditions.explain(SetupStep::Schema, error))?;
        let filled = async {
            MIGRATIONS.run(&mut connection).await?;
            Ok(seed_if_empty(&mut connection, seed, reset).await?)
        };
        let seeded = filled.await.map_err(|error| conditions.explain(SetupStep::Tables, error))?;
        let limit = ConnectionLimit::read(&mut connection).await?;
        connection.close().await?;

        // The set-up does not have these, because a migration may take long.
        let opener = Arc::new(opener.with_more(&[
            SessionSetting::time("statement_timeout", limits.statement_timeout),
            SessionSetting::time("idle_in_transaction_session_timeout", limits.idle_in_transaction_timeout),
        ]));
        let pool_size = limit.pool_size(limits.pool_size);
        let pool = Pool::examined(Arc::clone(&opener), &Limits { pool_size, ..*limits })?;
        // The pooler may give the next session what this one has left.
        if opener.is_pooled() {
            opener.open(Examination::Alone).await?.connection.close().await?;
        }
        let reserved = Arc::new(ReservedConnections::new(opener, limits));
        Ok((Self { pool, reserved, limit }, seeded))
    }

    /// The same database, reached through these connections.
    #[must_use]
    pub fn with_pool(self, pool: Pool) -> Self {
        Self { pool, ..self }
    }

    /// How its connections are opened.
    #[must_use]
    pub fn connect_options(&self) -> &PgConnectOptions {
        self.reserved.opener.options()
    }

    /// How many connections PostgreSQL allows, as it was at the start.
    #[must_use]
    pub fn connection_limit(&self) -> ConnectionLimit {
        self.limit
    }

    /// The connections that serve requests.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Waits for an answer of the database for a little longer than `statement_timeout`; after that, the connection counts
    /// as lost.
    ///
    /// # Errors
    /// As PostgreSQL reports, or [`sqlx::Error::Io`] when no answer comes.
    pub async fn await_answer<T>(
        &self,
        answer: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        within(self.reserved.answer_timeout, answer).await
    }
}

/// The connection of the set-up.
async fn first_connection(
    opener: &ConnectionOpener,
    conditions: &SetupConditions,
) -> Result<PgConnection, DatabaseError> {
    let opened = opener.open(Examination::Beside).await;
    opened.map(|opened| opened.connection).map_err(|error| conditions.explain(SetupStep::Connect, error.into()))
}

/// How the set-up connects.
fn opener(schema: &str, options: PgConnectOptions, limits: &Limits) -> ConnectionOpener {
    let options = options.application_name("concurrency-lab").disable_statement_logging();
    let settings = vec![
        SessionSetting::new("search_path", schema),
        // Every statement here finds its rows by their keys, whatever the values are. By default PostgreSQL would plan
        // a statement with an array parameter anew each time, which is a fifth of what a batch costs it.
        SessionSetting::new("plan_cache_mode", "force_generic_plan"),
        // A plan that was made while a table was tiny must still be good when the table has grown. (At SERIALIZABLE, a
        // scan of a whole table also conflicts with every transaction that writes to it, however small the table is.)
        SessionSetting::new("enable_seqscan", "off"),
        SessionSetting::time("lock_timeout", limits.lock_timeout),
    ];
    ConnectionOpener::new(options, settings, limits.connect_timeout)
}
