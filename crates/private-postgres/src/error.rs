//! What can go wrong, said to a person: what, where, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

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

    /// The directory that was named explicitly lacks a program. There is no falling back: who names one wants that one.
    #[error(
        "the directory of PostgreSQL programs that was given has no {missing}. Searched:\n{}\n\
         Name a directory such as /usr/lib/postgresql/17/bin, or install PostgreSQL with:\n  {install}",
        list(std::slice::from_ref(&bin_dir.display().to_string()))
    )]
    NotInBinDir {
        /// The programs that are not there.
        missing: String,
        /// The directory as it was given.
        bin_dir: PathBuf,
        /// The command that installs PostgreSQL on this system.
        install: String,
    },

    /// A directory with somebody else's files: nothing in it was touched.
    #[error(
        "the data directory {} is not empty and was not made by concurrency-lab; nothing in it was touched. \
         Name an empty or a new directory with --data-dir",
        path.display()
    )]
    NotOurs {
        /// The directory.
        path: PathBuf,
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

    /// The directory, or the cluster in it, belongs to somebody else.
    #[error(
        "{} belongs to {owner}, but this process runs as {user}. \
         Start it as {owner}, or name another directory with --data-dir",
        path.display()
    )]
    WrongOwner {
        /// What belongs to somebody else.
        path: PathBuf,
        /// Whose it is.
        owner: String,
        /// Who we are.
        user: String,
    },

    /// Root must not run PostgreSQL, and there is nobody else to run it as.
    #[error(
        "PostgreSQL refuses to run as root, and this system has neither a user `postgres` nor `nobody` to run it as. \
         Create one (useradd --system postgres), or start concurrency-lab as an ordinary user"
    )]
    NoAccount,

    /// PostgreSQL's user cannot get to something it needs.
    #[error(
        "PostgreSQL runs as user {user}, who cannot reach {}: {} is closed to that user. {advice}",
        path.display(),
        blocked.display()
    )]
    NotReachable {
        /// What has to be reached.
        path: PathBuf,
        /// The directory or program on the way that is closed.
        blocked: PathBuf,
        /// The user that PostgreSQL runs as.
        user: String,
        /// What to do.
        advice: &'static str,
    },

    /// A path that PostgreSQL cannot work with.
    #[error("the data directory {path:?} cannot be used: {reason}. Name another one with --data-dir")]
    UnusablePath {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// The data were written by another major version.
    #[error(
        "the data in {} were written by PostgreSQL {cluster}, but the programs in {} are PostgreSQL {programs}. \
         Install PostgreSQL {cluster} or name the directory of its programs; \
         or start afresh with another --data-dir (these data stay as they are)",
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

    /// The cluster is there but the file with its password is not.
    #[error(
        "the file {} with the password of the database is missing or empty. Put it back from a copy, \
         or start afresh with another --data-dir (the data stay as they are)",
        path.display()
    )]
    NoPassword {
        /// Where the password should be.
        path: PathBuf,
    },

    /// A program of PostgreSQL failed or took too long.
    #[error("{program} failed ({outcome}):\n{detail}")]
    ProgramFailed {
        /// The program.
        program: String,
        /// Its exit status, or that it ran out of time.
        outcome: String,
        /// The last things it said.
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

    /// The postmaster lives but did not become ready.
    #[error("PostgreSQL was not ready after {seconds} s. The end of its log, {}:\n{tail}", log.display())]
    NotReady {
        /// How long we waited.
        seconds: u64,
        /// The log file.
        log: PathBuf,
        /// The last lines of this start.
        tail: String,
    },

    /// Processes of an earlier PostgreSQL do not go away. Starting a second one beside them would destroy the data.
    #[error(
        "processes of an earlier PostgreSQL still use {} and do not end: pid {}. \
         Nothing was started, since two at once would destroy the data. End them (kill -QUIT), then try again",
        path.display(),
        pids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    Occupied {
        /// The cluster.
        path: PathBuf,
        /// The processes.
        pids: Vec<i32>,
    },

    /// No server is running on this directory.
    #[error(
        "no database is running in {}: {reason}. Start `concurrency-lab serve` with this data directory first",
        path.display()
    )]
    NotRunning {
        /// The data directory.
        path: PathBuf,
        /// What was found instead.
        reason: String,
    },

    /// The start was given up because its owner went away.
    #[error("the start of PostgreSQL was cancelled")]
    Cancelled,

    /// The supervising thread ended in a way it never should.
    #[error("the thread that supervises PostgreSQL ended unexpectedly: this is a bug in concurrency-lab")]
    SupervisorLost,

    /// The operating system refused something.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn list(places: &[String]) -> String {
    places.iter().map(|place| format!("  - {place}")).collect::<Vec<_>>().join("\n")
}

/// Says what was tried on which path when the operating system refuses.
pub(super) trait ErrorContext<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, PostgresError>;
}

impl<T> ErrorContext<T> for io::Result<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, PostgresError> {
        self.map_err(|source| PostgresError::Io { action, path: path.to_owned(), source })
    }
}
