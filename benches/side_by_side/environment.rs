//! The environment of the benchmark: one temporary PostgreSQL and the servers on it, from start to stop.
//!
//! All servers run all the time, each with an open pool, so that two points differ only in the server that gets the
//! load. The cost of an idle server is not visible beside a loaded one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use concurrency_lab::config::SPARE_DATABASE_CONNECTIONS;
use concurrency_lab::database::SCHEMA;
use concurrency_lab::lab::target::{OwnServer, Target};
use concurrency_lab::strategy::Approach;
use domain::Workload;
use private_postgres::{self, Cluster, Endpoint};
use referee::history::ClaimedSafety;
use sqlx::postgres::PgConnectOptions;
use tokio::process::Command;

use crate::Failure;
use crate::pgbench::Pgbench;
use crate::points::{CONNECTIONS, Load, PGBENCH_CLIENTS, Setup};
use crate::pools::{self, Pools};
use crate::wrk::Wrk;

/// The server under test, built for this benchmark with the same profile.
const SERVER: &str = env!("CARGO_BIN_EXE_concurrency-lab");

/// Everything that runs. The fields are dropped in this order: first the users of the database, then the database.
pub struct BenchEnvironment {
    /// Sends requests over HTTP.
    pub wrk: Wrk,
    /// Sends statements without HTTP.
    pub pgbench: Pgbench,
    /// The pools in this process.
    pub pools: Pools,
    /// One server for each [`Setup`].
    servers: HashMap<Setup, OwnServer>,
    bare_axum: OwnServer,
    cluster: Cluster,
}

impl BenchEnvironment {
    /// Starts everything.
    pub async fn set_up() -> Result<Self, Failure> {
        // First the programs that may be missing, so that the start fails at once.
        let wrk = Wrk::find().await?;
        let pgbench_program = find_pgbench()?;
        let cluster = Cluster::start_temporary(None, max_connections()).await.map_err(Failure::environment)?;
        let endpoint = private_postgres::running_endpoint(cluster.data_dir()).map_err(Failure::environment)?;
        let mut servers = HashMap::new();
        for setup in Setup::ALL {
            servers.insert(setup, OwnServer::start(server(setup, &endpoint)?).await.map_err(Failure::environment)?);
        }
        let bare_axum = OwnServer::start(bare_axum()?).await.map_err(Failure::environment)?;
        let options = cluster.connect_options().options([("search_path", SCHEMA)]);
        let pgbench = Pgbench::new(pgbench_program, &endpoint, options.clone()).await?;
        let pools = Pools::open(options).await?;
        Ok(Self { wrk, pgbench, pools, servers, bare_axum, cluster })
    }

    /// The approaches that the server offers for balances, reduced to `wanted` if it names any.
    pub async fn approaches(&self, wanted: &[Approach]) -> Result<Vec<Approach>, Failure> {
        let offered = self.default_server().approaches().await.map_err(Failure::environment)?;
        let approaches =
            offered.into_iter().filter(|entry| entry.claims.of(Workload::Balance) != ClaimedSafety::Unsupported);
        let approaches = approaches.filter_map(|entry| Approach::find(&entry.name));
        Ok(approaches.filter(|approach| wanted.is_empty() || wanted.contains(approach)).collect())
    }

    /// The address of a server.
    pub fn server(&self, setup: Setup) -> &Target {
        &self.servers[&setup].target
    }

    /// The address of the default server.
    pub fn default_server(&self) -> &Target {
        self.server(Setup::Default)
    }

    /// The address of the bare axum server.
    pub fn bare_axum(&self) -> &Target {
        &self.bare_axum.target
    }

    /// How to connect to the database as the servers do.
    pub fn connect_options(&self) -> PgConnectOptions {
        self.cluster.connect_options()
    }

    /// A directory on the disk that the database is on.
    pub fn data_dir(&self) -> &Path {
        self.cluster.data_dir()
    }

    /// Gives every server a first load, which is not counted.
    pub async fn warm_up(&self, time: Duration) -> Result<(), Failure> {
        for (setup, server) in &self.servers {
            eprintln!("warming up: {setup}");
            self.wrk.measure(&server.target, "/balance", Load::Cold, CONNECTIONS, time).await?;
        }
        eprintln!("warming up: bare axum");
        self.wrk.measure(self.bare_axum(), "/balance", Load::Cold, CONNECTIONS, time).await.map(drop)
    }

