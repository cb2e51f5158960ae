//! The parts that faults happen to: a PostgreSQL, a network in front of it, a server in a process of its own, and a PgBouncer.
//!
//! ```text
//!   clients ─ HTTP ─ server ─ TCP ─ relay ─ PostgreSQL
//!                                     └──── PgBouncer ─ PostgreSQL
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::process::Command;
use std::sync::Arc;

use domain::Account;
use nix::sys::signal::Signal;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
use tempfile::TempDir;

use super::fault_family::FaultFamily;
use super::ledger::{FULL, PairRows, payee, payer};
use super::load::LoadControl;
use crate::common::harmed_postgres::HarmedPostgres;
use crate::common::pgbouncer::{IGNORES_OPTIONS, PgBouncer};
use crate::common::relay::Relay;
use crate::common::standby::socket;
use crate::common::{directory, eventually, program};
use crate::program::served::Served;

/// The server's role, which is no superuser.
pub const ROLE: &str = "lab";

/// Another program that uses this role.
pub const OTHER_PROGRAM: &str = "other";

/// Its database.
const DATABASE: &str = "faults";

/// The limits of the server: short, so that each of them ends some requests.
const LIMITS: [&str; 7] = [
    "--pool-size=16",
    "--statement-timeout=1s",
    "--lock-timeout=600ms",
    "--retry-deadline=2s",
    "--queue-wait=4s",
    "--request-timeout=8s",
    "--seed=withdrawal",
];

pub struct FaultRig {
    pub postgres: HarmedPostgres,
    pub relay: Relay,
    pub control: Arc<LoadControl>,
    server: Served,
    pooler: Option<PgBouncer>,
    /// The server's log.
    folder: TempDir,
    /// Pairs from this one on have not been used.
    unused_pair: i64,
}

impl FaultRig {
    pub async fn start() -> Self {
        let (postgres, folder) = (HarmedPostgres::start().await, directory());
        let mut administrator = postgres.administrator("postgres").await;
        for create in [format!("create role {ROLE} login"), format!("create database {DATABASE} owner {ROLE}")] {
            administrator.execute(AssertSqlSafe(create)).await.expect("a role and a database");
        }
        let relay = Relay::start(postgres.socket()).await;
        let server = tokio::task::block_in_place(|| Served::spawn(serve(&relay, &folder)));
        let control = Arc::new(LoadControl::new(&server.url));
        Self { postgres, relay, control, server, pooler: None, folder, unused_pair: 1_000_000 }
    }

    /// A connection of the superuser, to PostgreSQL itself.
    pub async fn administrator(&self) -> PgConnection {
        self.postgres.administrator(DATABASE).await
    }

    /// A connection of another program with the role of the server, to PostgreSQL itself.
    pub async fn other_program(&self) -> PgConnection {
        let options = self.postgres.options(ROLE, DATABASE).application_name(OTHER_PROGRAM);
        options.connect().await.expect("a connection")
    }

    /// Puts what a family needs in place.
    pub fn prepare(&mut self, family: FaultFamily) {
        if family == FaultFamily::PoolerKilled {
            let database = self.postgres.options(ROLE, DATABASE);
            let pooler = tokio::task::block_in_place(|| PgBouncer::start(&database, "session", &[IGNORES_OPTIONS]));
            let options = pooler.options();
            self.relay.point_at(socket(options.get_socket().expect("a socket"), options.get_port()));
            self.relay.cut();
            self.pooler = Some(pooler);
        }
    }

    /// Takes it away again.
    pub fn clear_away(&mut self) {
        if self.pooler.is_some() {
            self.relay.point_at(self.postgres.socket());
            self.relay.cut();
            self.pooler = None;
        }
    }

    pub fn restart_pooler(&mut self) {
        let pooler = self.pooler.as_mut().expect("a pooler");
        tokio::task::block_in_place(|| pooler.restart("session", &[IGNORES_OPTIONS]));
    }

    /// Ends the server by a signal and starts another one.
    pub async fn restart_server(&mut self, signal: Signal) {
        self.server.signal(signal);
        self.server.exit_status().await;
        self.server = tokio::task::block_in_place(|| Served::spawn(serve(&self.relay, &self.folder)));
        self.control.use_server(&self.server.url);
    }

