//! A PostgreSQL of a test's own, which the test may kill, shut down and freeze. It is as durable as PostgreSQL is by default.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tempfile::TempDir;

use super::standby::{program, socket};
use super::{directory, eventually};

/// It is part of the name of the socket, in a directory of its own.
const PORT: u16 = 5432;

/// Its superuser.
const ADMINISTRATOR: &str = "administrator";

/// A fast shutdown ends within this time, and so does one that writes nothing.
const END_S: u64 = 30;

const SETTINGS: [&str; 5] = [
    "listen_addresses=",
    "max_connections=100",
    // So that deadlocks with a lock timeout of less than a second are deadlocks.
    "deadlock_timeout=100ms",
    "log_min_messages=fatal",
    "autovacuum_naptime=5s",
];

/// It is stopped when dropped.
pub struct HarmedPostgres {
    child: Child,
    directory: TempDir,
}

impl HarmedPostgres {
    /// Makes a cluster and starts it.
    pub async fn start() -> Self {
        let directory = directory();
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o777)).expect("its mode");
        let mut make = program("initdb");
        make.args(["--no-locale", "--encoding=UTF8", "--auth=trust", "--username", ADMINISTRATOR, "--pgdata"]);
        let made = make.arg(directory.path().join("data")).status().expect("initdb starts");
        assert!(made.success(), "initdb: {made}");
        let child = spawn(&directory);
        let mut postgres = Self { child, directory };
        postgres.answers().await;
        postgres
    }

    /// To connect to a database as a user. It asks for no password.
    pub fn options(&self, user: &str, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(self.directory.path())
            .port(PORT)
            .username(user)
            .database(database)
    }

    /// A connection of its superuser.
    pub async fn administrator(&self, database: &str) -> PgConnection {
        let options = self.options(ADMINISTRATOR, database).options([("default_transaction_read_only", "off")]);
        let mut connected = None;
        eventually("PostgreSQL accepts its superuser", async || {
            connected = options.connect().await.ok();
            connected.is_some()
        })
        .await;
        connected.expect("a connection")
    }

    pub fn socket(&self) -> PathBuf {
        socket(self.directory.path(), PORT)
    }

    /// Ends PostgreSQL by a signal to its first process, and starts it again.
    pub async fn restart_after(&mut self, signal: Signal) {
        kill(self.postmaster(), signal).expect("a living postmaster");
        let deadline = Instant::now() + Duration::from_secs(END_S);
        while self.child.try_wait().expect("its state").is_none() {
            assert!(Instant::now() < deadline, "PostgreSQL does not end after {signal}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.child = spawn(&self.directory);
        self.answers().await;
    }

    /// Kills one of its processes, after which PostgreSQL ends all others and recovers. Returns whether that process still lived.
    pub fn kill_backend(&self, pid: i32) -> bool {
        let pid = Pid::from_raw(pid);
        self.processes().contains(&pid) && kill(pid, Signal::SIGKILL).is_ok()
    }

    /// Stops all of its processes for a time, so that it neither answers nor closes a connection.
    pub async fn freeze(&self, time: Duration) {
        let postmaster = self.postmaster();
        // It comes first, so that it starts no other process.
        kill(postmaster, Signal::SIGSTOP).expect("a living postmaster");
        let processes = self.processes();
        let signal_all = |signal| processes.iter().for_each(|pid| _ = kill(*pid, signal));
        signal_all(Signal::SIGSTOP);
        tokio::time::sleep(time).await;
        signal_all(Signal::SIGCONT);
        kill(postmaster, Signal::SIGCONT).expect("a living postmaster");
    }

    fn postmaster(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// The processes that the postmaster has started.
    fn processes(&self) -> Vec<Pid> {
        let output = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output().expect("ps");
        let table = String::from_utf8(output.stdout).expect("text");
        let of_row = |line: &str| {
            let mut numbers = line.split_whitespace().map(|number| number.parse::<i32>().expect("a pid"));
            Some((numbers.next()?, numbers.next()?))
        };
        let postmaster = self.postmaster().as_raw();
        let rows = table.lines().filter_map(of_row);
        rows.filter(|(_, parent)| *parent == postmaster).map(|(pid, _)| Pid::from_raw(pid)).collect()
    }

    /// Waits until it answers. A start fails as long as processes of a killed predecessor live, and is repeated.
    async fn answers(&mut self) {
        let options = self.options(ADMINISTRATOR, "postgres");
        let (child, directory) = (&mut self.child, &self.directory);
        eventually("PostgreSQL answers", async || {
            if child.try_wait().expect("its state").is_some() {
                *child = spawn(directory);
            }
            options.connect().await.is_ok()
        })
        .await;
    }
}

impl Drop for HarmedPostgres {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = kill(self.postmaster(), Signal::SIGQUIT);
        let _ = self.child.wait();
    }
}

fn spawn(directory: &TempDir) -> Child {
    let mut postgres = program("postgres");
    postgres.arg("-D").arg(directory.path().join("data")).args(["-p", &PORT.to_string(), "-k"]).arg(directory.path());
    for setting in SETTINGS {
        postgres.args(["-c", setting]);
    }
    // Ctrl-C of a terminal is for the tests; they stop it.
    postgres.process_group(0).stderr(Stdio::null()).spawn().expect("postgres starts")
}
