//! What a start needs, gathered once and used again for each restart: programs, directory, settings.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::account::OsAccount;
use super::binaries::find_server;
use super::command::{output_within, private};
use super::data_dir::DataDir;
use super::error::{ErrorContext, PostgresError};
use super::initdb::{self, Sync};
use super::postmaster::Postmaster;
use super::socket_dir::SocketDir;
use super::supervisor::Pause;
use super::{DATABASE, PORT, USER, processes, temporary};

/// `postgres --version` prints a constant; the rest is for loading the program from a slow disk.
const VERSION_LIMIT: Duration = Duration::from_secs(20);

/// Which directory to serve from.
#[derive(Debug)]
pub(super) enum ServerDirectory {
    Kept(PathBuf),
    /// A new one that goes when the server does.
    Temporary,
}

/// What the caller asked for.
#[derive(Debug)]
pub(super) struct ServerPlan {
    pub(super) place: ServerDirectory,
    pub(super) bin_dir: Option<PathBuf>,
    pub(super) max_connections: u32,
}

/// PostgreSQL's programs, all from one directory and of one version.
#[derive(Debug)]
pub(super) struct Programs {
    dir: PathBuf,
    /// As `PG_VERSION` has it, e.g. `17`.
    major: String,
}

impl Programs {
    fn examine(dir: PathBuf, account: &OsAccount) -> Result<Self, PostgresError> {
        let postgres = dir.join("postgres");
        account.check_reach(&postgres, "Use programs that every user may execute")?;
        let mut command = private(&postgres, account, Signal::SIGKILL);
        let output = output_within(command.arg("--version"), VERSION_LIMIT).context("run", &postgres)?;
        let text = String::from_utf8_lossy(&output.stdout);
        match parse_major(&text) {
            Some(major) if output.status.success() => Ok(Self { dir, major }),
            _ => Err(PostgresError::ProgramFailed {
                program: format!("{} --version", postgres.display()),
                outcome: output.status.to_string(),
                detail: format!("{text}{}", String::from_utf8_lossy(&output.stderr)),
            }),
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn check_version(&self, cluster: &Path) -> Result<(), PostgresError> {
        let path = cluster.join("PG_VERSION");
        let version = fs::read_to_string(&path).context("read the version of the data in", &path)?;
        if version.trim() == self.major {
            return Ok(());
        }
        Err(PostgresError::VersionMismatch {
            path: cluster.to_owned(),
            cluster: version.trim().to_owned(),
            bin_dir: self.dir.clone(),
            programs: self.major.clone(),
        })
    }
}

/// `17` from `postgres (PostgreSQL) 17.2 (Debian 17.2-1)`, also from `17beta1` or `18devel`.
fn parse_major(version: &str) -> Option<String> {
    let number = version.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    Some(number.chars().take_while(char::is_ascii_digit).collect())
}

/// A cluster that is ready to be started, and the right to do so.
#[derive(Debug)]
pub(super) struct Server {
    programs: Programs,
    data_dir: DataDir,
    socket_dir: SocketDir,
    password: String,
    max_connections: u32,
    temporary: bool,
}

impl Server {
    pub(super) fn prepare(plan: &ServerPlan, pause: &Pause) -> Result<Self, PostgresError> {
        // Before anything is created: without programs nothing should be left behind.
        let dir = find_server(plan.bin_dir.as_deref())?;
        match &plan.place {
            ServerDirectory::Kept(path) => Self::assemble(dir, DataDir::claim(path)?, plan, pause),
            ServerDirectory::Temporary => {
                temporary::sweep();
                let data_dir = temporary::create()?;
                let layout = data_dir.layout.clone();
                Self::assemble(dir, data_dir, plan, pause).inspect_err(|_| {
                    if let Err(error) = temporary::remove(&layout) {
                        tracing::warn!(%error, "cannot remove the temporary database");
                    }
                })
            }
        }
    }

    fn assemble(bin_dir: PathBuf, data_dir: DataDir, plan: &ServerPlan, pause: &Pause) -> Result<Self, PostgresError> {
        let temporary = matches!(plan.place, ServerDirectory::Temporary);
        let programs = Programs::examine(bin_dir, &data_dir.account)?;
        data_dir.log().rotate();
        let sync = if temporary { Sync::No } else { Sync::Yes };
        initdb::ensure(&data_dir, &programs, sync, pause)?;
        programs.check_version(&data_dir.layout.cluster())?;
        let password = data_dir.layout.read_password()?;
        let socket_dir = SocketDir::prepare(&data_dir)?;
        Ok(Self { programs, data_dir, socket_dir, password, max_connections: plan.max_connections, temporary })
    }

    pub(super) fn root(&self) -> &Path {
        self.data_dir.layout.root()
    }

    pub(super) fn connect_options(&self) -> PgConnectOptions {
        // Everything is named here, so that no PGHOST or PGSSLMODE in our environment leads elsewhere.
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

    /// Starts the postmaster and returns it once clients can connect.
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
        // SIGINT: a fast shutdown, so that even our own SIGKILL ends the database in order.
        let log = self.data_dir.log();
        let mut command = private(&self.programs.path("postgres"), &self.data_dir.account, Signal::SIGINT);
        command.stdout(log.open()?).stderr(log.open()?).arg("-D").arg(cluster);
        for (name, value) in self.settings() {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        Ok(command)
    }

    /// On the command line, so that neither postgresql.conf nor ALTER SYSTEM can change them.
    fn settings(&self) -> [(&'static str, String); 14] {
        let text = str::to_owned;
        [
            // Durable. All three are PostgreSQL's defaults: this is the promise, and it is kept here.
            ("fsync", text("on")),
            ("full_page_writes", text("on")),
            ("synchronous_commit", text("on")),
            // Private.
            ("listen_addresses", text("")),
            ("unix_socket_directories", self.socket_dir.path().display().to_string()),
            ("unix_socket_permissions", text("0700")),
            ("port", PORT.to_string()),
            ("max_connections", self.max_connections.to_string()),
            ("cluster_name", text("concurrency-lab")),
            // All to stderr, which is our log file.
            ("logging_collector", text("off")),
            ("log_destination", text("stderr")),
            // Refusals and serialization failures are what the lab provokes, a million times in a run: clients hear of
            // them, the log need not. The level `log` keeps what concerns the server itself.
            ("log_min_messages", text("log")),
            ("log_checkpoints", text("off")),
            ("log_statement", text("none")),
        ]
    }

    /// What is done now and then while the server runs.
    pub(super) fn maintain(&self) {
        self.data_dir.log().rotate();
    }

    /// After the postmaster's end: removes what should not stay.
    pub(super) fn clean_up(self) -> Result<(), PostgresError> {
        let sockets = self.socket_dir.clean_up();
        let files = if self.temporary { temporary::remove(&self.data_dir.layout) } else { Ok(()) };
        sockets.and(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_found_in_every_form() {
        for (text, major) in [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some("15")),
            ("postgres (PostgreSQL) 18devel", Some("18")),
            ("postgres (PostgreSQL) 17beta1", Some("17")),
            ("no number", None),
        ] {
            assert_eq!(parse_major(text).as_deref(), major, "{text}");
        }
    }
}
