//! The data directory: its layout, its owner, and the password.
//!
//! ```text
//! concurrency-lab.lock   locked by the owner; marks the directory as one that this crate made
//! cluster/               PostgreSQL's own data directory (0700)
//! cluster.tmp/           a cluster that initdb is making
//! password               the password of the role in the cluster (0600)
//! postgres.log, .log.1   PostgreSQL's log
//! socket/                the Unix socket for clients (0700), unless the path is too long
//! socket-dir             in that case: the path of the directory with the socket
//! ```
//!
//! If this process is root, root owns the directory, and other users may enter but not list it (0711), because PostgreSQL's
//! user has to reach its cluster. Otherwise only the user of this process may enter it (0700).

use std::env;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};
use uuid::Uuid;

use super::account::{OsAccount, wrong_owner};
use super::error::{ErrorContext, PostgresError};
use super::lock::{DirectoryLock, LOCK_FILE};
use super::log_file::LogFile;

/// A new file system contains this folder, so a directory with nothing else counts as empty.
const LOST_AND_FOUND: &str = "lost+found";

const ADVICE: &str =
    "Name a directory that every user may enter with --data-dir (as root for example one under /var/lib)";

/// The default data directory: `/var/lib/concurrency-lab` for root, because PostgreSQL's user cannot enter root's home;
/// otherwise `concurrency-lab` in the XDG data directory.
///
/// # Errors
/// [`PostgresError::NoHome`], when the user has no home. A directory below the system's temporary directory would be no replacement: its
/// path is known before, so another user could make it first.
pub fn default_data_dir() -> Result<PathBuf, PostgresError> {
    let me = Uid::effective();
    if me.is_root() {
        return Ok(PathBuf::from("/var/lib/concurrency-lab"));
    }
    let of_account = || User::from_uid(me).ok().flatten().map(|user| user.dir);
    data_dir_of(|name| env::var_os(name).map(PathBuf::from), of_account)
        .ok_or_else(|| PostgresError::NoHome { user: me.to_string() })
}

/// The data directory of a user with these variables and this home in the list of accounts.
fn data_dir_of(
    variable: impl Fn(&str) -> Option<PathBuf>,
    home_of_account: impl FnOnce() -> Option<PathBuf>,
) -> Option<PathBuf> {
    // A path that is not absolute would depend on the working directory, and an empty one is none.
    let absolute = |name| variable(name).filter(|path| path.is_absolute());
    let home = || absolute("HOME").or_else(|| home_of_account().filter(|path| path.is_absolute()));
    let data = absolute("XDG_DATA_HOME").or_else(|| home().map(|home| home.join(".local/share")))?;
    Some(data.join("concurrency-lab"))
}

/// The paths below a data directory. It needs no lock, and touches no file.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn cluster(&self) -> PathBuf {
        self.root.join("cluster")
    }

    pub(super) fn unfinished_cluster(&self) -> PathBuf {
        self.root.join("cluster.tmp")
    }

    pub(super) fn password(&self) -> PathBuf {
        self.root.join("password")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.root.join("postgres.log")
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.root.join("socket")
    }

    pub(super) fn socket_elsewhere(&self) -> PathBuf {
        self.root.join("socket-dir")
    }

    /// The password of the role, as `initdb` received it.
    pub(super) fn read_password(&self) -> Result<String, PostgresError> {
        let path = self.password();
        match fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).context("read the password in", &path),
            Ok(_) | Err(_) => Err(PostgresError::NoPassword { path }),
        }
    }
}

/// A data directory that this process has locked.
#[derive(Debug)]
pub(super) struct DataDir {
    pub(super) layout: Layout,
    pub(super) account: OsAccount,
    _lock: DirectoryLock,
}

