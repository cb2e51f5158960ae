//! The errors. Each message says what happened, where, and what to do next.

use std::io;
use std::path::{Path, PathBuf};

use super::programs::{NEWEST_KNOWN_VERSION, OLDEST_VERSION};

/// Why the private PostgreSQL could not be found, started, reached or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresError {
    /// No place on the list has the program.
    #[error(
        "PostgreSQL's `{program}` was not found. Searched:\n{}\nInstall it with:\n  {install}\n\
         or name an existing database with --database-url",
        list(searched)
    )]
    NotInstalled {
        /// The program that was wanted.
        program: String,
        /// Every place that was searched, in order, with what was found wrong there.
        searched: Vec<String>,
        /// The command that installs PostgreSQL on this system.
        install: String,
    },

    /// The named directory lacks a program. There is no fallback to other places: the caller asked for this directory.
    #[error(
        "the named directory of PostgreSQL programs has no {missing}. Searched:\n{}\n\
         Name a directory such as /usr/lib/postgresql/17/bin, or install PostgreSQL with:\n  {install}",
        list(std::slice::from_ref(&bin_dir.display().to_string()))
    )]
    NotInBinDir {
        /// The programs that are not there.
        missing: String,
        /// The directory as the caller named it.
        bin_dir: PathBuf,
        /// The command that installs PostgreSQL on this system.
        install: String,
    },

    /// The programs are of a version that cannot make a cluster the way this crate needs it.
    #[error(
        "the PostgreSQL programs in {} are too old: {version}. \
         The private PostgreSQL needs version {OLDEST_VERSION} to {NEWEST_KNOWN_VERSION}, because `initdb` of version 13 \
         and older has no option --no-instructions. Name the directory of a newer version with --postgres-bin, \
         name an existing database with --database-url, or install a newer PostgreSQL:\n  {install}",
        bin_dir.display()
    )]
    VersionTooOld {
        /// Where the programs are.
        bin_dir: PathBuf,
        /// What `postgres --version` prints.
        version: String,
        /// The command that installs PostgreSQL on this system.
        install: String,
    },

    /// A directory with files that this crate did not make. Nothing in it was touched.
    #[error(
        "the data directory {} is not empty and was not made by concurrency-lab; nothing in it was touched. \
         Name an empty or a new directory with --data-dir",
        path.display()
    )]
    NotOurs {
        /// The directory.
        path: PathBuf,
    },

    /// The user has no home, so there is no default directory.
    #[error(
        "the user {user} has no home directory, so there is no default data directory. \
         Name one with --data-dir (LAB_DATA_DIR), or set HOME"
    )]
    NoHome {
        /// The number of the user of this process.
        user: String,
    },

    /// Another process serves this directory.
    #[error(
        "the data directory {} is already in use by another concurrency-lab{}. \
         Stop that one, or name another directory with --data-dir",
        path.display(),
        pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process that holds it, if it left its number.
        pid: Option<u32>,
    },

    /// The directory, or the cluster in it, belongs to another user.
    #[error(
        "{} belongs to {owner}, but this process runs as {user}. \
         Start it as {owner}, or name another directory with --data-dir",
        path.display()
    )]
    WrongOwner {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: String,
        /// The user of this process.
        user: String,
    },

    /// This process is root, and the system has no other user that could run PostgreSQL.
    #[error(
        "PostgreSQL refuses to run as root, and this system has no user `postgres` that could run it. \
         Create one (useradd --system postgres), or start concurrency-lab as an ordinary user"
    )]
    NoAccount,

    /// PostgreSQL's user cannot reach a directory or program that it needs.
    #[error(
        "PostgreSQL runs as the user {user}, and this user cannot reach {}: it has no permission to enter or execute {}. {advice}",
        path.display(),
        blocked.display()
    )]
    NotReachable {
        /// The path that PostgreSQL needs.
        path: PathBuf,
        /// The first directory or program on the way that the user may not enter or execute.
        blocked: PathBuf,
        /// The user that PostgreSQL runs as.
        user: String,
        /// What to do.
        advice: &'static str,
    },

    /// A path that PostgreSQL cannot use.
    #[error("the data directory {path:?} cannot be used: {reason}. Name another one with --data-dir")]
    UnusablePath {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// Another major version wrote the data.
    #[error(
        "the data in {} were written by PostgreSQL {cluster}, but the programs in {} are PostgreSQL {programs}. \
         Install PostgreSQL {cluster}, or name the directory of its programs with --postgres-bin, \
         or start with an empty database in another --data-dir (these data stay as they are)",
        path.display(),
        bin_dir.display()
    )]
    VersionMismatch {
        /// The cluster.
        path: PathBuf,
        /// The major version that wrote it.
        cluster: String,
        /// Where the programs are.
        bin_dir: PathBuf,
        /// Their major version.
        programs: String,
    },

    /// The cluster exists, but the file with its password does not.
    #[error(
        "the file {} with the password of the database is missing or empty. Restore it from a backup, \
         or start with an empty database in another --data-dir (the data stay as they are)",
        path.display()
    )]
    NoPassword {
        /// The file that should hold the password.
        path: PathBuf,
    },

    /// A program of PostgreSQL failed or took too long.
    #[error("{program} failed ({outcome}):\n{detail}")]
    ProgramFailed {
        /// The program.
        program: String,
        /// Its exit status, or the time limit that it exceeded.
        outcome: String,
        /// The last lines of its output.
        detail: String,
    },

    /// The postmaster ended while it was starting.
    #[error("PostgreSQL ended while starting ({outcome}). The end of its log, {}:\n{tail}", log.display())]
    EndedAtStart {
        /// Its exit status.
        outcome: String,
        /// The log file.
        log: PathBuf,
        /// The last lines of this start.
        tail: String,
    },

    /// The postmaster runs, but did not become ready in time.
    #[error("PostgreSQL was not ready after {seconds} s. The end of its log, {}:\n{tail}", log.display())]
    NotReady {
        /// How long the start waited.
        seconds: u64,
        /// The log file.
        log: PathBuf,
        /// The last lines of this start.
        tail: String,
    },

    /// Processes of an earlier PostgreSQL do not end. A second PostgreSQL beside them would destroy the data.
    #[error(
        "processes of an earlier PostgreSQL still use {} and do not end: pid {}. \
         PostgreSQL was not started, because two at once would destroy the data. \
         End these processes (kill -QUIT), then try again",
        path.display(),
        pids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    Occupied {
        /// The cluster.
        path: PathBuf,
        /// The processes.
        pids: Vec<i32>,
    },

    /// No server runs on this directory.
    #[error(
        "no database is running in {}: {reason}. Start `concurrency-lab serve` with this data directory first",
        path.display()
    )]
    NotRunning {
        /// The data directory.
        path: PathBuf,
        /// What was found there instead.
        reason: String,
    },

    /// The owner cancelled the start.
    #[error("the start of PostgreSQL was cancelled")]
    Cancelled,

    /// The supervising thread panicked.
    #[error(
        "the thread that supervises PostgreSQL ended unexpectedly: this is a bug in concurrency-lab, please report it"
    )]
    SupervisorLost,

    /// The operating system refused something.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The action, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

fn list(places: &[String]) -> String {
    places.iter().map(|place| format!("  - {place}")).collect::<Vec<_>>().join("\n")
}

/// Adds the action and the path to an error of the operating system.
pub(super) trait ErrorContext<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, PostgresError>;
}

impl<T> ErrorContext<T> for io::Result<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, PostgresError> {
        self.map_err(|source| PostgresError::Io { action, path: path.to_owned(), source })
    }
}
