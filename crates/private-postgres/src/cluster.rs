//! The public handle: a private PostgreSQL that runs until the handle is dropped.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};

use sqlx::postgres::PgConnectOptions;
use tokio::sync::{oneshot, watch};

use super::error::{ErrorContext, PostgresError};
use super::server::{ServerDirectory, ServerPlan};
use super::supervisor::{self, Pause, Reports, Started};

/// How to run a private PostgreSQL that is kept between starts.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// The directory of all files. It is created if it does not exist.
    pub data_dir: PathBuf,
    /// The directory of PostgreSQL's programs. Without one, the usual places are searched.
    pub bin_dir: Option<PathBuf>,
    /// PostgreSQL's `max_connections`. All pools together must stay below it.
    pub max_connections: u32,
}

/// The state of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterStatus {
    /// Clients can connect.
    Running {
        /// How often PostgreSQL was started: 1 until the first restart. A restart cuts all connections.
        starts: u64,
    },
    /// PostgreSQL ended unexpectedly, and the supervisor starts it again.
    Restarting,
    /// A temporary PostgreSQL ended too often and stays down; the reason as text. One that is kept is restarted until it runs again.
    Failed(String),
}

/// A running private PostgreSQL. Dropping it stops the database and blocks until that is done (25 ms, bounded);
/// [`Cluster::stop`] does the same without blocking and returns errors.
#[derive(Debug)]
pub struct Cluster {
    supervisor: Supervisor,
    connect_options: PgConnectOptions,
    data_dir: PathBuf,
    status: watch::Receiver<ClusterStatus>,
    pid: Arc<AtomicU32>,
}

impl Cluster {
    /// Starts PostgreSQL on a data directory and waits until it is ready. Creates the directory and the cluster at the
    /// first start.
    ///
    /// # Errors
    ///
    /// When the programs are missing or too old, when the directory belongs to another user or program or is in use, or
    /// when PostgreSQL does not start; see [`PostgresError`].
    pub async fn start(options: &ClusterOptions) -> Result<Self, PostgresError> {
        Self::start_plan(ServerPlan {
            directory: ServerDirectory::Permanent(options.data_dir.clone()),
            bin_dir: options.bin_dir.clone(),
            max_connections: options.max_connections,
        })
        .await
    }

    /// Starts a new PostgreSQL in a new directory below the system's temporary directory. The directory is removed when
    /// the cluster stops. Also removes the directories of earlier temporary clusters whose owner was killed.
    ///
    /// While it runs, it is as durable as a permanent one, so measurements on it are valid.
    ///
    /// # Errors
    ///
    /// The same as for [`Cluster::start`].
    pub async fn start_temporary(bin_dir: Option<&Path>, max_connections: u32) -> Result<Self, PostgresError> {
        let bin_dir = bin_dir.map(Path::to_owned);
        Self::start_plan(ServerPlan { directory: ServerDirectory::Temporary, bin_dir, max_connections }).await
    }

    /// The same, but not durable (`fsync = off`), and in memory where there is a filesystem with room and `TMPDIR` is not set. For what
    /// asks PostgreSQL how sessions meet: the answers are the same, in a fraction of the time. Never for a measurement.
    ///
    /// # Errors
    ///
    /// The same as for [`Cluster::start`].
    pub async fn start_scratch(bin_dir: Option<&Path>, max_connections: u32) -> Result<Self, PostgresError> {
        let bin_dir = bin_dir.map(Path::to_owned);
        Self::start_plan(ServerPlan { directory: ServerDirectory::Scratch, bin_dir, max_connections }).await
    }

    /// Dropping this future also stops the thread of the supervisor, at any point of the start.
    async fn start_plan(plan: ServerPlan) -> Result<Self, PostgresError> {
        let (status_sender, status) = watch::channel(ClusterStatus::Restarting);
        let pid = Arc::new(AtomicU32::new(0));
        let reports = Reports { status: status_sender, pid: Arc::clone(&pid) };
        let (started_sender, started) = oneshot::channel();
        let supervisor = Supervisor::spawn(move |pause| supervisor::run(&plan, &pause, &reports, started_sender))?;
        let Started { connect_options, data_dir } = started.await.map_err(|_| PostgresError::SupervisorLost)??;
        Ok(Self { supervisor, connect_options, data_dir, status, pid })
    }

    /// The options to connect: by Unix socket, as the superuser of this cluster, with statement logging off.
    #[must_use]
    pub fn connect_options(&self) -> PgConnectOptions {
        self.connect_options.clone()
    }

    /// The state of the database, now and later. The present state counts as seen, so `changed` waits for the next one.
    /// The channel closes when the cluster has stopped.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<ClusterStatus> {
        let mut status = self.status.clone();
        status.mark_unchanged();
        status
    }

    /// The pid of the postmaster; none while it is down.
    #[must_use]
    pub fn postmaster_pid(&self) -> Option<u32> {
        Some(self.pid.load(Ordering::Acquire)).filter(|pid| *pid != 0)
    }

    /// The directory of all files.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Stops the database by a fast shutdown and waits until it has ended. Connections are cut; committed data are on disk.
    ///
    /// # Errors
    ///
    /// When the stop failed, or when a temporary directory could not be removed.
    pub async fn stop(self) -> Result<(), PostgresError> {
        let mut supervisor = self.supervisor;
        // The thread for blocking work waits for the stop even if this future is dropped.
        tokio::task::spawn_blocking(move || supervisor.finish()).await.unwrap_or(Err(PostgresError::SupervisorLost))
    }
}

/// The owner's end of the supervising thread.
#[derive(Debug)]
struct Supervisor {
    /// Dropping it tells the thread to stop the database.
    owner: Option<Sender<Infallible>>,
    thread: Option<JoinHandle<Result<(), PostgresError>>>,
}

impl Supervisor {
    fn spawn(body: impl FnOnce(Pause) -> Result<(), PostgresError> + Send + 'static) -> Result<Self, PostgresError> {
        let (pause, owner) = Pause::new();
        let thread = thread::Builder::new().name("postgres".to_owned()).spawn(move || body(pause));
        let thread = thread.context("start a thread for", Path::new("PostgreSQL"))?;
        Ok(Self { owner: Some(owner), thread: Some(thread) })
    }

    /// Stops the thread and waits for it. The wait is bounded, because every wait of the thread is bounded.
    fn finish(&mut self) -> Result<(), PostgresError> {
        drop(self.owner.take());
        match self.thread.take() {
            Some(thread) => thread.join().unwrap_or(Err(PostgresError::SupervisorLost)),
            None => Ok(()),
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            tracing::error!(%error, "PostgreSQL could not be stopped in order");
        }
    }
}
