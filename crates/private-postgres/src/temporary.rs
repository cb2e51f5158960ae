//! Directories that live as long as a run, and sweeping those whose run was killed.

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

/// What the name of each begins with. It must not fit the socket directories, which lie beside them.
const PREFIX: &str = "concurrency-lab-run-";

/// A new directory under the system's temporary directory, ours from the start.
pub(super) fn create() -> Result<DataDir, PostgresError> {
    let id = Uuid::new_v4().simple().to_string();
    let path = env::temp_dir().join(format!("{PREFIX}{}", &id[..12]));
    DirBuilder::new().mode(0o700).create(&path).context("create the temporary directory", &path)?;
    DataDir::claim(&path).inspect_err(|_| {
        // Ours, new and empty but for the lock.
        let _ = fs::remove_dir_all(&path);
    })
}

/// Removes what runs that were killed left behind. Failing at that is no reason not to start.
pub(super) fn sweep() {
    let Ok(entries) = fs::read_dir(env::temp_dir()) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX))
            && let Err(error) = sweep_one(&entry.path())
        {
            tracing::warn!(path = %entry.path().display(), %error, "cannot remove what an earlier run left");
        }
    }
}

fn sweep_one(path: &Path) -> Result<(), PostgresError> {
    let ours = path.symlink_metadata().is_ok_and(|dir| dir.is_dir() && dir.uid() == Uid::effective().as_raw());
    if !ours {
        return Ok(());
    }
    // Held until the directory is gone: nobody else sweeps it at the same time.
    let Some(_lock) = DirectoryLock::take_abandoned(path) else { return Ok(()) };
    tracing::info!(path = %path.display(), "removing the temporary database that an earlier run left");
    remove(&Layout::new(path.to_owned()))
}

/// Removes a temporary directory, after the last process that uses it.
pub(super) fn remove(layout: &Layout) -> Result<(), PostgresError> {
    for cluster in [layout.cluster(), layout.unfinished_cluster()] {
        processes::evict(&cluster)?;
    }
    socket_dir::clean_up_after(layout)?;
    remove_dir(layout.root())
}
