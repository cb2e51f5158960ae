//! Temporary data directories, and the removal of those whose owner was killed.

use std::env;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, Uid, access};
use uuid::Uuid;

use super::data_dir::{DataDir, Layout, remove_dir};
use super::error::{ErrorContext, PostgresError};
use super::lock::DirectoryLock;
use super::processes;
use super::socket_dir;

/// The prefix of their names. The names of socket directories, which are in the same place, must not start with it.
const PREFIX: &str = "concurrency-lab-run-";

/// A filesystem in memory that Linux mounts for every user.
const MEMORY: &str = "/dev/shm";

/// The free space that a scratch database needs in memory: its files with those of several workers, and twice `max_wal_size`.
const MEMORY_FREE_MIN: u64 = 2 << 30;

/// Where the directory of a temporary database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TemporaryPlace {
    /// The system's temporary directory.
    Disk,
    /// A filesystem in memory, where there is one with room; else the system's temporary directory.
    Memory,
}

impl TemporaryPlace {
    fn parent(self) -> PathBuf {
        match self {
            // TMPDIR is the choice of the user.
            Self::Memory if env::var_os("TMPDIR").is_none() && has_room(Path::new(MEMORY)) => MEMORY.into(),
            Self::Disk | Self::Memory => env::temp_dir(),
        }
    }
}

/// Whether a filesystem in memory has room, and the machine has that memory: a filesystem may promise more than there is.
fn has_room(memory: &Path) -> bool {
    let free = |stat: nix::sys::statvfs::Statvfs| stat.blocks_available() * stat.fragment_size();
    let is_roomy = nix::sys::statvfs::statvfs(memory).is_ok_and(|stat| free(stat) >= MEMORY_FREE_MIN);
    is_roomy
        && access(memory, AccessFlags::W_OK).is_ok()
        && available_memory().is_some_and(|bytes| bytes >= 2 * MEMORY_FREE_MIN)
}

/// The memory that programs can still get, in bytes (proc(5), `MemAvailable` of `/proc/meminfo`).
fn available_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

/// Creates a directory there, and locks it.
pub(super) fn create(place: TemporaryPlace) -> Result<DataDir, PostgresError> {
    let id = Uuid::new_v4().simple().to_string();
    let path = place.parent().join(format!("{PREFIX}{}", &id[..12]));
    DirBuilder::new().mode(0o700).create(&path).context("create the temporary directory", &path)?;
    DataDir::claim(&path).inspect_err(|_| {
        // The directory is new and holds at most the lock file.
        let _ = fs::remove_dir_all(&path);
    })
}

/// Removes the directories of killed owners. A failure is only logged: it must not prevent a start.
pub(super) fn sweep() {
    let parents = [env::temp_dir(), MEMORY.into()];
    for entry in parents.iter().filter_map(|parent| fs::read_dir(parent).ok()).flatten().flatten() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filesystem_without_room_is_not_chosen() {
        assert!(!has_room(Path::new("/proc")), "it has no space at all");
        assert!(!has_room(Path::new("/nowhere")));
        assert_eq!(TemporaryPlace::Disk.parent(), env::temp_dir());
    }
}
