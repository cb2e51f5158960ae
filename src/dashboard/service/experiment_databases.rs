//! The databases of experiments. They are never the database that is served, because an experiment replaces rows.
//!
//! By default they are on a temporary PostgreSQL, which is started for the first experiment and removed with the server. An operator can
//! name a database instead.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
use tokio::sync::Semaphore;

use crate::database::ErrorText;
use private_postgres::{Cluster, ClusterStatus, PostgresError};

/// `max_connections` of the temporary PostgreSQL: a run with its pool, the player's sessions, the lock sampler, and a psql session.
const CONNECTIONS: u32 = 200;

/// What a database is used for. Each purpose has its own, because advisory locks belong to a whole database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::EnumIter)]
#[strum(serialize_all = "snake_case")]
pub enum DatabasePurpose {
    /// Runs under load, and explorations.
    Experiment,
    /// The interleaving player.
    Player,
}

/// Why there is no database for experiments.
#[derive(Debug, thiserror::Error)]
pub enum ExperimentDatabaseError {
    /// The temporary PostgreSQL does not start.
    #[error(
        "cannot start a temporary PostgreSQL for experiments: {0}. serve --experiment-database-url uses an existing one instead"
    )]
    Start(#[from] PostgresError),
    /// Its databases cannot be created.
    #[error("cannot create databases on the temporary PostgreSQL for experiments: {}", ErrorText(.0))]
    Database(#[from] sqlx::Error),
    /// The server closes.
    #[error("the server is closing")]
    Closing,
}

/// The databases of experiments.
#[derive(Debug)]
pub struct ExperimentDatabases {
    location: DatabaseSlot,
    /// Starts the temporary PostgreSQL once, however many requests need it.
    opening: Semaphore,
    cluster: Mutex<Option<Cluster>>,
}

#[derive(Debug)]
enum DatabaseSlot {
    Temporary { postgres_bin: Option<PathBuf> },
    Given(Box<PgConnectOptions>),
}

impl ExperimentDatabases {
    /// A temporary PostgreSQL, started when it is first needed; `postgres_bin` is the folder of its programs, if it is not a usual one.
    #[must_use]
    pub fn temporary(postgres_bin: Option<PathBuf>) -> Self {
        Self::new(DatabaseSlot::Temporary { postgres_bin })
    }

    /// This database, for all purposes.
    #[must_use]
    pub fn given(options: PgConnectOptions) -> Self {
        Self::new(DatabaseSlot::Given(Box::new(options)))
    }

    fn new(location: DatabaseSlot) -> Self {
        Self { location, opening: Semaphore::new(1), cluster: Mutex::new(None) }
    }

    /// The database for a purpose. The first call starts the temporary PostgreSQL.
    ///
    /// # Errors
    /// [`ExperimentDatabaseError`]; the next call tries again.
    pub async fn database(
        self: &Arc<Self>,
        purpose: DatabasePurpose,
    ) -> Result<PgConnectOptions, ExperimentDatabaseError> {
        let databases = Arc::clone(self);
        // In a task of its own: a client that disconnects meanwhile must not stop the start for other requests.
        let opened = tokio::spawn(async move { databases.open().await });
        opened.await.unwrap_or(Err(ExperimentDatabaseError::Closing))?;
        self.ready(purpose).ok_or(ExperimentDatabaseError::Closing)
    }

    /// Starts the temporary PostgreSQL, unless it runs.
    async fn open(&self) -> Result<(), ExperimentDatabaseError> {
        let DatabaseSlot::Temporary { postgres_bin } = &self.location else { return Ok(()) };
        // The semaphore is closed with the server.
        let _turn = self.opening.acquire().await.map_err(|_closed| ExperimentDatabaseError::Closing)?;
        self.remove_failed().await;
        if self.ready(DatabasePurpose::Experiment).is_some() {
            return Ok(());
        }
        let cluster = Cluster::start_temporary(postgres_bin.as_deref(), CONNECTIONS).await?;
        let mut connection = cluster.connect_options().connect().await?;
        for purpose in <DatabasePurpose as strum::IntoEnumIterator>::iter() {
            let name: &str = purpose.into();
            connection.execute(AssertSqlSafe(format!("create database {name}"))).await?;
        }
        connection.close().await?;
        if self.opening.is_closed() {
            cluster.stop().await?;
            return Err(ExperimentDatabaseError::Closing);
        }
        *self.cluster.lock().unwrap_or_else(PoisonError::into_inner) = Some(cluster);
        Ok(())
    }

    /// Removes a temporary PostgreSQL that has failed for good, so that a new one can be started.
    async fn remove_failed(&self) {
        let failed = {
            let mut cluster = self.cluster.lock().unwrap_or_else(PoisonError::into_inner);
            cluster.take_if(|cluster| matches!(&*cluster.status().borrow(), ClusterStatus::Failed(_)))
        };
        if let Some(cluster) = failed
            && let Err(error) = cluster.stop().await
        {
            tracing::warn!(%error, "could not clean up the failed temporary PostgreSQL of experiments");
        }
    }

    /// The database for a purpose, if it exists already; starts nothing.
    #[must_use]
    pub fn ready(&self, purpose: DatabasePurpose) -> Option<PgConnectOptions> {
        match &self.location {
            DatabaseSlot::Given(options) => Some(PgConnectOptions::clone(options)),
            DatabaseSlot::Temporary { .. } => {
                let cluster = self.cluster.lock().unwrap_or_else(PoisonError::into_inner);
                cluster.as_ref().map(|cluster| cluster.connect_options().database(purpose.into()))
            }
        }
    }

    /// Whether all purposes share one database, so that the player must leave it to an experiment.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.location, DatabaseSlot::Given(_))
    }

    /// Stops the temporary PostgreSQL. Later calls get no database.
    pub async fn close(&self) {
        self.opening.close();
        let cluster = self.cluster.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(cluster) = cluster
            && let Err(error) = cluster.stop().await
        {
            tracing::error!(%error, "could not stop the temporary PostgreSQL of experiments");
        }
    }
}