    /// Stops everything, and reports what did not stop.
    pub async fn take_down(self) -> Result<(), Failure> {
        self.pools.close().await;
        self.pgbench.close().await;
        for server in self.servers.into_values() {
            server.stop().await.map_err(Failure::environment)?;
        }
        self.bare_axum.stop().await.map_err(Failure::environment)?;
        self.cluster.stop().await.map_err(Failure::environment)
    }
}

/// Runs a program to its end, which comes after `time` or little later, and returns its output.
pub async fn run(command: &mut Command, time: Duration) -> Result<String, Failure> {
    /// Time for its start, its connections and the last answers.
    const GRACE: Duration = Duration::from_secs(30);
    let program = Path::new(command.as_std().get_program()).display().to_string();
    let child = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(time + GRACE, child)
        .await
        .map_err(|_elapsed| Failure::Environment(format!("{program} does not end")))?
        .map_err(|error| Failure::Environment(format!("{program}: {error}")))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Failure::Untrue(format!("{program} ended with {}: {complaint}{said}", output.status)));
    }
    Ok(said)
}

fn find_pgbench() -> Result<PathBuf, Failure> {
    private_postgres::find_program("pgbench", None)
        .map_err(|error| Failure::Environment(format!("{error}\nscripts/setup.sh test installs it")))
}

/// Enough connections for all pools and pgbench at the same time.
fn max_connections() -> u32 {
    let servers: usize = Setup::ALL.iter().map(|setup| setup.limits().0).sum();
    let ours = u32::try_from(servers + 2 * pools::SIZE).unwrap_or(u32::MAX);
    let pgbench = PGBENCH_CLIENTS.into_iter().max().unwrap_or_default();
    ours.saturating_add(pgbench).saturating_add(SPARE_DATABASE_CONNECTIONS)
}

fn server(setup: Setup, endpoint: &Endpoint) -> Result<Command, Failure> {
    let (pool_size, row_sessions) = setup.limits();
    let mut command = program();
    command.args(["serve", "--listen=127.0.0.1:0", "--seed=bench"]);
    command.arg(format!("--pool-size={pool_size}")).arg(format!("--row-sessions={row_sessions}"));
    command.arg(format!("--metrics={}", setup != Setup::NoMetrics));
    command.env("DATABASE_URL", url(endpoint)?);
    Ok(command)
}

fn bare_axum() -> Result<Command, Failure> {
    let mut command = clean(&std::env::current_exe().map_err(Failure::environment)?);
    command.arg("--bare-axum");
    Ok(command)
}

/// The program under test.
pub fn program() -> Command {
    clean(Path::new(SERVER))
}

/// A command that no setting of this machine affects, and that ends with this process.
fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LAB_")) {
        command.env_remove(name);
    }
    // A folder without a .env.
    command.current_dir("/");
    die_with_us(&mut command);
    command
}

/// A benchmark that is killed cannot stop its servers, but the kernel can. The kernel sends the signal when the thread
/// that started the child ends. That is the main thread, because `block_on` runs this code on it.
#[cfg(target_os = "linux")]
fn die_with_us(command: &mut Command) {
    let set = || nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGTERM).map_err(Into::into);
    // SAFETY: prctl is one system call; it allocates nothing and takes no lock, so it may run between fork and exec.
    unsafe { command.pre_exec(set) };
}

#[cfg(not(target_os = "linux"))]
fn die_with_us(_command: &mut Command) {}

/// The URL has the socket's directory as its host, with encoded slashes.
fn url(endpoint: &Endpoint) -> Result<String, Failure> {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    let Endpoint { socket_dir, user, password, database, port } = endpoint;
    let socket_dir = socket_dir.to_str().ok_or_else(|| Failure::environment("the socket's path is not text"))?;
    let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
    Ok(format!(
        "postgres://{}:{}@{}:{port}/{}",
        encoded(user),
        encoded(password),
        encoded(socket_dir),
        encoded(database)
    ))
}
