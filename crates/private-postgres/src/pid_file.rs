//! Reads postmaster.pid, and with it finds a server that another process runs.
//!
//! The lines are: pid, data directory, start time, port, socket directory, listen address, shared memory key, status. The
//! file of a killed PostgreSQL stays and still says `ready`, so the file alone proves nothing: the process must run too.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::Pid;

use super::data_dir::Layout;
use super::error::{ErrorContext, PostgresError};
use super::{DATABASE, PORT, USER, processes};

pub(super) const NAME: &str = "postmaster.pid";

const PID_LINE: usize = 0;
const SOCKET_DIR_LINE: usize = 4;
const STATUS_LINE: usize = 7;

/// How to connect to a cluster that another process serves: address, role, password and database.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The directory of the Unix socket, the value for `psql --host`.
    pub socket_dir: PathBuf,
    /// The role.
    pub user: String,
    /// The password of the role. Pass it as PGPASSWORD, never as an argument: every user of the machine can read arguments.
    pub password: String,
    /// The database.
    pub database: String,
    /// The port, which is part of the socket's name.
    pub port: u16,
}

impl std::fmt::Debug for Endpoint {
    /// Leaves the password out, because debug output ends up in logs.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Endpoint")
            .field("socket_dir", &self.socket_dir)
            .field("user", &self.user)
            .field("database", &self.database)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// The endpoint of the cluster that another process serves from this data directory.
///
/// # Errors
///
/// When no PostgreSQL runs there, when it is not ready, or when its password cannot be read.
pub fn running_endpoint(data_dir: &Path) -> Result<Endpoint, PostgresError> {
    let not_running = |reason: String| PostgresError::NotRunning { path: data_dir.to_owned(), reason };
    let layout = Layout::new(data_dir.to_owned());
    let cluster = layout.cluster();
    let file = match read(&cluster) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(not_running(format!("there is no {NAME} in {}", cluster.display())));
        }
        Err(error) => return Err(error).context("read postmaster.pid in", &cluster),
    };
    let Some(pid) = file.pid().filter(|pid| processes::serves(*pid, &cluster)) else {
        return Err(not_running(format!("{NAME} was left by a PostgreSQL that no longer runs")));
    };
    if !file.is_ready() {
        return Err(not_running(format!("PostgreSQL (pid {pid}) is starting or stopping ({})", file.status())));
    }
    let socket_dir = file.socket_dir().ok_or_else(|| not_running(format!("{NAME} names no socket directory")))?;
    Ok(Endpoint {
        socket_dir,
        user: USER.to_owned(),
        password: layout.read_password()?,
        database: DATABASE.to_owned(),
        port: PORT,
    })
}

/// The contents of a postmaster.pid. Any line may be missing, because PostgreSQL writes the file in steps.
pub(super) struct PidFile {
    lines: Vec<String>,
}

pub(super) fn read(cluster: &Path) -> io::Result<PidFile> {
    let text = fs::read_to_string(cluster.join(NAME))?;
    Ok(PidFile { lines: text.lines().map(|line| line.trim().to_owned()).collect() })
}

impl PidFile {
    fn line(&self, number: usize) -> &str {
        self.lines.get(number).map_or("", String::as_str)
    }

    pub(super) fn pid(&self) -> Option<Pid> {
        self.line(PID_LINE).parse().ok().filter(|pid| *pid > 0).map(Pid::from_raw)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.status() == "ready"
    }

    fn status(&self) -> &str {
        match self.line(STATUS_LINE) {
            "" => "starting",
            status => status,
        }
    }

    fn socket_dir(&self) -> Option<PathBuf> {
        Some(self.line(SOCKET_DIR_LINE)).filter(|line| !line.is_empty()).map(PathBuf::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> PidFile {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(NAME), text).unwrap();
        read(dir.path()).unwrap()
    }

    #[test]
    fn a_complete_file_is_parsed() {
        let file = parse("4711\n/d/cluster\n1700000000\n5432\n/d/socket\n\n  1234 0\nready   \n");
        assert_eq!(file.pid(), Some(Pid::from_raw(4711)));
        assert_eq!(file.socket_dir(), Some(PathBuf::from("/d/socket")));
        assert!(file.is_ready());
    }

    #[test]
    fn an_empty_or_half_written_file_is_never_ready() {
        for (text, pid) in [("", None), ("-1\n", None), ("x", None), ("47", Some(47)), ("47\n/d\n1\n5432\n", Some(47))]
        {
            let file = parse(text);
            assert_eq!(file.pid(), pid.map(Pid::from_raw), "{text:?}");
            assert!(!file.is_ready(), "{text:?}");
        }
    }
}
