//! Acknowledged changes survive `kill -9` of the server and of its database under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nix::sys::signal::{Signal, kill};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::common::{directory, eventually};
use crate::served::{Served, postmaster};

/// Clients of the load. Each withdraws 2 from a user of its own, so that its acknowledged changes can be counted.
const CLIENTS: u64 = 16;

/// Acknowledged changes before the kill.
const BEFORE_KILL: u64 = 500;

const START: i64 = 1_000_000_000_000;

/// The answers of one client: acknowledged changes, and changes of unknown outcome (no answer, or 504).
#[derive(Debug, Default, Clone, Copy)]
struct ClientCounts {
    acknowledged: i64,
    unknown: i64,
}

struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    clients: JoinSet<(u64, ClientCounts)>,
}

impl Load {
    fn start(server: &Served, approach: &'static str) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut clients = JoinSet::new();
        for user in 1..=CLIENTS {
            let (stop, total) = (Arc::clone(&stop), Arc::clone(&acknowledged));
            let url = format!("{}/approach/{approach}/balance", server.url);
            // An HTTP client of its own, because the clients must not share a broken connection.
            let client = reqwest::Client::new();
            clients.spawn(async move {
                let mut counts = ClientCounts::default();
                while !stop.load(Ordering::Relaxed) {
                    let body = serde_json::json!({"userId": user, "amount": -2});
                    let sent = client.patch(&url).json(&body).send().await;
                    match sent.map(|answer| answer.status().as_u16()) {
                        Ok(200) => {
                            counts.acknowledged += 1;
                            total.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(503) => tokio::task::yield_now().await,
                        Ok(504) => counts.unknown += 1,
                        Ok(status) => panic!("status {status}"),
                        Err(error) if error.is_connect() => tokio::task::yield_now().await,
                        Err(_) => counts.unknown += 1,
                    }
                }
                (user, counts)
            });
        }
        Self { stop, acknowledged, clients }
    }

    async fn acknowledges(&self, more: u64) {
        let target = self.acknowledged.load(Ordering::Relaxed) + more;
        eventually("the changes are acknowledged", async || self.acknowledged.load(Ordering::Relaxed) >= target).await;
    }

    async fn end(self) -> Vec<(u64, ClientCounts)> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.join_all().await
    }
}

async fn nothing_acknowledged_is_lost(server: &Served, counts: Vec<(u64, ClientCounts)>, what: &str) {
    for (user, counts) in counts {
        let balance: Value = server.get(&format!("/balance/{user}")).await.expect("a balance");
        let changes = (START - balance["balance"].as_i64().expect("a number")) / 2;
        let possible = counts.acknowledged..=counts.acknowledged + counts.unknown;
        assert!(
            possible.contains(&changes),
            "{what}: user {user} has {changes} changes, and its client received {counts:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_kill_9_of_the_server_under_load_every_acknowledged_change_is_there() {
    for approach in ["atomic-returning", "pessimistic"] {
        let directory = directory();
        let mut server = Served::start(directory.path(), &["--seed=bench"]);
        let load = Load::start(&server, approach);
        load.acknowledges(BEFORE_KILL).await;
        server.kill();
        let counts = load.end().await;
        // At once, while the database of the killed server may still be stopping.
        let server = Served::start(directory.path(), &["--seed=bench"]);
        nothing_acknowledged_is_lost(&server, counts, approach).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_kill_9_of_the_postmaster_under_load_the_server_recovers_and_every_acknowledged_change_is_there() {
    for approach in ["atomic-returning", "pessimistic"] {
        let directory = directory();
        let server = Served::start(directory.path(), &["--seed=bench"]);
        let load = Load::start(&server, approach);
        load.acknowledges(BEFORE_KILL).await;
        let killed = postmaster(directory.path()).expect("a postmaster");
        kill(killed, Signal::SIGKILL).expect("a living postmaster");
        eventually("PostgreSQL runs again", async || {
            postmaster(directory.path()).is_some_and(|pid| pid != killed)
                && server.get("/readyz").await.is_some_and(|ready| ready["status"] == "ready")
        })
        .await;
        load.acknowledges(BEFORE_KILL).await;
        nothing_acknowledged_is_lost(&server, load.end().await, approach).await;
    }
}