impl DataDir {
    /// Creates the directory if there is none, and locks it. Refuses a directory with files that this crate did not make,
    /// and then touches nothing in it.
    pub(super) fn claim(path: &Path) -> Result<Self, PostgresError> {
        create(path)?;
        let root = fs::canonicalize(path).context("find the data directory", path)?;
        check_name(&root)?;
        let metadata = root.metadata().context("look at the data directory", &root)?;
        if !metadata.is_dir() {
            return Err(PostgresError::UnusablePath { path: root, reason: "it is not a directory" });
        }
        if metadata.uid() != Uid::effective().as_raw() {
            return Err(wrong_owner(&root, &metadata));
        }
        check_ours(&root)?;
        let lock = DirectoryLock::take(&root)?;
        let mode = if Uid::effective().is_root() { 0o711 } else { 0o700 };
        set_mode(&root, mode)?;
        let layout = Layout::new(root);
        let account = OsAccount::choose(&layout.cluster())?;
        account.check_reach(layout.root(), ADVICE)?;
        Ok(Self { layout, account, _lock: lock })
    }

    pub(super) fn log(&self) -> LogFile {
        LogFile::new(self.layout.log())
    }

    /// Creates a directory that only PostgreSQL's user may enter.
    pub(super) fn private_dir(&self, path: &Path) -> Result<(), PostgresError> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error).context("create", path),
            Ok(()) | Err(_) => {}
        }
        set_mode(path, 0o700)?;
        self.account.give(path)
    }

    /// Writes a new random password. It is on disk before initdb makes the cluster that asks for it.
    pub(super) fn write_password(&self) -> Result<(), PostgresError> {
        let path = self.layout.password();
        remove_file(&path)?;
        // 244 random bits, from a generator with a seed of the operating system.
        let password = format!("{}{}\n", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let written = file.and_then(|mut file| file.write_all(password.as_bytes()).and_then(|()| file.sync_all()));
        written.context("write the password to", &path)?;
        // initdb reads it as PostgreSQL's user.
        self.account.give(&path)
    }
}

/// Makes changes of a directory (created, renamed and removed files) durable.
pub(super) fn sync_dir(path: &Path) -> Result<(), PostgresError> {
    File::open(path).and_then(|dir| dir.sync_all()).context("sync", path)
}

/// Removes a file, if it is there.
pub(super) fn remove_file(path: &Path) -> Result<(), PostgresError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).context("remove", path),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Removes a directory with all that is in it, if it is there.
pub(super) fn remove_dir(path: &Path) -> Result<(), PostgresError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).context("remove", path),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn create(path: &Path) -> Result<(), PostgresError> {
    if path.exists() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).context("create", parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        // Another server created it at the same time: the lock decides which one gets it.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(error).context("create the data directory", path)
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Refuses paths with control characters: postmaster.pid has one path on each line.
fn check_name(path: &Path) -> Result<(), PostgresError> {
    if path.as_os_str().as_bytes().iter().any(u8::is_ascii_control) {
        let reason = "its name contains a control character";
        return Err(PostgresError::UnusablePath { path: path.to_owned(), reason });
    }
    Ok(())
}

fn check_ours(path: &Path) -> Result<(), PostgresError> {
    let mut foreign = false;
    for entry in fs::read_dir(path).context("list the data directory", path)? {
        let name = entry.context("list the data directory", path)?.file_name();
        if name == LOCK_FILE {
            return Ok(());
        }
        foreign |= name != OsStr::new(LOST_AND_FOUND);
    }
    if foreign { Err(PostgresError::NotOurs { path: path.to_owned() }) } else { Ok(()) }
}

fn set_mode(path: &Path, mode: u32) -> Result<(), PostgresError> {
    fs::set_permissions(path, Permissions::from_mode(mode)).context("set the permissions of", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_without_a_home_has_no_default_data_directory() {
        let of = |variables: &[(&str, &str)], home: Option<&str>| {
            let variable = |name: &str| variables.iter().find(|(set, _)| *set == name).map(|(_, path)| path.into());
            data_dir_of(variable, || home.map(PathBuf::from)).map(|path| path.display().to_string())
        };
        let of_home = Some("/home/a/.local/share/concurrency-lab".to_owned());
        assert_eq!(of(&[("HOME", "/home/a")], None), of_home);
        assert_eq!(of(&[("HOME", "")], Some("/home/a")), of_home);
        let of_data = Some("/data/concurrency-lab".to_owned());
        assert_eq!(of(&[("XDG_DATA_HOME", "/data"), ("HOME", "/home/a")], None), of_data);
        assert_eq!(of(&[("HOME", "relative"), ("XDG_DATA_HOME", "")], None), None);
        assert_eq!(of(&[], Some("")), None);
    }
}
