//! The thread that owns PostgreSQL: it starts PostgreSQL, watches it, restarts it, and stops it at the end.
//!
//! This is a thread and not a task: on Linux the kernel tells PostgreSQL to stop when the *thread* that spawned it ends.
//! So that thread has to live exactly as long as PostgreSQL should. It ends when the other end of its [`Pause`] is dropped.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use tokio::sync::{oneshot, watch};

use super::cluster::ClusterStatus;
use super::error::PostgresError;
use super::postmaster::Postmaster;
use super::server::{PreparedServer, ServerPlan};

/// How often the supervisor checks that PostgreSQL runs. A restart takes longer than this, and a check is one system call.
const WATCH_EVERY: Duration = Duration::from_millis(50);

/// How often the supervisor checks the size of the log, which grows slowly.
const MAINTAIN_EVERY: Duration = Duration::from_mins(1);

/// At most this many restarts within [`RESTART_WINDOW`]. If PostgreSQL ends more often, another restart only hides the cause.
const MAX_RESTARTS: usize = 5;
const RESTART_WINDOW: Duration = Duration::from_mins(1);

/// The pause after a restart that failed: a lack of memory or disk space may take a moment to pass.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The owner dropped the cluster, or asked the supervisor to stop.
#[derive(Debug)]
pub(super) struct Stopping;

/// A sleep that ends early when the owner asks the supervisor to stop.
#[derive(Debug)]
pub(super) struct Pause {
    owner: Receiver<Infallible>,
}

impl Pause {
    /// Returns the pause, and the sender that its owner drops to end it.
    pub(super) fn new() -> (Self, Sender<Infallible>) {
        let (sender, owner) = channel();
        (Self { owner }, sender)
    }

    pub(super) fn sleep(&self, duration: Duration) -> Result<(), Stopping> {
        match self.owner.recv_timeout(duration) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(_) | Err(RecvTimeoutError::Disconnected) => Err(Stopping),
        }
    }
}

/// What the owner gets when PostgreSQL is ready for the first time.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) connect_options: PgConnectOptions,
    pub(super) data_dir: PathBuf,
}

/// What the thread reports to its owner while it runs.
#[derive(Debug)]
pub(super) struct Reports {
    pub(super) status: watch::Sender<ClusterStatus>,
    /// The pid of the postmaster; 0 while there is none.
    pub(super) pid: Arc<AtomicU32>,
}

impl Reports {
    fn running(&self, postmaster: &Postmaster, starts: u64) {
        self.pid.store(postmaster.pid(), Ordering::Release);
        self.status.send_replace(ClusterStatus::Running { starts });
    }

    fn ended(&self, status: ClusterStatus) {
        self.pid.store(0, Ordering::Release);
        self.status.send_replace(status);
    }
}

/// The body of the thread. It sends the result of the start to `started`, and returns the result of the stop.
pub(super) fn run(
    plan: &ServerPlan,
    pause: &Pause,
    reports: &Reports,
    started: oneshot::Sender<Result<Started, PostgresError>>,
) -> Result<(), PostgresError> {
    let server = match PreparedServer::prepare(plan, pause) {
        Ok(server) => server,
        Err(error) => {
            report_failure(started, error);
            return Ok(());
        }
    };
    let postmaster = match server.launch(pause) {
        Ok(postmaster) => postmaster,
        Err(error) => {
            log_failure(server.clean_up());
            report_failure(started, error);
            return Ok(());
        }
    };
    reports.running(&postmaster, 1);
    let news = Started { connect_options: server.connect_options(), data_dir: server.root().to_owned() };
    // The receiver is gone if the start was cancelled; then `supervise` stops at once.
    let _ = started.send(Ok(news));
    let stopped = supervise(&server, postmaster, pause, reports);
    reports.pid.store(0, Ordering::Release);
    let cleaned = server.clean_up();
    stopped.and(cleaned)
}

fn report_failure(started: oneshot::Sender<Result<Started, PostgresError>>, error: PostgresError) {
    if let Err(Err(error)) = started.send(Err(error)) {
        tracing::warn!(%error, "PostgreSQL did not start; the start was already cancelled");
    }
}

fn log_failure(result: Result<(), PostgresError>) {
    if let Err(error) = result {
        tracing::warn!(%error, "cannot remove the files of a PostgreSQL that did not start");
    }
}

/// Watches and restarts PostgreSQL until the owner asks to stop.
fn supervise(
    server: &PreparedServer,
    first: Postmaster,
    pause: &Pause,
    reports: &Reports,
) -> Result<(), PostgresError> {
    let mut current = first;
    let mut starts = 1;
    let mut restarts = VecDeque::new();
    loop {
        match watch(server, &mut current, pause) {
            Watched::Stopping => return current.stop(),
            Watched::Ended(outcome) => {
                tracing::error!(pid = current.pid(), %outcome, "PostgreSQL ended unexpectedly: restarting it");
                reports.ended(ClusterStatus::Restarting);
            }
        }
        match restart(server, &mut restarts, pause) {
            Ok(postmaster) => current = postmaster,
            Err(Restart::Stopping) => return Ok(()),
            Err(Restart::GivenUp(reason)) => {
                tracing::error!(%reason, "PostgreSQL stays down: it ended too often");
                reports.ended(ClusterStatus::Failed(reason));
                // The supervisor keeps the lock on the directory until the owner drops the cluster.
                while pause.sleep(MAINTAIN_EVERY).is_ok() {}
                return Ok(());
            }
        }
        starts += 1;
        reports.running(&current, starts);
    }
}

enum Watched {
    Stopping,
    /// PostgreSQL ended; the exit status as text.
    Ended(String),
}

fn watch(server: &PreparedServer, postmaster: &mut Postmaster, pause: &Pause) -> Watched {
    let mut maintained = Instant::now();
    loop {
        match postmaster.poll() {
            Ok(None) => {}
            Ok(Some(status)) => return Watched::Ended(status.to_string()),
            // If it still runs after all, a new start is safe: each start first ends the processes that use the cluster.
            Err(error) => return Watched::Ended(error.to_string()),
        }
        if maintained.elapsed() >= MAINTAIN_EVERY {
            server.maintain();
            maintained = Instant::now();
        }
        if pause.sleep(WATCH_EVERY).is_err() {
            return Watched::Stopping;
        }
    }
}

enum Restart {
    Stopping,
    GivenUp(String),
}

/// Starts PostgreSQL again, as often as the limit allows.
fn restart(server: &PreparedServer, history: &mut VecDeque<Instant>, pause: &Pause) -> Result<Postmaster, Restart> {
    let mut last_error = None;
    loop {
        while history.front().is_some_and(|restart| restart.elapsed() > RESTART_WINDOW) {
            history.pop_front();
        }
        if history.len() >= MAX_RESTARTS {
            let window_s = RESTART_WINDOW.as_secs();
            let mut reason = format!("PostgreSQL had to be restarted {MAX_RESTARTS} times within {window_s} s");
            if let Some(error) = last_error {
                reason = format!("{reason}; the last restart failed: {error}");
            }
            return Err(Restart::GivenUp(reason));
        }
        history.push_back(Instant::now());
        match server.launch(pause) {
            Ok(postmaster) => return Ok(postmaster),
            Err(PostgresError::Cancelled) => return Err(Restart::Stopping),
            Err(error) => {
                tracing::error!(%error, "PostgreSQL could not be restarted; the next attempt follows");
                last_error = Some(error);
            }
        }
        pause.sleep(RETRY_AFTER).map_err(|Stopping| Restart::Stopping)?;
    }
}
