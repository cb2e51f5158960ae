//! A directory short enough for a Unix socket.
//!
//! The kernel limits a socket's path to about 100 bytes. A data directory whose own path is too long gets a short
//! private directory under /tmp; its name is written down, so that the next start uses it again instead of
//! leaving one behind after each crash.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::PORT;
use super::data_dir::{DataDir, Layout, remove_dir, remove_file};
use super::error::{ErrorContext, PostgresError};

/// `sockaddr_un` has room for 108 bytes on Linux and 104 on macOS, with the zero at the end.
const MAX_SOCKET_PATH_BYTES: usize = 100;

/// Not the system's temporary directory: on macOS that is a long path itself.
const SHORT_PARENT: &str = "/tmp";

/// A directory for the socket, owned by PostgreSQL's user, mode 0700.
#[derive(Debug)]
pub(super) struct SocketDir {
    path: PathBuf,
    /// Where its name is written down, if it lies outside of the data directory: then we remove it at the end.
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

    /// To be called when nobody serves the cluster. PostgreSQL refuses to start over a socket whose lock file names a
    /// living process, and the pid of a killed postmaster lives on: as a zombie, or given to somebody else. Here
    /// nobody else has a socket.
    pub(super) fn remove_stale_lock(&self) -> Result<(), PostgresError> {
        remove_file(&self.path.join(format!(".s.PGSQL.{PORT}.lock")))
    }

    /// Removes a directory that we made outside of the data directory.
    pub(super) fn clean_up(&self) -> Result<(), PostgresError> {
        let Some(note) = &self.note else { return Ok(()) };
        remove_dir(&self.path)?;
        remove_file(note)
    }
}

/// The same for a data directory whose owner is dead.
pub(super) fn clean_up_after(layout: &Layout) -> Result<(), PostgresError> {
    let owner = layout.cluster().metadata().map(|cluster| cluster.uid());
    match owner.ok().and_then(|owner| noted(&layout.socket_elsewhere(), owner)) {
        Some(path) => remove_dir(&path),
        None => Ok(()),
    }
}

/// Short enough, and in plain letters: PostgreSQL takes a list of directories with commas and quotes, and clients take
/// text.
fn fits(dir: &Path) -> bool {
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+@~".contains(&byte));
    let socket = dir.join(format!(".s.PGSQL.{PORT}"));
    socket.to_str().is_some_and(|path| path.len() <= MAX_SOCKET_PATH_BYTES && plain(path))
}

/// The directory of an earlier start, if it is still what we made: others may write to /tmp, too.
fn noted(note: &Path, owner: u32) -> Option<PathBuf> {
    let path = PathBuf::from(fs::read_to_string(note).ok()?.trim());
    let metadata = path.symlink_metadata().ok()?;
    let ours = metadata.is_dir() && metadata.uid() == owner && metadata.mode() & 0o777 == 0o700;
    (ours && path.parent() == Some(Path::new(SHORT_PARENT))).then_some(path)
}

fn make(data_dir: &DataDir, note: &Path) -> Result<PathBuf, PostgresError> {
    let id = Uuid::new_v4().simple().to_string();
    let path = Path::new(SHORT_PARENT).join(format!("concurrency-lab-socket-{}", &id[..16]));
    // Written down first: a crash right after leaves a name without a directory, not a directory without a name.
    fs::write(note, format!("{}\n", path.display())).context("write", note)?;
    // Nobody can guess the name, so it is not there yet.
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
