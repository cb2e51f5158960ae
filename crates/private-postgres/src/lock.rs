//! One owner a directory: an flock on a file of ours.
//!
//! The kernel drops the lock with the process, so a killed owner leaves nothing to clean up. PostgreSQL does not inherit
//! it: the file is opened close-on-exec, as the standard library always does.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use super::error::{ErrorContext, PostgresError};

/// Its presence also marks a directory as ours.
pub(super) const LOCK_FILE: &str = "concurrency-lab.lock";

/// An owner that is just letting go, a sweeper that is having a look, and a child of ours between fork and exec all hold
/// the lock for a moment. A server that runs holds it longer than any of them.
const PATIENCE: Duration = Duration::from_secs(1);

const RETRY_EVERY: Duration = Duration::from_millis(10);

/// The right to use a directory, until dropped.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    file: File,
}

impl DirectoryLock {
    /// Takes the lock and leaves our pid in the file, for the message that the next one gets.
    pub(super) fn take(dir: &Path) -> Result<Self, PostgresError> {
        let path = dir.join(LOCK_FILE);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = file.context("open the lock file", &path)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(RETRY_EVERY),
                Err(TryLockError::WouldBlock) => {
                    return Err(PostgresError::InUse { path: dir.to_owned(), pid: read_pid(&mut file) });
                }
                Err(TryLockError::Error(error)) => return Err(error).context("lock", &path),
            }
        }
        let lock = Self { file };
        lock.sign().context("write our pid to", &path)?;
        Ok(lock)
    }

    /// The lock on a directory whose owner is dead: none if somebody holds it, or if nobody ever signed it, for then
    /// its owner is just about to.
    pub(super) fn take_abandoned(dir: &Path) -> Option<Self> {
        let file = OpenOptions::new().read(true).write(true).open(dir.join(LOCK_FILE)).ok()?;
        file.try_lock().ok()?;
        let mut lock = Self { file };
        read_pid(&mut lock.file).is_some().then_some(lock)
    }

    fn sign(&self) -> std::io::Result<()> {
        let mut file = &self.file;
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", process::id())
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Closing would do, but for a child that another thread is just forking: it holds a copy until it execs.
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, "cannot unlock the data directory");
        }
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
