//! The public handle: a private PostgreSQL that runs as long as it is held.

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
    /// Where everything lives; made if it does not exist.
    pub data_dir: PathBuf,
    /// The directory of PostgreSQL's programs; none searches the usual places.
    pub bin_dir: Option<PathBuf>,
    /// PostgreSQL's `max_connections`: all pools together must stay below it.
    pub max_connections: u32,
}

/// What the database is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterStatus {
    /// Clients can connect.
    Running {
        /// How often it has been started, so 1 unless it died: a greater number than before means that all
        /// connections were lost.
        starts: u64,
    },
    /// It died and is being started again.
    Restarting,
    /// It died too often and stays down; says why.
    Failed(String),
}

/// A running private PostgreSQL. Dropping it stops the database, which blocks for as long as that takes (25 ms, bounded);
/// [`Cluster::stop`] does the same without blocking and says whether it worked.
#[derive(Debug)]
pub struct Cluster {
    supervisor: Supervisor,
    connect_options: PgConnectOptions,
    data_dir: PathBuf,
    status: watch::Receiver<ClusterStatus>,
    pid: Arc<AtomicU32>,
}

impl Cluster {
    /// Starts the PostgreSQL of a data directory, which is made if there is none yet, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// When the programs are missing, when the directory is somebody else's or in use, or when PostgreSQL does not
    /// start; see [`PostgresError`].
    pub async fn start(options: &ClusterOptions) -> Result<Self, PostgresError> {
        Self::start_plan(ServerPlan {
            place: ServerDirectory::Kept(options.data_dir.clone()),
            bin_dir: options.bin_dir.clone(),
            max_connections: options.max_connections,
        })
        .await
    }

    /// Starts a new PostgreSQL in a directory of its own under the system's temporary directory, which is removed when it
    /// stops. Also removes the directories of earlier ones that were killed.
    ///
    /// It is as durable as a kept one while it runs: what is measured on it is true.
    ///
    /// # Errors
    ///
    /// As [`Cluster::start`].
    pub async fn start_temporary(bin_dir: Option<&Path>, max_connections: u32) -> Result<Self, PostgresError> {
        let bin_dir = bin_dir.map(Path::to_owned);
        Self::start_plan(ServerPlan { place: ServerDirectory::Temporary, bin_dir, max_connections }).await
    }

    /// If this future is dropped, so is the supervisor's thread told to stop, wherever it is.
    async fn start_plan(plan: ServerPlan) -> Result<Self, PostgresError> {
        let (status_sender, status) = watch::channel(ClusterStatus::Restarting);
        let pid = Arc::new(AtomicU32::new(0));
        let reports = Reports { status: status_sender, pid: Arc::clone(&pid) };
        let (started_sender, started) = oneshot::channel();
        let supervisor = Supervisor::spawn(move |pause| supervisor::run(&plan, &pause, &reports, started_sender))?;
        let Started { connect_options, data_dir } = started.await.map_err(|_| PostgresError::SupervisorLost)??;
        Ok(Self { supervisor, connect_options, data_dir, status, pid })
    }

    /// How to connect: by Unix socket, as the superuser of this cluster, with statement logging off.
    #[must_use]
    pub fn connect_options(&self) -> PgConnectOptions {
        self.connect_options.clone()
    }

    /// What the database is doing, now and from now on: the present status counts as seen, and `changed` waits for the
    /// next one. Closed when the cluster has stopped.
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

    /// The directory where everything lives.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Stops the database (fast: connections are cut, what was committed is on disk) and waits until it has ended.
    ///
    /// # Errors
    ///
    /// When the stop failed, or when something that should go (a temporary directory) could not be removed.
    pub async fn stop(self) -> Result<(), PostgresError> {
        let mut supervisor = self.supervisor;
        // A thread for blocking work may wait there even if this future is dropped meanwhile.
        tokio::task::spawn_blocking(move || supervisor.finish()).await.unwrap_or(Err(PostgresError::SupervisorLost))
    }
}

/// Our end of the supervising thread.
#[derive(Debug)]
struct Supervisor {
    /// Dropped to make the thread stop the database.
    owner: Option<Sender<Infallible>>,
    thread: Option<JoinHandle<Result<(), PostgresError>>>,
}

impl Supervisor {
    fn spawn(life: impl FnOnce(Pause) -> Result<(), PostgresError> + Send + 'static) -> Result<Self, PostgresError> {
        let (pause, owner) = Pause::new();
        let thread = thread::Builder::new().name("postgres".to_owned()).spawn(move || life(pause));
        let thread = thread.context("start a thread for", Path::new("PostgreSQL"))?;
        Ok(Self { owner: Some(owner), thread: Some(thread) })
    }

    /// Bounded, since every wait of the thread is.
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
            tracing::error!(%error, "PostgreSQL did not stop as it should");
        }
    }
}
