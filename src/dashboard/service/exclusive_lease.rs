//! The lease on the database of an experiment. While it lasts, no other server's experiment works there. It is never taken on the database that
//! is served, because an experiment replaces rows.

use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use crate::database::{ErrorText, within};

/// How long connecting, and each answer, may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// How long to wait for sessions of an earlier experiment: as long as its server may take to end after its process was killed.
const LEFT_MAX: Duration = Duration::from_secs(15);

/// Between two checks whether they are gone.
const LEFT_STEP: Duration = Duration::from_millis(200);

/// The key of the advisory lock: an arbitrary number.
const KEY: i64 = 0x6c61_6220_6265_6e63;

/// Why an experiment may not work there.
#[derive(Debug, thiserror::Error)]
pub enum ExclusiveLeaseError {
    /// The database is the one that is served.
    #[error(
        "--experiment-database-url names the database that is served. An experiment replaces rows, so it needs a database of its own"
    )]
    Served,
    /// Another server's experiment works there.
    #[error("an experiment of another server is under way on this database; wait for its end")]
    Taken,
    /// Sessions of an earlier experiment do not end.
    #[error("sessions of an earlier experiment are still connected to this database after {} s", LEFT_MAX.as_secs())]
    Left,
    /// The database cannot be used.
    #[error("cannot use the database of experiments: {}", ErrorText(.0))]
    Database(#[from] sqlx::Error),
}

/// The lease. It ends with its connection.
#[derive(Debug)]
pub struct ExclusiveLease {
    connection: PgConnection,
}

impl ExclusiveLease {
    /// Takes the lease. `served` is the database that is served, where it might be the same one. The two are compared by identifiers that the
    /// servers report, not by their addresses.
    ///
    /// # Errors
    /// [`ExclusiveLeaseError`].
    pub async fn take(
        database: &PgConnectOptions,
        served: Option<&PgConnectOptions>,
    ) -> Result<Self, ExclusiveLeaseError> {
        let mut connection = connect(database).await?;
        if let Some(served) = served {
            let mut other = connect(served).await?;
            let same = identity(&mut connection).await? == identity(&mut other).await?;
            // The result of closing does not matter.
            let _ = other.close().await;
            if same {
                return Err(ExclusiveLeaseError::Served);
            }
        }
        let lock = sqlx::query_scalar("select pg_try_advisory_lock($1)").bind(KEY).fetch_one(&mut connection);
        if !within(ANSWER_MAX, lock).await? {
            return Err(ExclusiveLeaseError::Taken);
        }
        let mut lease = Self { connection };
        let begun = tokio::time::Instant::now();
        while lease.others().await? > 0 {
            if begun.elapsed() > LEFT_MAX {
                return Err(ExclusiveLeaseError::Left);
            }
            tokio::time::sleep(LEFT_STEP).await;
        }
        Ok(lease)
    }

    /// Counts the sessions of servers on this database: after a `run` was killed, its server may still be finishing.
    async fn others(&mut self) -> Result<i64, sqlx::Error> {
        let count = sqlx::query_scalar(
            "select count(*) from pg_stat_activity \
             where datname = current_database() and application_name = 'concurrency-lab' and pid <> pg_backend_pid()",
        );
        within(ANSWER_MAX, count.fetch_one(&mut self.connection)).await
    }

    /// Ends the lease.
    pub async fn release(self) {
        // The lock ends with the connection, even if closing it fails.
        let _ = tokio::time::timeout(ANSWER_MAX, self.connection.close()).await;
    }
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let options = options.clone().application_name("concurrency-lab experiment lease");
    within(ANSWER_MAX, crate::database::connect(&options)).await
}

/// Identifies a database: its number on its server, and the server's start time.
async fn identity(connection: &mut PgConnection) -> Result<(String, String), sqlx::Error> {
    let row = sqlx::query_as(
        "select oid::text, pg_postmaster_start_time()::text from pg_database where datname = current_database()",
    );
    within(ANSWER_MAX, row.fetch_one(connection)).await
}
