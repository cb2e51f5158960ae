//! Temporary data directories, and the removal of those whose owner was killed.

use std::env;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use nix::unistd::Uid;
use uuid::Uuid;

use super::data_dir::{DataDir, Layout, remove_dir};
use super::error::{ErrorContext, PostgresError};
use super::lock::DirectoryLock;
use super::processes;
use super::socket_dir;

/// The prefix of their names. The names of socket directories, which are in the same place, must not start with it.
const PREFIX: &str = "concurrency-lab-run-";

/// Creates a directory below the system's temporary directory, and locks it.
pub(super) fn create() -> Result<DataDir, PostgresError> {
    let id = Uuid::new_v4().simple().to_string();
    let path = env::temp_dir().join(format!("{PREFIX}{}", &id[..12]));
    DirBuilder::new().mode(0o700).create(&path).context("create the temporary directory", &path)?;
    DataDir::claim(&path).inspect_err(|_| {
        // The directory is new and holds at most the lock file.
        let _ = fs::remove_dir_all(&path);
    })
}

/// Removes the directories of killed owners. A failure is only logged: it must not prevent a start.
pub(super) fn sweep() {
    let Ok(entries) = fs::read_dir(env::temp_dir()) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX))
            && let Err(error) = sweep_one(&entry.path())
        {
            tracing::warn!(path = %entry.path().display(), %error, "cannot remove the temporary database of an earlier run");
        }
    }
}

fn sweep_one(path: &Path) -> Result<(), PostgresError> {
    let ours = path.symlink_metadata().is_ok_and(|dir| dir.is_dir() && dir.uid() == Uid::effective().as_raw());
    if !ours {
        return Ok(());
    }
    // The lock is held until the directory is removed, so that no other process removes it at the same time.
    let Some(_lock) = DirectoryLock::take_abandoned(path) else { return Ok(()) };
    tracing::info!(path = %path.display(), "removing the temporary database of an earlier run");
    remove(&Layout::new(path.to_owned()))
}

/// Ends the last processes that use a temporary directory, and removes it.
pub(super) fn remove(layout: &Layout) -> Result<(), PostgresError> {
    for cluster in [layout.cluster(), layout.unfinished_cluster()] {
        processes::evict(&cluster)?;
    }
    socket_dir::clean_up_after(layout)?;
    remove_dir(layout.root())
}
