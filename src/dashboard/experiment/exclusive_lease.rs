//! The hold on the database of an experiment: as long as it lasts, nobody else's experiment works there. It is never taken on the database that is
//! served, whose rows an experiment would replace.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::database::within;

/// How long connecting, and each answer, may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// How long sessions of an earlier experiment are waited for: as long as its server may take to end, if its process was killed.
const LEFT_MAX: Duration = Duration::from_secs(15);

/// How often it is looked whether they are gone.
const LEFT_STEP: Duration = Duration::from_millis(200);

/// The key of the lock: `pg_advisory_lock` knows numbers only, and this one means nothing.
const KEY: i64 = 0x6c61_6220_6265_6e63;

/// Why an experiment may not work there.
#[derive(Debug, thiserror::Error)]
pub enum ExclusiveLeaseError {
    /// It would replace what is served.
    #[error(
        "--experiment-database-url names the database that is served; an experiment would replace its rows, so it needs one of its own"
    )]
    Served,
    /// Somebody else's experiment.
    #[error("an experiment of another server works on this database")]
    Taken,
    /// Sessions of an earlier one.
    #[error("sessions of an earlier experiment are still on this database after {} s", LEFT_MAX.as_secs())]
    Left,
    /// The database.
    #[error("cannot use the database of experiments: {0}")]
    Database(#[from] sqlx::Error),
}

/// The hold. It ends with its connection.
#[derive(Debug)]
pub struct ExclusiveLease {
    connection: PgConnection,
}

impl ExclusiveLease {
    /// Takes it. `served` is the database that is served, where it might be the same one: however the two are addressed, they are compared by
    /// what the servers say they are.
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
            // Nothing hangs on how it ends.
            let _ = other.close().await;
            if same {
                return Err(ExclusiveLeaseError::Served);
            }
        }
        let lock = sqlx::query_scalar("select pg_try_advisory_lock($1)").bind(KEY).fetch_one(&mut connection);
        if !within(ANSWER_MAX, lock).await? {
            return Err(ExclusiveLeaseError::Taken);
        }
        let mut hold = Self { connection };
        let begun = tokio::time::Instant::now();
        while hold.others().await? > 0 {
            if begun.elapsed() > LEFT_MAX {
                return Err(ExclusiveLeaseError::Left);
            }
            tokio::time::sleep(LEFT_STEP).await;
        }
        Ok(hold)
    }

    /// Sessions of servers that work on this database: a server whose `run` was killed may still end what it has begun.
    async fn others(&mut self) -> Result<i64, sqlx::Error> {
        let count = sqlx::query_scalar(
            "select count(*) from pg_stat_activity \
             where datname = current_database() and application_name = 'concurrency-lab' and pid <> pg_backend_pid()",
        );
        within(ANSWER_MAX, count.fetch_one(&mut self.connection)).await
    }

    /// Gives it back.
    pub async fn release(self) {
        // It ends with the connection, however that does.
        let _ = tokio::time::timeout(ANSWER_MAX, self.connection.close()).await;
    }
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    within(ANSWER_MAX, options.clone().application_name("concurrency-lab bench").connect()).await
}

/// Which database this is: no two have the same number on a server that was started at this moment.
async fn identity(connection: &mut PgConnection) -> Result<(String, String), sqlx::Error> {
    let asked = sqlx::query_as(
        "select oid::text, pg_postmaster_start_time()::text from pg_database where datname = current_database()",
    );
    within(ANSWER_MAX, asked.fetch_one(connection)).await
}
