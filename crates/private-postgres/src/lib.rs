//! A private PostgreSQL: the system installs the programs, and this crate starts, watches and stops them.
//!
//! The lab needs a real, durable PostgreSQL, and a first try of the lab should need no configuration. So this crate runs
//! the installed programs on a data directory of its own. It gives three guarantees:
//!
//! 1. **Durable.** `fsync` is on, because a benchmark of a database that may lose data is worthless. When
//!    PostgreSQL, this process, or both are killed, no acknowledged commit is lost. The one exception says so in its name:
//!    [`Cluster::start_scratch`].
//! 2. **Never two.** Two sets of PostgreSQL processes on one data directory destroy it. An flock keeps a second owner out
//!    (`lock`), and a start first ends the processes that a killed owner left (`processes`).
//! 3. **Nothing left.** PostgreSQL ends with its owner: by [`Cluster::stop`], when the [`Cluster`] is dropped, and on
//!    Linux even when the owner is killed with SIGKILL (`command`).
//!
//! It is also private: it opens no TCP port, its socket is in a directory that only its user may enter, and its password
//! is random.
//!
//! The programs must be PostgreSQL 14 to 18. Older ones are refused; newer ones are accepted with a warning (`programs`).
//!
//! # Layout, in reading order
//!
//! | file | concept |
//! |---|---|
//! | `cluster` | the public handle |
//! | `supervisor` | the thread that owns PostgreSQL: start, watch, restart, stop |
//! | `server` | what a start needs: programs, directory, settings |
//! | `postmaster` | the child process: spawn, readiness, stop |
//! | `binaries` | the search for PostgreSQL's programs |
//! | `programs` | the versions that are accepted |
//! | `data_dir` | the data directory: layout, owner, password |
//! | `account` | the operating system's user that PostgreSQL runs as |
//! | `initdb` | makes a cluster, all or nothing |
//! | `lock` | one owner for each directory |
//! | `processes` | the processes that use a cluster, and how to end them |
//! | `pid_file` | postmaster.pid, and the endpoint for other processes |
//! | `socket_dir` | a directory whose path is short enough for a socket |
//! | `temporary` | temporary directories, and the removal of those whose owner was killed |
//! | `log_file` | PostgreSQL's log, bounded |
//! | `command` | starts a program so that it ends with this process |
//! | `error` | the errors, with what to do next |
//!
//! Deliberately not here: downloading PostgreSQL, upgrading a cluster between major versions, replication.

mod account;
mod binaries;
mod cluster;
mod command;
mod data_dir;
mod error;
mod initdb;
mod lock;
mod log_file;
mod pid_file;
mod postmaster;
mod processes;
mod programs;
mod server;
mod socket_dir;
mod supervisor;
mod temporary;

pub use binaries::find_program;
pub use cluster::{Cluster, ClusterOptions, ClusterStatus};
pub use data_dir::default_data_dir;
pub use error::PostgresError;
pub use pid_file::{Endpoint, running_endpoint};

/// The superuser that initdb makes. It is not called `postgres`, because error messages would then seem to mean a
/// PostgreSQL of the system.
pub(crate) const USER: &str = "concurrency_lab";

/// The database that initdb makes in every cluster, so that no other one has to be created.
pub(crate) const DATABASE: &str = "postgres";

/// Each cluster has a socket directory of its own, so the port is only part of a file name and need not be unique.
pub(crate) const PORT: u16 = 5432;
