//! A database that allows fewer connections than the pool wants: requests wait for those that are open, and none is answered 503.

use std::sync::Arc;
use std::time::Duration;

use concurrency_lab::config::Limits;
use concurrency_lab::database::seed::Seed;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};

use super::poolers::{demand_all_explained, withdraw};
use crate::common::pgbouncer::{IGNORES_OPTIONS, PgBouncer};
use crate::common::{Lab, Setup, cluster, new_database};

const CHANGES: i64 = 12;

fn setup(connect_timeout: Duration) -> Setup {
    let limits = Limits { connect_timeout, ..Limits::default() };
    Setup { seed: Seed::Bench, limits, ..Setup::default() }
}

/// Every change is made, and meanwhile the server is ready and its data can be read.
async fn demand_all_changes(lab: &Lab, direct: &mut PgConnection) {
    for _ in 0..2 {
        let (counts, ready) = tokio::join!(withdraw(lab, CHANGES), lab.get("/readyz"));
        assert_eq!(ready.status, 200, "{}", ready.body);
        assert!(counts.iter().all(|counts| counts.1 == CHANGES), "{counts:?}");
        demand_all_explained(direct, &counts).await;
        direct.execute("update concurrency_lab.users set balance = 1000000000000").await.expect("the rows as before");
    }
}

#[tokio::test]
async fn a_limit_of_the_role_makes_the_pool_smaller_and_the_rest_can_be_taken_by_others() {
    let cluster = cluster().await;
    let options = new_database(&cluster).await;
    let mut direct = options.connect().await.expect("a connection");
    let database = options.get_database().expect("a database").to_owned();
    let role = format!(
        "create role {database} login password 'x' connection limit 14; grant create on database {database} to {database}"
    );
    direct.execute(sqlx::raw_sql(AssertSqlSafe(role))).await.expect("a role");
    let limited = options.clone().username(&database).password("x");
    let lab = Lab::on(Arc::clone(&cluster), limited.clone(), setup(Duration::from_secs(5))).await;
    let opened = lab.engine.server().database();
    assert_eq!((opened.connection_limit().usable(), opened.pool().size()), (14, 9));
    demand_all_changes(&lab, &mut direct).await;
    assert_eq!(lab.get("/environment").await.json()["poolSize"], 9);

    // The sessions of the pool are ended, and another program takes their places.
    let end = "select pg_terminate_backend(pid) from pg_stat_activity where usename = current_database()";
    direct.execute(end).await.expect("ended sessions");
    let mut others = Vec::new();
    for _ in 0..9 {
        others.push(limited.connect().await.expect("a connection"));
    }
    // The first requests may find the connections that were ended.
    withdraw(&lab, 1).await;
    direct.execute("update concurrency_lab.users set balance = 1000000000000").await.expect("the rows as before");
    demand_all_changes(&lab, &mut direct).await;
}

#[tokio::test]
async fn a_pooler_with_fewer_connections_than_the_pool_is_waited_for() {
    let cluster = cluster().await;
    let options = new_database(&cluster).await;
    let mut direct = options.connect().await.expect("a connection");
    let pooler = PgBouncer::start(&options, "session", &[IGNORES_OPTIONS, "default_pool_size = 6"]);
    // A connection that a pooler does not give is waited for as long as connecting may take.
    let lab = Lab::on(Arc::clone(&cluster), pooler.options(), setup(Duration::from_secs(1))).await;
    demand_all_changes(&lab, &mut direct).await;
}