    /// Makes the rows of so many new pairs, and returns the first.
    pub async fn new_pairs(&mut self, pairs: i64) -> i64 {
        let first = self.unused_pair;
        self.unused_pair += pairs;
        insert_pairs(&mut self.administrator().await, first, pairs).await;
        first
    }

    /// Waits until the server and PostgreSQL have finished what was asked for, and reads the rows of all pairs from `first` on.
    pub async fn final_rows(&self, first: i64) -> BTreeMap<i64, PairRows> {
        let mut administrator = self.administrator().await;
        finished(&self.server, &mut administrator).await;
        read_pairs(&mut administrator, first, self.unused_pair - first).await
    }

    /// Fails if the server has panicked.
    pub fn demand_no_panic(&self) {
        let log = std::fs::read_to_string(self.folder.path().join("log")).expect("the server's log");
        let panicked: Vec<&str> = log.lines().filter(|line| line.contains("panicked")).collect();
        assert!(panicked.is_empty(), "{panicked:?}");
    }

    /// The version of PostgreSQL.
    pub async fn version(&self) -> String {
        let version = sqlx::query_scalar("select current_setting('server_version')");
        version.fetch_one(&mut self.administrator().await).await.expect("a version")
    }
}

fn serve(relay: &Relay, folder: &TempDir) -> Command {
    let log = File::options().create(true).append(true).open(folder.path().join("log")).expect("a log");
    let mut command = program();
    command.args(["serve", "--listen=127.0.0.1:0"]).args(LIMITS).stderr(log);
    command.env("DATABASE_URL", format!("postgres://{ROLE}@127.0.0.1:{}/{DATABASE}", relay.port()));
    command
}

/// Makes the rows of some pairs.
pub async fn insert_pairs(connection: &mut PgConnection, first: i64, pairs: i64) {
    for (user, balance) in [(payer(first), FULL), (payee(first), 0)] {
        let insert = "insert into concurrency_lab.users (id, name, balance) \
                      select id, 'Fault ' || id, $2 from generate_series($1, $1 + 2 * ($3 - 1), 2) as id";
        let insert = sqlx::query(insert).bind(user).bind(balance).bind(pairs);
        insert.execute(&mut *connection).await.expect("new rows");
    }
}

/// Waits until no operation is in progress, also none that a server left behind which has ended.
pub async fn finished(server: &Served, administrator: &mut PgConnection) {
    let working = "select count(*) from pg_stat_activity where datname = current_database() and state <> 'idle' \
                   and pid <> pg_backend_pid() and backend_type = 'client backend'";
    eventually("the server and PostgreSQL have finished", async || {
        let metrics = server.client.get(format!("{}/metrics", server.url)).send().await.expect("an answer");
        let metrics = metrics.text().await.expect("metrics");
        assert!(metrics.contains("concurrency_lab_operations_in_progress "), "{metrics}");
        let working: i64 = sqlx::query_scalar(working).fetch_one(&mut *administrator).await.expect("a count");
        working == 0 && metrics.lines().any(|line| line == "concurrency_lab_operations_in_progress 0")
    })
    .await;
}

/// The rows of some pairs.
pub async fn read_pairs(connection: &mut PgConnection, first: i64, pairs: i64) -> BTreeMap<i64, PairRows> {
    let read = "select payer.id, payer.balance, payer.version, payee.balance, payee.version \
                from concurrency_lab.users payer join concurrency_lab.users payee on payee.id = payer.id + 1 \
                where payer.id between $1 and $2 and payer.id % 2 = 1";
    let read = sqlx::query_as(read).bind(payer(first)).bind(payee(first + pairs - 1));
    let rows: Vec<(i64, i64, i64, i64, i64)> = read.fetch_all(connection).await.expect("the rows");
    let pair = |(id, taken, takes, given, gives): (i64, i64, i64, i64, i64)| {
        let payer = Account { balance: taken, version: takes };
        (i64::midpoint(id, 1), PairRows { payer, payee: Account { balance: given, version: gives } })
    };
    rows.into_iter().map(pair).collect()
}

/// Ends a connection of a test.
pub async fn close(connection: PgConnection) {
    connection.close().await.expect("a clean end");
}
