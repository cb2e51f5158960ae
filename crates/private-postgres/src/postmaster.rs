//! The postmaster as a child process: spawn it, wait until it is ready, stop it.

use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use super::command::as_pid;
use super::error::{ErrorContext, PostgresError};
use super::log_file::LogFile;
use super::pid_file;
use super::supervisor::Pause;

/// How long a start may take. A clean start takes 50 ms. After a crash, recovery reads the log since the last checkpoint,
/// at most a `max_wal_size` of 1 GiB: this takes seconds on a fast disk, and up to a minute on a slow one.
const READY_LIMIT: Duration = Duration::from_mins(1);

/// How long a fast shutdown may take. It takes 25 ms, or longer with a large checkpoint to write. After this limit an
/// immediate shutdown, with recovery at the next start, is better than a stop that does not end.
const FAST_STOP_LIMIT: Duration = Duration::from_secs(10);

/// In an immediate shutdown the postmaster itself kills children that take longer than 5 s.
const IMMEDIATE_STOP_LIMIT: Duration = Duration::from_secs(10);

const POLL_EVERY: Duration = Duration::from_millis(5);

/// A postmaster that is a child of this process. Dropping it stops it.
#[derive(Debug)]
pub(super) struct Postmaster {
    child: Child,
    cluster: PathBuf,
    log: LogFile,
    log_start: u64,
    ended: Option<ExitStatus>,
}

impl Postmaster {
    /// Spawns the postmaster. Call this on a thread that lives as long as the postmaster should (see `command`).
    pub(super) fn spawn(command: &mut Command, cluster: PathBuf, log: LogFile) -> Result<Self, PostgresError> {
        let log_start = log.len();
        let child = command.spawn().context("start", command.get_program().as_ref())?;
        Ok(Self { child, cluster, log, log_start, ended: None })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until clients can connect. The pid file of an earlier postmaster says `ready` too, so the file must name
    /// this child.
    pub(super) fn wait_until_ready(&mut self, pause: &Pause) -> Result<(), PostgresError> {
        let deadline = Instant::now() + READY_LIMIT;
        loop {
            if let Some(status) = self.poll()? {
                return Err(PostgresError::EndedAtStart {
                    outcome: status.to_string(),
                    log: self.log.path().to_owned(),
                    tail: self.log.tail(self.log_start),
                });
            }
            let pid = as_pid(self.child.id());
            if pid_file::read(&self.cluster).is_ok_and(|file| file.pid() == pid && file.is_ready()) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(PostgresError::NotReady {
                    seconds: READY_LIMIT.as_secs(),
                    log: self.log.path().to_owned(),
                    tail: self.log.tail(self.log_start),
                });
            }
            pause.sleep(POLL_EVERY).map_err(|_| PostgresError::Cancelled)?;
        }
    }

    /// The exit status; none while the postmaster runs.
    pub(super) fn poll(&mut self) -> Result<Option<ExitStatus>, PostgresError> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().context("wait for PostgreSQL in", &self.cluster)?;
        }
        Ok(self.ended)
    }

    /// Stops the postmaster: by a fast shutdown, else by an immediate one, else by SIGKILL.
    pub(super) fn stop(&mut self) -> Result<(), PostgresError> {
        let started = Instant::now();
        let steps = [(Signal::SIGINT, FAST_STOP_LIMIT), (Signal::SIGQUIT, IMMEDIATE_STOP_LIMIT)];
        for (signal, limit) in steps {
            if let Some(status) = self.end_with(signal, limit)? {
                let elapsed_ms = started.elapsed().as_millis();
                tracing::info!(pid = self.pid(), %signal, %status, elapsed_ms, "PostgreSQL has stopped");
                return Ok(());
            }
            tracing::warn!(pid = self.pid(), %signal, limit_s = limit.as_secs(), "PostgreSQL did not stop within the limit; trying the next signal");
        }
        // The backends end when they notice; the next start waits for them. The data survive this as they survive a crash.
        tracing::error!(pid = self.pid(), "PostgreSQL does not stop: killing it");
        self.child.kill().context("kill PostgreSQL in", &self.cluster)?;
        self.ended = Some(self.child.wait().context("wait for PostgreSQL in", &self.cluster)?);
        Ok(())
    }

    fn end_with(&mut self, signal: Signal, limit: Duration) -> Result<Option<ExitStatus>, PostgresError> {
        let deadline = Instant::now() + limit;
        let mut signalled = false;
        loop {
            if let Some(status) = self.poll()? {
                return Ok(Some(status));
            }
            if !signalled {
                tracing::debug!(pid = self.pid(), %signal, "stopping PostgreSQL");
                // The child is not reaped yet, so its pid cannot belong to another process.
                if let Some(Err(error)) = as_pid(self.child.id()).map(|pid| kill(pid, signal)) {
                    tracing::warn!(pid = self.pid(), %signal, %error, "cannot signal PostgreSQL");
                }
                signalled = true;
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            thread::sleep(POLL_EVERY);
        }
    }
}

impl Drop for Postmaster {
    fn drop(&mut self) {
        if self.ended.is_none()
            && let Err(error) = self.stop()
        {
            tracing::error!(pid = self.pid(), %error, "PostgreSQL could not be stopped");
        }
    }
}
