//! The thread that owns the database: it starts it, watches it, restarts it, and stops it at the end.
//!
//! A thread and not a task: on Linux the kernel tells PostgreSQL to stop when the *thread* that spawned it ends, so that
//! thread has to live exactly as long as the database should. It ends when the other end of its [`Pause`] is dropped.

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
use super::server::{Server, ServerPlan};

/// How soon a death is noticed. A restart takes longer than this anyway, and looking costs one system call.
const WATCH_EVERY: Duration = Duration::from_millis(50);

/// The log grows slowly; looking at its size this often bounds it well enough.
const MAINTAIN_EVERY: Duration = Duration::from_mins(1);

/// A database that dies more often than this is ill, and restarting it hides that.
const MAX_RESTARTS: usize = 5;
const RESTART_WINDOW: Duration = Duration::from_mins(1);

/// After a restart that failed: what was in the way (memory, disk) may need a moment.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The owner went away, or wants us to stop.
#[derive(Debug)]
pub(super) struct Stopping;

/// Sleeping that ends early when the owner wants to stop.
#[derive(Debug)]
pub(super) struct Pause {
    owner: Receiver<Infallible>,
}

impl Pause {
    /// The pause, and what its owner drops to end it.
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

/// What the owner learns when the database is ready for the first time.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) connect_options: PgConnectOptions,
    pub(super) data_dir: PathBuf,
}

/// What the thread tells its owner while it runs.
#[derive(Debug)]
pub(super) struct Reports {
    pub(super) status: watch::Sender<ClusterStatus>,
    /// 0 for none.
    pub(super) pid: Arc<AtomicU32>,
}

impl Reports {
    fn running(&self, postmaster: &Postmaster, starts: u64) {
        self.pid.store(postmaster.pid(), Ordering::Release);
        self.status.send_replace(ClusterStatus::Running { starts });
    }

    fn gone(&self, status: ClusterStatus) {
        self.pid.store(0, Ordering::Release);
        self.status.send_replace(status);
    }
}

/// The thread's whole life. The result is that of the stop; that of the start goes to `started`.
pub(super) fn run(
    plan: &ServerPlan,
    pause: &Pause,
    reports: &Reports,
    started: oneshot::Sender<Result<Started, PostgresError>>,
) -> Result<(), PostgresError> {
    let server = match Server::prepare(plan, pause) {
        Ok(server) => server,
        Err(error) => {
            tell_failure(started, error);
            return Ok(());
        }
    };
    let postmaster = match server.launch(pause) {
        Ok(postmaster) => postmaster,
        Err(error) => {
            log_failure(server.clean_up());
            tell_failure(started, error);
            return Ok(());
        }
    };
    reports.running(&postmaster, 1);
    let news = Started { connect_options: server.connect_options(), data_dir: server.root().to_owned() };
    // Nobody listens if the start was cancelled: then `supervise` finds its owner gone, too.
    let _ = started.send(Ok(news));
    let stopped = supervise(&server, postmaster, pause, reports);
    reports.pid.store(0, Ordering::Release);
    let cleaned = server.clean_up();
    stopped.and(cleaned)
}

fn tell_failure(started: oneshot::Sender<Result<Started, PostgresError>>, error: PostgresError) {
    if let Err(Err(error)) = started.send(Err(error)) {
        tracing::warn!(%error, "PostgreSQL did not start, and its owner is gone");
    }
}

fn log_failure(result: Result<(), PostgresError>) {
    if let Err(error) = result {
        tracing::warn!(%error, "cannot clean up after PostgreSQL");
    }
}

/// Watches and restarts until the owner wants to stop.
fn supervise(server: &Server, first: Postmaster, pause: &Pause, reports: &Reports) -> Result<(), PostgresError> {
    let mut current = first;
    let mut starts = 1;
    let mut restarts = VecDeque::new();
    loop {
        match watch(server, &mut current, pause) {
            Watched::Stopping => return current.stop(),
            Watched::Ended(outcome) => {
                tracing::error!(pid = current.pid(), %outcome, "PostgreSQL ended unexpectedly: restarting it");
                reports.gone(ClusterStatus::Restarting);
            }
        }
        match restart(server, &mut restarts, pause) {
            Ok(postmaster) => current = postmaster,
            Err(Restart::Stopping) => return Ok(()),
            Err(Restart::GivenUp(reason)) => {
                tracing::error!(%reason, "PostgreSQL is not restarted any more");
                reports.gone(ClusterStatus::Failed(reason));
                // The directory stays ours until the owner lets go.
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
    /// How it ended.
    Ended(String),
}

fn watch(server: &Server, postmaster: &mut Postmaster, pause: &Pause) -> Watched {
    let mut maintained = Instant::now();
    loop {
        match postmaster.poll() {
            Ok(None) => {}
            Ok(Some(status)) => return Watched::Ended(status.to_string()),
            // Starting again is safe even if it lives after all: whoever is still there is seen off first.
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

/// Starts it again, as often as the limit allows.
fn restart(server: &Server, history: &mut VecDeque<Instant>, pause: &Pause) -> Result<Postmaster, Restart> {
    let mut last_error = None;
    loop {
        while history.front().is_some_and(|restart| restart.elapsed() > RESTART_WINDOW) {
            history.pop_front();
        }
        if history.len() >= MAX_RESTARTS {
            let window_s = RESTART_WINDOW.as_secs();
            let mut reason = format!("PostgreSQL had to be restarted {MAX_RESTARTS} times within {window_s} s");
            if let Some(error) = last_error {
                reason = format!("{reason}; the last time: {error}");
            }
            return Err(Restart::GivenUp(reason));
        }
        history.push_back(Instant::now());
        match server.launch(pause) {
            Ok(postmaster) => return Ok(postmaster),
            Err(PostgresError::Cancelled) => return Err(Restart::Stopping),
            Err(error) => {
                tracing::error!(%error, "PostgreSQL could not be restarted");
                last_error = Some(error);
            }
        }
        pause.sleep(RETRY_AFTER).map_err(|Stopping| Restart::Stopping)?;
    }
}
