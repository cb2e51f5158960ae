//! A hot standby of a PostgreSQL, and a relay that can point at either.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use private_postgres::{Cluster, find_program};
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, UnixStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

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

fn program(name: &str) -> Command {
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

/// A proxy in front of several servers. Each connection stays with the server to which the relay pointed when it was opened.
pub struct Relay {
    port: u16,
    target: Arc<Mutex<PathBuf>>,
    connections: Arc<Mutex<JoinSet<()>>>,
    _accepting: AbortOnDropHandle<()>,
}

impl Relay {
    /// Starts one that points at the server with this socket.
    pub async fn start(target: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let (target, connections) = (Arc::new(Mutex::new(target)), Arc::new(Mutex::new(JoinSet::new())));
        let (pointer, opened) = (Arc::clone(&target), Arc::clone(&connections));
        let accepting = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let target = locked(&pointer).clone();
                let relaying = async move {
                    let mut server = UnixStream::connect(target).await.expect("the server");
                    // Either side may end the connection.
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                };
                locked(&opened).spawn(relaying);
            }
        });
        Self { port, target, connections, _accepting: AbortOnDropHandle::new(accepting) }
    }

    /// The same database through it.
    pub fn options(&self, of: &PgConnectOptions) -> PgConnectOptions {
        let url = of.to_url_lossy();
        PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username(of.get_username())
            .password(url.password().unwrap_or_default())
            .database(of.get_database().expect("a database"))
    }

    /// Points at another server. Connections that are open stay where they are.
    pub fn point_at(&self, target: PathBuf) {
        *locked(&self.target) = target;
    }

    /// Cuts the connections that are open.
    pub fn cut(&self) {
        locked(&self.connections).abort_all();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
