//! The database of experiments: never the one that is served, whose rows are somebody's.
//!
//! By default a temporary PostgreSQL, started when the first experiment wants it and removed with the server; an operator may name a
//! database instead.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
use tokio::sync::Semaphore;

use private_postgres::{Cluster, ClusterStatus, PostgresError};

/// `max_connections` of a temporary one: a run with its pool, the player's sessions, and those who look on.
const CONNECTIONS: u32 = 200;

/// What a database is for. Each purpose has one of its own, as advisory locks belong to a whole database.
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
    /// The temporary PostgreSQL.
    #[error("cannot start a PostgreSQL for experiments: {0}; --experiment-database-url names one instead")]
    Start(#[from] PostgresError),
    /// Its databases.
    #[error("cannot use the PostgreSQL for experiments: {0}")]
    Database(#[from] sqlx::Error),
    /// The server closes.
    #[error("the server is closing")]
    Closing,
}

/// Where experiments find their database.
#[derive(Debug)]
pub struct ExperimentDatabases {
    place: DatabaseSlot,
    /// One at a time starts it.
    opening: Semaphore,
    cluster: Mutex<Option<Cluster>>,
}

#[derive(Debug)]
enum DatabaseSlot {
    Temporary { postgres_bin: Option<PathBuf> },
    Given(Box<PgConnectOptions>),
}

impl ExperimentDatabases {
    /// A temporary PostgreSQL, once it is wanted; `postgres_bin` is where its programs are, if not in the usual places.
    #[must_use]
    pub fn temporary(postgres_bin: Option<PathBuf>) -> Self {
        Self::new(DatabaseSlot::Temporary { postgres_bin })
    }

    /// This database, for all purposes.
    #[must_use]
    pub fn given(options: PgConnectOptions) -> Self {
        Self::new(DatabaseSlot::Given(Box::new(options)))
    }

    fn new(place: DatabaseSlot) -> Self {
        Self { place, opening: Semaphore::new(1), cluster: Mutex::new(None) }
    }

    /// The database for a purpose; the first time, it is made.
    ///
    /// # Errors
    /// [`ExperimentDatabaseError`]; the next one who asks tries again.
    pub async fn database(
        self: &Arc<Self>,
        purpose: DatabasePurpose,
    ) -> Result<PgConnectOptions, ExperimentDatabaseError> {
        let laboratory = Arc::clone(self);
        // In a task of its own: who hangs up while it starts must not stop it for all who wait for it.
        let opened = tokio::spawn(async move { laboratory.open().await });
        opened.await.unwrap_or(Err(ExperimentDatabaseError::Closing))?;
        self.ready(purpose).ok_or(ExperimentDatabaseError::Closing)
    }

    /// Starts a temporary one, unless there is one.
    async fn open(&self) -> Result<(), ExperimentDatabaseError> {
        let DatabaseSlot::Temporary { postgres_bin } = &self.place else { return Ok(()) };
        // Closed with the server.
        let _turn = self.opening.acquire().await.map_err(|_closed| ExperimentDatabaseError::Closing)?;
        self.bury().await;
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

    /// Puts away one that died too often and stays down, so that a new one can be started.
    async fn bury(&self) {
        let failed = {
            let mut cluster = self.cluster.lock().unwrap_or_else(PoisonError::into_inner);
            cluster.take_if(|cluster| matches!(&*cluster.status().borrow(), ClusterStatus::Failed(_)))
        };
        if let Some(cluster) = failed
            && let Err(error) = cluster.stop().await
        {
            tracing::warn!(%error, "a PostgreSQL of experiments that had failed did not stop as it should");
        }
    }

    /// The database for a purpose, if it is there already: for those who only look.
    #[must_use]
    pub fn ready(&self, purpose: DatabasePurpose) -> Option<PgConnectOptions> {
        match &self.place {
            DatabaseSlot::Given(options) => Some(PgConnectOptions::clone(options)),
            DatabaseSlot::Temporary { .. } => {
                let cluster = self.cluster.lock().unwrap_or_else(PoisonError::into_inner);
                cluster.as_ref().map(|cluster| cluster.connect_options().database(purpose.into()))
            }
        }
    }

    /// Whether all purposes share one database, so that a player has to leave it to an exploration.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.place, DatabaseSlot::Given(_))
    }

    /// Ends it. Nobody gets one any more.
    pub async fn close(&self) {
        self.opening.close();
        let cluster = self.cluster.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(cluster) = cluster
            && let Err(error) = cluster.stop().await
        {
            tracing::error!(%error, "the PostgreSQL of experiments did not stop as it should");
        }
    }
}
