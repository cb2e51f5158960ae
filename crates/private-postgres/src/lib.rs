//! A private PostgreSQL: installed by the system, started, watched and stopped by us.
//!
//! The lab needs a real PostgreSQL with real durability, and a person who only wants to try it should not have to
//! configure one. So we run the installed programs on a data directory of our own. Three promises shape everything
//! here:
//!
//! 1. **Durable.** `fsync` is on, always: a benchmark of a database that may forget is worthless. Killing the database,
//!    this process, or both loses nothing that was acknowledged.
//! 2. **Never two.** Two sets of PostgreSQL processes on one data directory destroy it. An flock of ours keeps a second
//!    owner out (`lock`), and whatever an owner that was killed left behind is gone before we start
//!    (`processes`).
//! 3. **Nothing left.** The database ends with its owner: by [`Cluster::stop`], by dropping the [`Cluster`], and on
//!    Linux even when the owner is killed with SIGKILL (`command`).
//!
//! It is also private: no TCP port, a socket in a directory that only its user may enter, and a random password.
//!
//! # Layout, in reading order
//!
//! | file | concept |
//! |---|---|
//! | `cluster` | the public handle |
//! | `supervisor` | the thread that owns the database: start, watch, restart, stop |
//! | `server` | what a start needs: programs, directory, settings |
//! | `postmaster` | the child process: spawn, readiness, stop |
//! | `binaries` | where the programs are looked for |
//! | `data_dir` | our directory: layout, ownership, password |
//! | `account` | the operating system's user that PostgreSQL runs as |
//! | `initdb` | making a cluster, all or nothing |
//! | `lock` | one owner a directory |
//! | `processes` | who uses a cluster, and seeing them off |
//! | `pid_file` | reading postmaster.pid; the endpoint for other processes |
//! | `socket_dir` | a directory short enough for a socket |
//! | `temporary` | directories that are removed, and sweeping those that were not |
//! | `log_file` | PostgreSQL's log, bounded |
//! | `command` | how a program is started so that it cannot outlive us |
//! | `error` | what can go wrong, in words |
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
mod server;
mod socket_dir;
mod supervisor;
mod temporary;

pub use binaries::find_program;
pub use cluster::{Cluster, ClusterOptions, ClusterStatus};
pub use data_dir::default_data_dir;
pub use error::PostgresError;
pub use pid_file::{Endpoint, running_endpoint};

/// The superuser that initdb makes. PostgreSQL's own name for the role that may do everything would be taken for the
/// system's database in error messages.
pub(crate) const USER: &str = "concurrency_lab";

/// The database that every cluster has from its birth: nothing has to be created, so nothing can be half-created.
pub(crate) const DATABASE: &str = "postgres";

/// One socket directory a cluster, so the port is only part of a file name and need not be unique.
pub(crate) const PORT: u16 = 5432;
