//! A hot standby of a PostgreSQL.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use private_postgres::{Cluster, find_program};
use sqlx::ConnectOptions as _;
use tempfile::TempDir;

use super::{account, directory, eventually};

/// It is part of the name of the socket, in a directory of its own.
const PORT: u16 = 5432;

/// A standby that replays what its primary writes. It is stopped when dropped.
pub struct Standby {
    child: Child,
    directory: TempDir,
}

impl Standby {
    /// Copies the primary and starts the copy as a standby.
    pub async fn of(primary: &Cluster) -> Self {
        let directory = directory();
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o777)).expect("its mode");
        let (options, data) = (primary.connect_options(), directory.path().join("data"));
        let url = options.to_url_lossy();
        let mut copy = program("pg_basebackup");
        copy.args(["--checkpoint=fast", "--write-recovery-conf", "--wal-method=stream", "--no-sync", "--pgdata"])
            .arg(&data)
            .args(["--username", options.get_username(), "--port", &options.get_port().to_string(), "--host"])
            .arg(options.get_socket().expect("a socket"))
            .env("PGPASSWORD", url.password().unwrap_or_default());
        assert!(copy.status().expect("pg_basebackup starts").success());
        let mut postgres = program("postgres");
        // It must allow as many connections and prepared transactions as its primary.
        postgres.arg("-D").arg(&data).args(["-c", "max_connections=500", "-c", "max_prepared_transactions=100"]);
        postgres.args(["-c", "listen_addresses=", "-c", "fsync=off"]);
        postgres.args(["-p", &PORT.to_string(), "-k"]);
        let child = postgres.arg(directory.path()).stderr(Stdio::null()).spawn().expect("postgres starts");
        let standby = Self { child, directory };
        let reached = options.clone().socket(standby.directory.path()).port(PORT);
        eventually("the standby answers", async || reached.connect().await.is_ok()).await;
        standby
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        socket(self.directory.path(), PORT)
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        // It may have ended by itself.
        let _ = kill(pid, Signal::SIGQUIT);
        let _ = self.child.wait();
    }
}

/// A program of PostgreSQL, run as a user that it accepts.
pub(super) fn program(name: &str) -> Command {
    let mut command = Command::new(find_program(name, None).expect("a program of PostgreSQL"));
    command.env_clear().current_dir("/").stdout(Stdio::null());
    if let Some(account) = account() {
        command.uid(account.uid.as_raw()).gid(account.gid.as_raw());
    }
    command
}

/// The socket of a PostgreSQL in this directory.
pub fn socket(directory: &Path, port: u16) -> PathBuf {
    directory.join(format!(".s.PGSQL.{port}"))
}
