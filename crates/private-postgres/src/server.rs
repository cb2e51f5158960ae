//! What a start needs: programs, directory, settings. It is collected once and used again for each restart.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use nix::sys::signal::Signal;
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::binaries::find_server;
use super::command::private;
use super::data_dir::DataDir;
use super::error::PostgresError;
use super::initdb::{self, Sync};
use super::postmaster::Postmaster;
use super::programs::Programs;
use super::socket_dir::SocketDir;
use super::supervisor::Pause;
use super::temporary::{self, TemporaryPlace};
use super::{DATABASE, PORT, USER, processes};

/// The directory that PostgreSQL uses.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ServerDirectory {
    /// A permanent directory, kept after the stop.
    Permanent(PathBuf),
    /// A new directory, removed after the stop.
    Temporary,
    /// The same for a database that need not be durable.
    Scratch,
}

/// The options of the caller.
#[derive(Debug)]
pub(super) struct ServerPlan {
    pub(super) directory: ServerDirectory,
    pub(super) bin_dir: Option<PathBuf>,
    pub(super) max_connections: u32,
}

/// A cluster that is ready to start, and the lock on its directory.
#[derive(Debug)]
pub(super) struct PreparedServer {
    programs: Programs,
    data_dir: DataDir,
    socket_dir: SocketDir,
    password: String,
    max_connections: u32,
    temporary: bool,
    durable: bool,
}

impl PreparedServer {
    pub(super) fn prepare(plan: &ServerPlan, pause: &Pause) -> Result<Self, PostgresError> {
        // The search comes before anything is created, so that a failed search leaves nothing behind.
        let dir = find_server(plan.bin_dir.as_deref())?;
        match &plan.directory {
            ServerDirectory::Permanent(path) => Self::assemble(dir, DataDir::claim(path)?, plan, pause),
            ServerDirectory::Temporary | ServerDirectory::Scratch => {
                let is_scratch = plan.directory == ServerDirectory::Scratch;
                temporary::sweep();
                let data_dir =
                    temporary::create(if is_scratch { TemporaryPlace::Memory } else { TemporaryPlace::Disk })?;
                let layout = data_dir.layout.clone();
                Self::assemble(dir, data_dir, plan, pause).inspect_err(|_| {
                    if let Err(error) = temporary::remove(&layout) {
                        tracing::warn!(%error, "cannot remove the directory of the temporary database");
                    }
                })
            }
        }
    }

    fn assemble(bin_dir: PathBuf, data_dir: DataDir, plan: &ServerPlan, pause: &Pause) -> Result<Self, PostgresError> {
        let temporary = !matches!(plan.directory, ServerDirectory::Permanent(_));
        let programs = Programs::examine(bin_dir, &data_dir.account)?;
        data_dir.log().rotate();
        let sync = if temporary { Sync::No } else { Sync::Yes };
        initdb::ensure(&data_dir, &programs, sync, pause)?;
        programs.check_cluster(&data_dir.layout.cluster())?;
        let password = data_dir.layout.read_password()?;
        let socket_dir = SocketDir::prepare(&data_dir)?;
        let (max_connections, durable) = (plan.max_connections, plan.directory != ServerDirectory::Scratch);
        Ok(Self { programs, data_dir, socket_dir, password, max_connections, temporary, durable })
    }

    pub(super) fn root(&self) -> &Path {
        self.data_dir.layout.root()
    }

    /// Whether its directory is removed at the end.
    pub(super) fn is_temporary(&self) -> bool {
        self.temporary
    }

    pub(super) fn connect_options(&self) -> PgConnectOptions {
        // Every option is set here, so that variables such as PGHOST and PGSSLMODE have no effect.
        PgConnectOptions::new_without_pgpass()
            .host("localhost")
            .socket(self.socket_dir.path())
            .port(PORT)
            .username(USER)
            .password(&self.password)
            .database(DATABASE)
            .application_name("concurrency-lab")
            .ssl_mode(PgSslMode::Disable)
            .disable_statement_logging()
    }

    /// Starts the postmaster and returns it when clients can connect.
    pub(super) fn launch(&self, pause: &Pause) -> Result<Postmaster, PostgresError> {
        let cluster = self.data_dir.layout.cluster();
        processes::make_way(&cluster)?;
        self.socket_dir.remove_stale_lock()?;
        let started = Instant::now();
        let log = self.data_dir.log();
        let mut postmaster = Postmaster::spawn(&mut self.command(&cluster)?, cluster, log)?;
        postmaster.wait_until_ready(pause)?;
        let (pid, elapsed_ms) = (postmaster.pid(), started.elapsed().as_millis());
        tracing::info!(pid, elapsed_ms, data_dir = %self.root().display(), "PostgreSQL is ready");
        Ok(postmaster)
    }

    fn command(&self, cluster: &Path) -> Result<Command, PostgresError> {
        // SIGINT is a fast shutdown: even when this process is killed, PostgreSQL stops in order.
        let log = self.data_dir.log();
        let mut command = private(&self.programs.path("postgres"), &self.data_dir.account, Signal::SIGINT);
        command.stdout(log.open()?).stderr(log.open()?).arg("-D").arg(cluster);
        for (name, value) in self.settings() {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        Ok(command)
    }

    /// The settings go on the command line, so that neither postgresql.conf nor ALTER SYSTEM can change them.
    fn settings(&self) -> [(&'static str, String); 17] {
        let text = str::to_owned;
        let if_durable = |yes, no| text(if self.durable { yes } else { no });
        [
            // Durable, except on scratch. These are PostgreSQL's defaults; here they are guaranteed.
            ("fsync", if_durable("on", "off")),
            ("full_page_writes", if_durable("on", "off")),
            ("max_wal_size", if_durable("1GB", "256MB")),
            ("synchronous_commit", text("on")),
            // Private.
            ("listen_addresses", text("")),
            ("unix_socket_directories", self.socket_dir.path().display().to_string()),
            ("unix_socket_permissions", text("0700")),
            ("port", PORT.to_string()),
            ("max_connections", self.max_connections.to_string()),
            // Explore files may prepare transactions; PostgreSQL's default is 0.
            ("max_prepared_transactions", "16".to_owned()),
            // All statements are short: to compile one would take longer than to run it.
            ("jit", text("off")),
            ("cluster_name", text("concurrency-lab")),
            // All output goes to stderr, which is the log file.
            ("logging_collector", text("off")),
            ("log_destination", text("stderr")),
            // The lab provokes refusals and serialization failures, a million in one run. Clients receive them; the log
            // leaves them out. The level `log` keeps messages about the server itself.
            ("log_min_messages", text("log")),
            ("log_checkpoints", text("off")),
            ("log_statement", text("none")),
        ]
    }

    /// The periodic work while the server runs.
    pub(super) fn maintain(&self) {
        self.data_dir.log().rotate();
    }

    /// Removes temporary files. Call it after the postmaster has ended.
    pub(super) fn clean_up(self) -> Result<(), PostgresError> {
        let sockets = self.socket_dir.clean_up();
        let files = if self.temporary { temporary::remove(&self.data_dir.layout) } else { Ok(()) };
        sockets.and(files)
    }
}
