//! A directory whose path is short enough for a Unix socket.
//!
//! The kernel limits the path of a socket to about 100 bytes. If the path of the data directory is too long, the socket
//! goes to a private directory below /tmp. The file `socket-dir` holds its path, so that the next start uses it again and
//! a crash leaves no second one behind.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::PORT;
use super::data_dir::{DataDir, Layout, remove_dir, remove_file};
use super::error::{ErrorContext, PostgresError};

/// `sockaddr_un` has room for 108 bytes on Linux and 104 on macOS, the zero at the end included.
const MAX_SOCKET_PATH_BYTES: usize = 100;

/// The parent of such directories. The system's temporary directory is not used: on macOS its path is long.
const SHORT_PARENT: &str = "/tmp";

/// A directory for the socket, owned by PostgreSQL's user, mode 0700.
#[derive(Debug)]
pub(super) struct SocketDir {
    path: PathBuf,
    /// The file with its path, if the socket is outside the data directory. Then the directory is removed at the end.
    note: Option<PathBuf>,
}

impl SocketDir {
    pub(super) fn prepare(data_dir: &DataDir) -> Result<Self, PostgresError> {
        let inside = data_dir.layout.socket();
        if fits(&inside) {
            data_dir.private_dir(&inside)?;
            return Ok(Self { path: inside, note: None });
        }
        let note = data_dir.layout.socket_elsewhere();
        let path = match noted(&note, data_dir.account.uid()) {
            Some(path) => path,
            None => make(data_dir, &note)?,
        };
        Ok(Self { path, note: Some(note) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the lock file of the socket. Call it when no process serves the cluster. PostgreSQL refuses to start when
    /// this file names a running process, and the pid of a killed postmaster may still exist: as a zombie, or reused by
    /// another process. No other server has a socket in this directory.
    pub(super) fn remove_stale_lock(&self) -> Result<(), PostgresError> {
        remove_file(&self.path.join(format!(".s.PGSQL.{PORT}.lock")))
    }

    /// Removes the directory if it is outside the data directory.
    pub(super) fn clean_up(&self) -> Result<(), PostgresError> {
        let Some(note) = &self.note else { return Ok(()) };
        remove_dir(&self.path)?;
        remove_file(note)
    }
}

/// The same for a data directory whose owner has ended.
pub(super) fn clean_up_after(layout: &Layout) -> Result<(), PostgresError> {
    let owner = layout.cluster().metadata().map(|cluster| cluster.uid());
    match owner.ok().and_then(|owner| noted(&layout.socket_elsewhere(), owner)) {
        Some(path) => remove_dir(&path),
        None => Ok(()),
    }
}

/// Whether a path is short enough and has only plain letters: PostgreSQL's setting is a list with commas and quotes, and
/// clients take text.
fn fits(dir: &Path) -> bool {
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+@~".contains(&byte));
    let socket = dir.join(format!(".s.PGSQL.{PORT}"));
    socket.to_str().is_some_and(|path| path.len() <= MAX_SOCKET_PATH_BYTES && plain(path))
}

/// The directory of an earlier start, if its type, owner and mode are unchanged: every user may write to /tmp.
fn noted(note: &Path, owner: u32) -> Option<PathBuf> {
    let path = PathBuf::from(fs::read_to_string(note).ok()?.trim());
    let metadata = path.symlink_metadata().ok()?;
    let ours = metadata.is_dir() && metadata.uid() == owner && metadata.mode() & 0o777 == 0o700;
    (ours && path.parent() == Some(Path::new(SHORT_PARENT))).then_some(path)
}

fn make(data_dir: &DataDir, note: &Path) -> Result<PathBuf, PostgresError> {
    let id = Uuid::new_v4().simple().to_string();
    let path = Path::new(SHORT_PARENT).join(format!("concurrency-lab-socket-{}", &id[..16]));
    // The note comes first: a crash right after it leaves a note without a directory, not a directory without a note.
    fs::write(note, format!("{}\n", path.display())).context("write", note)?;
    // The name is random, so no such directory exists yet.
    data_dir.private_dir(&path)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_and_plain_paths_hold_a_socket() {
        assert!(fits(Path::new("/var/lib/concurrency-lab/socket")));
        assert!(fits(Path::new(&format!("/{}", "x".repeat(85)))), "100 bytes with the socket's name");
        assert!(!fits(Path::new(&format!("/{}", "x".repeat(86)))), "101 bytes");
        for odd in ["/a,b", "/a b", "/a\"b", "/ü"] {
            assert!(!fits(Path::new(odd)), "{odd}");
        }
    }
}
