//! A database that accepts no changes for a while: it answers 503 as long as that lasts, and not longer.

use std::sync::Arc;
use std::time::Duration;

use concurrency_lab::config::Limits;
use concurrency_lab::database::Database;
use concurrency_lab::database::seed::Seed;
use concurrency_lab::strategy::Approach;
use domain::Workload;
use private_postgres::Cluster;
use sqlx::{AssertSqlSafe, Executor as _};

use crate::common::relay::Relay;
use crate::common::standby::{Standby, socket};
use crate::common::{Lab, Setup, offering};

const WITHDRAW: &str = r#"{"userId":1,"amount":-2}"#;

/// Sends a change by every approach that has balances, and expects this status from each.
async fn expect_of_all(lab: &Lab, status: u16) {
    for approach in offering(Workload::Balance) {
        let answer = lab.patch(approach, WITHDRAW).await;
        assert_eq!(answer.status, status, "{approach}: {}", answer.body);
    }
}

async fn expect_read_only(lab: &Lab) {
    let not_ready = lab.get("/readyz").await;
    assert_eq!(not_ready.status, 503, "{}", not_ready.body);
    assert!(not_ready.body.contains("accepts no changes"), "{}", not_ready.body);
    expect_of_all(lab, 503).await;
    assert_eq!(lab.post("/reset", "").await.status, 503);
    for approach in offering(Workload::Balance) {
        let read = lab.get(&format!("/approach/{approach}/balance/1")).await;
        assert_eq!(read.status, 200, "{approach}: {}", read.body);
    }
    lab.get("/healthz").await.expect(200, r#"{"status":"ok"}"#);
}

/// A client sees no 503 any more, from connections of whatever age.
async fn expect_changes(lab: &Lab) {
    lab.get("/readyz").await.expect(200, r#"{"status":"ready"}"#);
    for _ in 0..3 {
        expect_of_all(lab, 200).await;
    }
}

#[tokio::test]
async fn connections_that_were_opened_read_only_do_not_stay_in_the_pool() {
    let lab = Lab::start().await;
    let mut direct = lab.connection().await;
    let database = lab.options.get_database().expect("a database").to_owned();
    let cut = "select pg_terminate_backend(pid) from pg_stat_activity \
               where datname = current_database() and pid <> pg_backend_pid()";
    let set = format!("alter database {database} set default_transaction_read_only = on");
    let reset = format!("set transaction read write; alter database {database} reset default_transaction_read_only");
    expect_changes(&lab).await;
    direct.execute(AssertSqlSafe(set)).await.expect("a setting");
    direct.execute(cut).await.expect("no connection");
    // The first answer may report the lost connection.
    lab.patch(Approach::Pessimistic, WITHDRAW).await;
    expect_read_only(&lab).await;
    direct.execute(sqlx::raw_sql(AssertSqlSafe(reset))).await.expect("a setting");
    expect_changes(&lab).await;
}

#[tokio::test]
async fn a_proxy_that_pointed_at_a_standby_leaves_no_connection_to_it_in_the_pool() {
    let primary = Arc::new(Cluster::start_scratch(None, 100).await.expect("a temporary PostgreSQL"));
    let options = primary.connect_options();
    Database::prepare(options.clone(), &Limits::default(), Seed::Bench, false).await.expect("a prepared database");
    let standby = Standby::of(&primary).await;
    let primary_socket = socket(options.get_socket().expect("a socket"), options.get_port());
    let relay = Relay::start(primary_socket.clone()).await;
    let setup = Setup { seed: Seed::Bench, ..Setup::default() };
    let lab = Lab::on(Arc::clone(&primary), relay.options(&options), setup).await;
    expect_changes(&lab).await;

    relay.point_at(standby.socket());
    relay.cut();
    // So that every connection is examined before use.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    expect_read_only(&lab).await;
    let serializable = lab.patch(Approach::Serializable, WITHDRAW).await;
    assert!(serializable.body.contains("hot standby"), "{}", serializable.body);

    relay.point_at(primary_socket);
    expect_changes(&lab).await;
}
