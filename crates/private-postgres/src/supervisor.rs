//! The thread that owns PostgreSQL: it starts PostgreSQL, watches it, restarts it, and stops it at the end.
//!
//! This is a thread and not a task: on Linux the kernel tells PostgreSQL to stop when the *thread* that spawned it ends.
//! So that thread has to live exactly as long as PostgreSQL should. It ends when the other end of its [`Pause`] is dropped.

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

/// A PostgreSQL that ran for as long has recovered from what ended it before.
const RECOVERED_AFTER: Duration = Duration::from_mins(1);

/// The pause before the second restart; each further one doubles it. The first restart follows at once.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause. A lack of memory or disk space may take hours to pass, and then the database should soon be back.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// A temporary PostgreSQL is given up after so many restarts without a recovery: its owner can start a new one.
const RESTARTS_OF_TEMPORARY_MAX: u32 = 5;

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
    let mut restarts = Restarts::default();
    loop {
        let started = Instant::now();
        match watch(server, &mut current, pause) {
            Watched::Stopping => return current.stop(),
            Watched::Ended(outcome) => {
                tracing::error!(pid = current.pid(), %outcome, "PostgreSQL ended unexpectedly: restarting it");
                reports.ended(ClusterStatus::Restarting);
            }
        }
        if started.elapsed() >= RECOVERED_AFTER {
            restarts = Restarts::default();
        }
        match restart(server, &mut restarts, pause) {
            Ok(postmaster) => current = postmaster,
            Err(RestartFailure::Stopping) => return Ok(()),
            Err(RestartFailure::GivenUp(reason)) => {
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

enum RestartFailure {
    Stopping,
    GivenUp(String),
}

/// The restarts since PostgreSQL last ran for a while.
#[derive(Debug, Default)]
struct Restarts {
    count: u32,
}

impl Restarts {
    /// The pause before the next one.
    fn pause(&self) -> Duration {
        match self.count.checked_sub(1) {
            None => Duration::ZERO,
            // Doubled so often, it is longer than the longest.
            Some(doubled) => LONGEST_PAUSE.min(FIRST_PAUSE * 2_u32.pow(doubled.min(10))),
        }
    }
}

/// Starts PostgreSQL again, with growing pauses between the attempts. Only a temporary PostgreSQL is given up.
fn restart(server: &PreparedServer, restarts: &mut Restarts, pause: &Pause) -> Result<Postmaster, RestartFailure> {
    let mut last_error = None;
    loop {
        if server.is_temporary() && restarts.count >= RESTARTS_OF_TEMPORARY_MAX {
            let mut reason = format!("PostgreSQL had to be restarted {RESTARTS_OF_TEMPORARY_MAX} times in a row");
            if let Some(error) = last_error {
                reason = format!("{reason}; the last restart failed: {error}");
            }
            return Err(RestartFailure::GivenUp(reason));
        }
        pause.sleep(restarts.pause()).map_err(|Stopping| RestartFailure::Stopping)?;
        restarts.count += 1;
        match server.launch(pause) {
            Ok(postmaster) => return Ok(postmaster),
            Err(PostgresError::Cancelled) => return Err(RestartFailure::Stopping),
            Err(error) => {
                let pause_ms = restarts.pause().as_millis();
                tracing::error!(%error, pause_ms, "PostgreSQL could not be restarted; the next attempt follows after a pause");
                last_error = Some(error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_restart_follows_at_once_and_the_pauses_grow_to_a_bound() {
        let pauses: Vec<u128> = (0..8).map(|count| Restarts { count }.pause().as_millis()).collect();
        assert_eq!(pauses, [0, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
        assert_eq!(Restarts { count: u32::MAX }.pause(), LONGEST_PAUSE);
    }
}
