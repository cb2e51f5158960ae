//! The child process: spawn, readiness, stop.

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

/// A clean start takes 50 ms. Recovery after a crash reads the log since the last checkpoint, which at the most is a
/// `max_wal_size` of 1 GiB: seconds on a good disk, up to this on a bad one.
const READY_LIMIT: Duration = Duration::from_mins(1);

/// A fast shutdown takes 25 ms, longer with a large checkpoint to write. After that a stop that recovers at the next
/// start is better than one that does not end.
const FAST_STOP_LIMIT: Duration = Duration::from_secs(10);

/// In an immediate shutdown the postmaster itself kills children that take longer than 5 s.
const IMMEDIATE_STOP_LIMIT: Duration = Duration::from_secs(10);

const POLL_EVERY: Duration = Duration::from_millis(5);

/// A postmaster that is our child. Dropping it stops it.
#[derive(Debug)]
pub(super) struct Postmaster {
    child: Child,
    cluster: PathBuf,
    log: LogFile,
    log_start: u64,
    ended: Option<ExitStatus>,
}

impl Postmaster {
    /// To be called on a thread that lives as long as the postmaster should (see `command`).
    pub(super) fn spawn(command: &mut Command, cluster: PathBuf, log: LogFile) -> Result<Self, PostgresError> {
        let log_start = log.len();
        let child = command.spawn().context("start", command.get_program().as_ref())?;
        Ok(Self { child, cluster, log, log_start, ended: None })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until clients can connect. The file of an earlier postmaster says `ready` too: so it has to be our
    /// child's.
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

    /// The exit status, once it has ended.
    pub(super) fn poll(&mut self) -> Result<Option<ExitStatus>, PostgresError> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().context("wait for PostgreSQL in", &self.cluster)?;
        }
        Ok(self.ended)
    }

    /// Stops it: in order if it can, at once if it must.
    pub(super) fn stop(&mut self) -> Result<(), PostgresError> {
        let started = Instant::now();
        let steps = [(Signal::SIGINT, FAST_STOP_LIMIT), (Signal::SIGQUIT, IMMEDIATE_STOP_LIMIT)];
        for (signal, limit) in steps {
            if let Some(status) = self.end_with(signal, limit)? {
                let elapsed_ms = started.elapsed().as_millis();
                tracing::info!(pid = self.pid(), %signal, %status, elapsed_ms, "PostgreSQL has stopped");
                return Ok(());
            }
            tracing::warn!(pid = self.pid(), %signal, limit_s = limit.as_secs(), "PostgreSQL does not stop");
        }
        // Its children notice and end; the next start waits for them. The data survive this as they survive a crash.
        tracing::error!(pid = self.pid(), "killing PostgreSQL");
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
                // Not reaped yet, so the number is still its own.
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
