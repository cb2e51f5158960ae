//! The PostgreSQL that the tests share, and their databases on it.

use std::sync::{Arc, Weak};

use concurrency_lab::config::Limits;
use concurrency_lab::database::Database;
use concurrency_lab::database::seed::Seed;
use private_postgres::Cluster;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use tokio::sync::Mutex;

/// Connections of the shared PostgreSQL: a few tests at once, each with a full pool and some of its own.
const MAX_CONNECTIONS: u32 = 300;

/// The database that a server's is copied from: migrated, with the rows of the seed withdrawal.
const TEMPLATE: &str = "prepared";

static SHARED: Mutex<Weak<Cluster>> = Mutex::const_new(Weak::new());

/// The shared PostgreSQL, with the template. The first test that needs it starts it; it stops when no test uses it.
pub async fn cluster() -> Arc<Cluster> {
    let mut shared = SHARED.lock().await;
    if let Some(cluster) = shared.upgrade() {
        return cluster;
    }
    let cluster = Cluster::start_temporary(None, MAX_CONNECTIONS).await.expect("a temporary PostgreSQL");
    let template = create(&cluster, TEMPLATE, "template1").await;
    Database::prepare(template, &Limits::default(), Seed::Withdrawal, false).await.expect("a prepared template");
    let cluster = Arc::new(cluster);
    *shared = Arc::downgrade(&cluster);
    cluster
}

/// A new, empty database on it.
pub async fn new_database(cluster: &Cluster) -> PgConnectOptions {
    create(cluster, &new_name(), "template1").await
}

/// A new database on it that is migrated and holds the rows of the seed withdrawal.
pub async fn prepared_database(cluster: &Cluster) -> PgConnectOptions {
    create(cluster, &new_name(), TEMPLATE).await
}

fn new_name() -> String {
    format!("test_{}", uuid::Uuid::new_v4().simple())
}

async fn create(cluster: &Cluster, name: &str, template: &str) -> PgConnectOptions {
    let mut connection = cluster.connect_options().connect().await.expect("a connection");
    let create = format!("create database {name} template {template}");
    connection.execute(AssertSqlSafe(create)).await.expect("a new database");
    // A commit does not wait for the disk: what other transactions see is the same. The tests of durability have a PostgreSQL of
    // their own.
    let asynchronous = format!("alter database {name} set synchronous_commit = off");
    connection.execute(AssertSqlSafe(asynchronous)).await.expect("a setting");
    connection.close().await.expect("a clean end");
    cluster.connect_options().database(name)
}

/// A new, empty database on the shared PostgreSQL, for a program to work on.
#[derive(Debug)]
pub struct OwnDatabase {
    pub url: String,
    _cluster: Arc<Cluster>,
}

impl OwnDatabase {
    /// It is made on a thread of its own, so that tests with and without a runtime can ask for it.
    pub fn new() -> Self {
        let made = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let cluster = cluster().await;
                let mut url = new_database(&cluster).await.to_url_lossy();
                // A parameter of sqlx's own, which psql and other programs refuse.
                let parameters: Vec<(String, String)> =
                    url.query_pairs().into_owned().filter(|(name, _)| name != "statement-cache-capacity").collect();
                url.query_pairs_mut().clear().extend_pairs(parameters);
                Self { url: url.into(), _cluster: cluster }
            })
        });
        made.join().expect("a database")
    }
}
