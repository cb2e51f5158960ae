//! The command `serve` in a process of its own: its start, its answers, its signals and its end.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::Client;
use serde_json::Value;

use crate::common::{OwnDatabase, directory, eventually, program};

/// A server in a process of its own. It is killed when dropped.
pub struct Served {
    pub child: Child,
    pub url: String,
    pub client: Client,
    /// Its database, if that is on the shared PostgreSQL.
    database: Option<OwnDatabase>,
}

impl Served {
    /// Starts a server on a free port, with an empty database on the shared PostgreSQL.
    pub fn on_shared(arguments: &[&str]) -> Self {
        let database = OwnDatabase::new();
        let mut command = program();
        command.args(["serve", "--listen=127.0.0.1:0"]).args(arguments).env("DATABASE_URL", &database.url);
        let mut server = Self::spawn(command);
        server.database = Some(database);
        server
    }

    /// Starts a server on a free port, with a private PostgreSQL in this data directory.
    pub fn start(data_dir: &Path, arguments: &[&str]) -> Self {
        let mut command = program();
        command.args(["serve", "--listen=127.0.0.1:0", "--data-dir"]).arg(data_dir).args(arguments);
        Self::spawn(command)
    }

    /// Starts a server by this command, which may have other arguments.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("a process");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its output");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let url = line.split_whitespace().find(|word| word.starts_with("http://"));
        let url = url
            .unwrap_or_else(|| panic!("expected the line that says where the server listens, found {line:?}"))
            .to_owned();
        Self { child, url, client: Client::new(), database: None }
    }

    /// The URL of the database that [`Served::on_shared`] gave it.
    pub fn database_url(&self) -> &str {
        &self.database.as_ref().expect("a database on the shared PostgreSQL").url
    }

    pub async fn get(&self, path: &str) -> Option<Value> {
        self.client.get(format!("{}{path}", self.url)).send().await.ok()?.json().await.ok()
    }

    pub async fn withdraw(&self, approach: &str, user: u64) -> Option<(u16, Value)> {
        let request = self.client.patch(format!("{}/approach/{approach}/balance", self.url));
        let answer = request.json(&serde_json::json!({"userId": user, "amount": -2})).send().await.ok()?;
        Some((answer.status().as_u16(), answer.json().await.ok()?))
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        kill(Pid::from_raw(pid), signal).expect("a living process");
    }

    /// The memory of the server's process in MB, without its database.
    pub fn resident_mb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a living process");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
        line.split_whitespace().nth(1).expect("a number").parse::<u64>().expect("kB") / 1024
    }

    /// Kills the server as `kill -9` does, and waits for its end.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.child.wait().expect("its end");
    }

    pub async fn exit_status(&mut self) -> ExitStatus {
        let child = &mut self.child;
        let mut status = None;
        eventually("the server ends", async || {
            status = child.try_wait().expect("a state");
            status.is_some()
        })
        .await;
        status.expect("its status")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The pid of the private PostgreSQL in this data directory.
pub fn postmaster(data_dir: &Path) -> Option<Pid> {
    let file = std::fs::read_to_string(data_dir.join("cluster/postmaster.pid")).ok()?;
    file.lines().next()?.parse().ok().map(Pid::from_raw)
}

/// The URL of the private PostgreSQL that serves from this data directory.
pub fn database_url(data_dir: &Path) -> String {
    let endpoint = private_postgres::running_endpoint(data_dir).expect("an endpoint");
    let socket = endpoint.socket_dir.to_str().expect("a path").replace('/', "%2F");
    format!("postgres://{}:{}@{socket}/{}", endpoint.user, endpoint.password, endpoint.database)
}

/// The time limit of a command. The longest one takes some minutes on a slow disk.
const TIME_LIMIT: Duration = Duration::from_mins(12);

/// Runs a command that must end by itself, and returns its exit code, output and errors. A command that does not end is
/// killed.
pub fn run_to_end(mut command: Command) -> (Option<i32>, String, String) {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process");
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    let (ended, ends) = std::sync::mpsc::channel::<()>();
    let watching = std::thread::spawn(move || {
        if ends.recv_timeout(TIME_LIMIT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            let _ = kill(pid, Signal::SIGKILL);
        }
    });
    let output = child.wait_with_output().expect("its output");
    drop(ended);
    watching.join().expect("a watch");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn data_survive_a_restart_and_sigterm_and_sigint_stop_the_server_cleanly() {
    let directory = directory();
    for (signal, balance) in [(Signal::SIGTERM, 9998), (Signal::SIGINT, 9996)] {
        let mut server = Served::start(directory.path(), &[]);
        let (status, body) = server.withdraw("pessimistic", 1).await.expect("an answer");
        assert_eq!((status, body["balance"].as_i64()), (200, Some(balance)));
        server.signal(signal);
        assert!(server.exit_status().await.success(), "{signal}");
        assert_eq!(postmaster(directory.path()), None, "{signal}: PostgreSQL is stopped with it");
    }
}

/// `run` starts its servers like this. But here the other end of standard input stays open.
#[tokio::test]
async fn sigterm_stops_a_temporary_server_although_its_standard_input_is_open() {
    let mut command = program();
    command.args(["serve", "--listen=127.0.0.1:0", "--temporary"]).stdin(Stdio::piped());
    let mut server = Served::spawn(command);
    server.signal(Signal::SIGTERM);
    assert!(server.exit_status().await.success());
}

#[tokio::test]
async fn requests_in_flight_get_their_answer_when_the_server_is_told_to_stop() {
    let directory = directory();
    let mut server = Served::start(directory.path(), &[]);
    let request = server.client.patch(format!("{}/approach/pessimistic/balance", server.url));
    let request = request.header("lab-think-time", "800").json(&serde_json::json!({"userId": 1, "amount": -2}));
    let in_flight = tokio::spawn(request.send());
    let mut psql = program();
    psql.args(["psql", "--data-dir"])
        .arg(directory.path())
        .args(["-Atc", "select count(*) from pg_stat_activity where state = 'idle in transaction'"]);
    eventually("the request pauses inside its transaction", async || {
        let output = psql.output().expect("psql");
        output.stdout.trim_ascii() == b"1"
    })
    .await;
    server.signal(Signal::SIGTERM);
    let answer = in_flight.await.expect("no panic").expect("an answer, not a broken connection");
    assert_eq!(answer.status(), 200);
    assert!(server.exit_status().await.success());
    let again = Served::start(directory.path(), &[]);
    assert_eq!(again.get("/balance/1").await.expect("a balance")["balance"], 9998);
}

#[tokio::test]
async fn a_second_server_on_the_same_data_directory_gets_a_clear_error() {
    let directory = directory();
    let first = Served::start(directory.path(), &[]);
    let mut second = program();
    second.args(["serve", "--listen=127.0.0.1:0", "--data-dir"]).arg(directory.path());
    let (code, _, errors) = run_to_end(second);
    assert_eq!(code, Some(3), "{errors}");
    assert!(errors.contains(directory.path().to_str().expect("a path")), "{errors}");
    assert!(errors.contains(&first.child.id().to_string()), "the error names the other process: {errors}");
    assert!(first.get("/readyz").await.is_some(), "the first server still works");
}

#[test]
fn a_port_in_use_gives_an_error_that_names_it_and_no_database_is_created() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let directory = directory();
    let data_dir = directory.path().join("never");
    let mut command = program();
    command.args(["serve", "--listen", &address, "--data-dir"]).arg(&data_dir);
    let (code, _, errors) = run_to_end(command);
    assert_eq!(code, Some(3));
    assert!(errors.contains(&format!("cannot listen on {address}")), "{errors}");
    assert!(!data_dir.exists());
}

#[tokio::test]
async fn a_seed_other_than_that_of_the_data_gives_a_warning_and_reset_replaces_the_data() {
    let directory = directory();
    drop(Served::start(directory.path(), &["--seed=mixed"]));
    let spawn = |arguments: &[&str]| {
        let mut command = program();
        command.args(["serve", "--listen=127.0.0.1:0", "--data-dir"]).arg(directory.path()).args(arguments);
        command.stderr(Stdio::piped());
        Served::spawn(command)
    };
    let mut server = spawn(&["--seed=bench"]);
    assert_eq!(server.get("/balance/3").await.expect("mixed data")["balance"], 1000);
    server.signal(Signal::SIGTERM);
    server.exit_status().await;
    let mut warnings = String::new();
    server.child.stderr.take().expect("its errors").read_to_string(&mut warnings).expect("text");
    assert!(warnings.contains("--seed mixed") && warnings.contains("--reset"), "{warnings}");
    let server = spawn(&["--seed=bench", "--reset"]);
    assert_eq!(server.get("/balance/1000").await.expect("bench data")["balance"], 1_000_000_000_000_i64);
}

#[tokio::test]
async fn psql_opens_on_the_database_that_serve_uses() {
    let directory = directory();
    let psql = |sql: &str| {
        let mut command = program();
        command.args(["psql", "--data-dir"]).arg(directory.path()).args(["-Atc", sql]);
        run_to_end(command)
    };
    let (code, _, errors) = psql("select 1");
    assert_eq!(code, Some(3), "nothing runs yet");
    assert!(errors.contains(directory.path().to_str().expect("a path")), "{errors}");
    let _server = Served::start(directory.path(), &[]);
    let (code, output, errors) = psql("select balance from users where id = 1; select count(*) > 0 from pg_locks");
    assert_eq!((code, output.as_str()), (Some(0), "10000\nt\n"), "{errors}");
}

#[tokio::test]
async fn an_existing_database_is_used_only_in_the_schema_concurrency_lab() {
    let theirs = OwnDatabase::new();
    let psql = |sql: &str| {
        let mut command = program();
        command.env("DATABASE_URL", &theirs.url).args(["psql", "--", "-Atc", sql]);
        run_to_end(command)
    };
    assert_eq!(psql("create table public.precious (id int)").0, Some(0));
    let mut command = program();
    command.args(["serve", "--listen=127.0.0.1:0"]).env("DATABASE_URL", &theirs.url);
    let server = Served::spawn(command);
    assert_eq!(server.withdraw("naive", 1).await.map(|(status, _)| status), Some(200));
    let tables =
        "select schemaname || '.' || tablename from pg_tables where schemaname !~ '^(pg_|information)' order by 1";
    let (_, tables, _) = psql(tables);
    assert!(tables.contains("concurrency_lab.users") && tables.contains("public.precious"), "{tables}");
    assert_eq!(tables.lines().filter(|table| table.starts_with("public.")).count(), 1, "{tables}");
}

#[tokio::test]
async fn while_the_database_is_down_requests_and_readyz_get_503() {
    let cluster_directory = directory();
    let mut postgres = Served::start(cluster_directory.path(), &[]);
    let mut command = program();
    let url = database_url(cluster_directory.path());
    command.args(["serve", "--listen=127.0.0.1:0"]).env("DATABASE_URL", url);
    let server = Served::spawn(command);
    assert_eq!(server.withdraw("pessimistic", 1).await.map(|(status, _)| status), Some(200));
    postgres.signal(Signal::SIGTERM);
    postgres.exit_status().await;
    let started = Instant::now();
    let (status, body) = server.withdraw("pessimistic", 1).await.expect("an answer");
    assert_eq!(status, 503, "{body}");
    let (status, body) = server.withdraw("atomic-returning", 1).await.expect("an answer");
    assert_eq!(status, 503, "the change was never sent: {body}");
    assert!(started.elapsed() < Duration::from_secs(10), "the server answers at once");
    assert_eq!(server.client.get(format!("{}/readyz", server.url)).send().await.expect("an answer").status(), 503);
    assert_eq!(server.client.get(format!("{}/healthz", server.url)).send().await.expect("an answer").status(), 200);
    let _back = Served::start(cluster_directory.path(), &[]);
    eventually("the server works again", async || {
        server.withdraw("naive", 1).await.is_some_and(|(status, _)| status == 200)
    })
    .await;
}
