//! One owner for each directory: an flock on a file in it.
//!
//! The kernel drops the lock when the process ends, so a killed owner leaves nothing to clean up. PostgreSQL does not
//! inherit the lock: the standard library opens every file close-on-exec.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use super::error::{ErrorContext, PostgresError};

/// The lock file. Its presence also marks a directory as one that this crate made.
pub(super) const LOCK_FILE: &str = "concurrency-lab.lock";

/// How long to wait for the lock. An owner that is stopping, a sweep, and a child between fork and exec hold it only for
/// a moment. A running server holds it longer than this.
const WAIT_LIMIT: Duration = Duration::from_secs(1);

const RETRY_EVERY: Duration = Duration::from_millis(10);

/// The exclusive right to use a directory, until dropped.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    file: File,
    path: PathBuf,
}

impl DirectoryLock {
    /// Takes the lock and writes our pid to the file; the error of the next process that wants the lock names this pid.
    pub(super) fn take(dir: &Path) -> Result<Self, PostgresError> {
        let path = dir.join(LOCK_FILE);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = file.context("open the lock file", &path)?;
        let deadline = Instant::now() + WAIT_LIMIT;
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
        let lock = Self { file, path };
        lock.write_pid().context("write our pid to", &lock.path)?;
        Ok(lock)
    }

    /// Takes the lock of a directory whose owner has ended. Returns none while another process holds the lock, and also
    /// when the file has no pid: then a new owner is about to write it.
    pub(super) fn take_abandoned(dir: &Path) -> Option<Self> {
        let path = dir.join(LOCK_FILE);
        let file = OpenOptions::new().read(true).write(true).open(&path).ok()?;
        file.try_lock().ok()?;
        let mut lock = Self { file, path };
        read_pid(&mut lock.file).is_some().then_some(lock)
    }

    fn write_pid(&self) -> std::io::Result<()> {
        let mut file = &self.file;
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", process::id())
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child that another thread forks right now holds a copy until its exec.
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, "cannot unlock {}; the lock ends with this process", self.path.display());
        }
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
