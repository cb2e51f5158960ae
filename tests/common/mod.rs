//! The fixture of all tests: a real PostgreSQL that concurrent tests share, and for each test a database of its own and
//! a server of its own on a free port. The last test to end stops the PostgreSQL and removes its files.

pub mod harmed_postgres;
pub mod pgbouncer;
mod postgres;
pub mod relay;
pub mod standby;
pub mod tls_postgres;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use concurrency_lab::config::{Limits, RetryPolicy};
use concurrency_lab::database::Database;
use concurrency_lab::database::seed::Seed;
use concurrency_lab::engine::Engine;
use concurrency_lab::http::{AppState, HttpService, listener};
use concurrency_lab::metrics::Metrics;
use concurrency_lab::server::Server;
use concurrency_lab::strategy::{Approach, Claim};
use domain::Account;
use domain::Workload;
use private_postgres::Cluster;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use strum::{IntoEnumIterator, VariantNames};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use postgres::{OwnDatabase, cluster, new_database};

/// What a test may set differently from the default.
#[derive(Debug, Clone)]
pub struct Setup {
    pub limits: Limits,
    pub seed: Seed,
    pub root_approach: Approach,
    pub lab_headers: bool,
    pub allowed_hosts: Vec<String>,
    pub metrics: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            seed: Seed::Withdrawal,
            root_approach: Approach::AtomicReturning,
            lab_headers: true,
            allowed_hosts: Vec::new(),
            metrics: true,
        }
    }
}

/// A server in the test's process, on a database of its own.
pub struct Lab {
    pub address: SocketAddr,
    pub http: Client,
    pub engine: Engine,
    pub options: PgConnectOptions,
    _stop: DropGuard,
    cluster: Arc<Cluster>,
}

impl Lab {
    pub async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub async fn with(setup: Setup) -> Self {
        let cluster = cluster().await;
        let options = match setup.seed {
            Seed::Withdrawal => postgres::prepared_database(&cluster).await,
            _ => new_database(&cluster).await,
        };
        Self::on(cluster, options, setup).await
    }

    /// Starts one more server on this lab's database.
    pub async fn another(&self, setup: Setup) -> Self {
        Self::on(Arc::clone(&self.cluster), self.options.clone(), setup).await
    }

    /// Starts a server on a database that the test has prepared.
    pub async fn on(cluster: Arc<Cluster>, options: PgConnectOptions, setup: Setup) -> Self {
        let prepared = Database::prepare(options.clone(), &setup.limits, setup.seed, false).await;
        let (database, _) = prepared.expect("a prepared database");
        let metrics = if setup.metrics { Metrics::on(Approach::VARIANTS) } else { Metrics::off() };
        let engine = Engine::new(Server::new(database, &setup.limits, metrics), setup.limits);
        let app = AppState {
            engine: engine.clone(),
            seed: setup.seed,
            root_approach: setup.root_approach,
            allowed_hosts: setup.allowed_hosts,
            lab_headers: setup.lab_headers,
        };
        let socket = listener::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        let address = socket.local_addr().expect("its address");
        let token = CancellationToken::new();
        let stopped = token.clone().cancelled_owned();
        tokio::spawn(
            async move { listener::serve(socket, HttpService::new(Arc::new(app)), &setup.limits, stopped).await },
        );
        Self { address, http: Client::new(), engine, options, _stop: token.drop_guard(), cluster }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(path))
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &str) -> Answer {
        Answer::of(self.json(Method::POST, path, body)).await
    }

    pub async fn patch(&self, approach: Approach, body: &str) -> Answer {
        Answer::of(self.change(approach, body)).await
    }

    /// A change to which the test can still add headers.
    pub fn change(&self, approach: Approach, body: &str) -> RequestBuilder {
        self.json(Method::PATCH, &format!("/approach/{approach}/balance"), body)
    }

    pub fn json(&self, method: Method, path: &str, body: &str) -> RequestBuilder {
        self.request(method, path).header("content-type", "application/json").body(body.to_owned())
    }

    /// Opens a connection of the test's own to its database.
    pub async fn connection(&self) -> PgConnection {
        self.options.clone().options([("search_path", "concurrency_lab")]).connect().await.expect("a connection")
    }

    /// Reads the row from the database.
    pub async fn account(&self, user: i64) -> Account {
        let mut connection = self.connection().await;
        let row = sqlx::query_as("select balance, version from users where id = $1").bind(user);
        let account = row.fetch_one(&mut connection).await.expect("the user");
        connection.close().await.expect("a clean end");
        account
    }
}

/// A complete answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: String,
}

impl Answer {
    pub async fn of(request: RequestBuilder) -> Self {
        Self::read(request.send().await.expect("an answer")).await
    }

    async fn read(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, body: response.text().await.expect("a body") }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a readable header"))
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    #[track_caller]
    pub fn expect(&self, status: u16, body: &str) {
        assert_eq!((self.status.as_u16(), self.body.as_str()), (status, body));
    }
}

/// Limits that let all requests race at once and retry as often as necessary: on a busy machine retries may take longer
/// than the default deadline.
pub fn crowded() -> Limits {
    let patient = RetryPolicy { deadline: Duration::from_mins(1), attempts: 100_000, ..RetryPolicy::default() };
    Limits { row_sessions: 32, retry: patient, ..Limits::default() }
}

/// The approaches that offer a workload.
pub fn offering(workload: Workload) -> impl Iterator<Item = Approach> {
    Approach::iter().filter(move |approach| approach.info().claims.of(workload) != Claim::Unsupported)
}

/// The approaches with this claim for a workload.
pub fn claiming(workload: Workload, claim: Claim) -> impl Iterator<Item = Approach> {
    Approach::iter().filter(move |approach| approach.info().claims.of(workload) == claim)
}

/// Replaces all data with a seed.
pub async fn reset(lab: &Lab, seed: Seed) {
    lab.post(&format!("/reset?seed={seed}"), "").await.expect(200, &format!(r#"{{"seed":"{seed}"}}"#));
}

/// The number of sessions of the test's database that wait for a lock.
pub async fn waiting_for_locks(lab: &Lab) -> i64 {
    let mut connection = lab.connection().await;
    let waiting =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    sqlx::query_scalar(waiting).fetch_one(&mut connection).await.expect("a count")
}

/// Waits until a condition holds, for a bounded time.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < deadline, "not true within 30 s: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The program under test.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_concurrency-lab"));
    // Settings in this machine's environment must not affect the test.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LAB_") || name == "DATABASE_URL" {
            command.env_remove(name);
        }
    }
    command
}

/// A directory that a PostgreSQL of another user can enter. It is removed at the end.
pub fn directory() -> tempfile::TempDir {
    let directory = tempfile::Builder::new().prefix("concurrency-lab-test-").tempdir().expect("a directory");
    let anyone_may_enter = std::os::unix::fs::PermissionsExt::from_mode(0o711);
    std::fs::set_permissions(directory.path(), anyone_may_enter).expect("its mode");
    directory
}

/// The user as which a database server must run, because it refuses to run as root.
pub fn account() -> Option<nix::unistd::User> {
    let is_root = nix::unistd::Uid::effective().is_root();
    let names: &[&str] = if is_root { &["postgres", "nobody"] } else { &[] };
    names.iter().find_map(|name| nix::unistd::User::from_name(name).expect("the users"))
}

/// The root folder of the repository.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
