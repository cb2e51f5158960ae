//! The database: connecting, a schema of our own on a PostgreSQL that may hold other data, its pool, and its seeds.
//!
//! It knows no sessions and no approaches, and it does not say what an error means for an operation:
//! [`crate::session::sqlstate`] does. What one server remembers beside it is in [`crate::server`].

pub mod isolation;
mod key_expiry;
pub mod pool;
mod reserved;
pub mod schema;
pub mod seed;
mod settings;
pub(crate) mod waiting;

use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};

use crate::config::Limits;

pub use reserved::{ResetError, ResetPermit};

use pool::Pool;
use reserved::ReservedConnections;
use schema::{claim_schema, seed_if_empty};
use seed::Seed;

/// The schema that holds everything of a server's.
pub const SCHEMA: &str = "concurrency_lab";

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The URL does not parse. It is not shown, because it may hold a password.
    #[error("--database-url (DATABASE_URL) is not a PostgreSQL URL: {0}")]
    Url(#[source] sqlx::Error),
    /// No server answers there, or it refuses the connection.
    #[error("cannot connect to the database: {0}")]
    Connect(#[source] sqlx::Error),
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
    reserved: Arc<ReservedConnections>,
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

    /// Connects, creates our schema or recognises it, migrates it, and seeds an empty database (with `reset`, any database).
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
            // Every statement here finds its rows by their keys, whatever the values are. By default PostgreSQL would plan
            // a statement with an array parameter anew each time, which is a fifth of what a batch costs it.
            ("plan_cache_mode", "force_generic_plan".to_owned()),
            // A plan that was made while a table was tiny must still be good when the table has grown. (At SERIALIZABLE, a
            // scan of a whole table also conflicts with every transaction that writes to it, however small the table is.)
            ("enable_seqscan", "off".to_owned()),
            ("lock_timeout", limits.lock_timeout.as_millis().to_string()),
            // The set-up does not get the settings from here on: a migration may take long.
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
        let reserved = Arc::new(ReservedConnections::new(options, limits));
        Ok((Self { pool, reserved }, seeded))
    }

    /// The same database, reached through these connections.
    #[must_use]
    pub fn with_pool(self, pool: Pool) -> Self {
        Self { pool, ..self }
    }

    /// How its connections are opened.
    #[must_use]
    pub fn connect_options(&self) -> &PgConnectOptions {
        &self.reserved.options
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
