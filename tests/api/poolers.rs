//! A connection pooler between the server and PostgreSQL: in session mode everything is as without one, in transaction and statement
//! mode the server refuses to start, and a pooler that changes its mode later gets no answer wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use concurrency_lab::config::Limits;
use concurrency_lab::database::opening::OpenError;
use concurrency_lab::database::seed::Seed;
use concurrency_lab::database::{Database, DatabaseError};
use concurrency_lab::strategy::Approach;
use domain::Workload;
use private_postgres::Cluster;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Executor as _};
use tokio::task::JoinSet;

use crate::common::pgbouncer::{ADMINISTRATOR, IGNORES_OPTIONS, PgBouncer};
use crate::common::{Answer, Lab, Setup, cluster, new_database, offering};

/// Each has a user of its own, so that its changes can be counted.
pub const CLIENTS: i64 = 28;

/// Changes of each client.
const CHANGES: i64 = 12;

/// The balance of each user at the start.
const START: i64 = 1_000_000_000_000;

async fn prepare(options: PgConnectOptions) -> Result<(), DatabaseError> {
    Database::prepare(options, &Limits::default(), Seed::Bench, false).await.map(drop)
}

async fn database() -> (Arc<Cluster>, PgConnectOptions) {
    let cluster = cluster().await;
    let options = new_database(&cluster).await;
    (cluster, options)
}

async fn lab_behind(pooler: &PgBouncer, cluster: &Arc<Cluster>) -> Lab {
    let limits = Limits { pool_size: 32, ..Limits::default() };
    let setup = Setup { seed: Seed::Bench, limits, ..Setup::default() };
    Lab::on(Arc::clone(cluster), pooler.options(), setup).await
}

/// Lets clients withdraw 1 at a time by all approaches, each from a user of its own. Returns for each client the
/// acknowledged changes and those of unknown outcome; every other answer is a 503.
pub async fn withdraw(lab: &Lab, changes: i64) -> Vec<(i64, i64, i64)> {
    let approaches: Vec<Approach> = offering(Workload::Balance).collect();
    let mut clients = JoinSet::new();
    for (user, approach) in (1..=CLIENTS).zip(approaches.into_iter().cycle()) {
        let change = lab.change(approach, &format!(r#"{{"userId":{user},"amount":-1}}"#));
        clients.spawn(async move {
            let (mut acknowledged, mut unknown) = (0, 0);
            for _ in 0..changes {
                let answer = Answer::of(change.try_clone().expect("a body that can be sent again")).await;
                match answer.status.as_u16() {
                    200 => acknowledged += 1,
                    504 => unknown += 1,
                    // It is shown if the test fails.
                    503 => println!("{approach}: {}", answer.body),
                    status => panic!("{approach}: {status} {}", answer.body),
                }
            }
            (user, acknowledged, unknown)
        });
    }
    clients.join_all().await
}

/// Compares the rows with the answers; the connection goes to PostgreSQL directly.
pub async fn demand_all_explained(direct: &mut PgConnection, counts: &[(i64, i64, i64)]) {
    for (user, acknowledged, unknown) in counts {
        let balance = sqlx::query_scalar("select balance from concurrency_lab.users where id = $1").bind(user);
        let balance: i64 = balance.fetch_one(&mut *direct).await.expect("the user");
        let made = START - balance;
        assert!((*acknowledged..=acknowledged + unknown).contains(&made), "user {user}: {made} of {acknowledged}");
    }
    let others = "select count(*) from concurrency_lab.users where id > $1 and balance <> $2";
    let others = sqlx::query_scalar(others).bind(CLIENTS).bind(START);
    let others: i64 = others.fetch_one(&mut *direct).await.expect("a count");
    assert_eq!(others, 0, "changes that no client asked for");
}

/// Tables of ours that are in another schema, and settings of ours in force.
async fn demand_own_schema(direct: &mut PgConnection, lab: &Lab) {
    let elsewhere = "select count(*) from pg_tables where schemaname not in ('pg_catalog', 'information_schema', 'concurrency_lab')";
    let elsewhere: i64 = sqlx::query_scalar(elsewhere).fetch_one(direct).await.expect("a count");
    assert_eq!(elsewhere, 0);
    let settings = &lab.get("/environment").await.json()["settings"];
    for (name, value) in [
        ("lock_timeout", "8s"),
        ("statement_timeout", "10s"),
        ("idle_in_transaction_session_timeout", "15s"),
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
    ] {
        assert_eq!(settings[name], value, "{name}");
    }
}

#[tokio::test]
async fn session_mode_works_although_it_refuses_or_ignores_startup_parameters() {
    for lines in [vec![], vec![IGNORES_OPTIONS], vec!["ignore_startup_parameters = extra_float_digits"]] {
        let (cluster, options) = database().await;
        let mut direct = options.connect().await.expect("a connection");
        // It would be emptied by a reset of a server whose tables are in this schema.
        direct.execute("create schema theirs; create table theirs.users (id int)").await.expect("their table");
        direct.execute("drop schema theirs cascade").await.expect("only ours");
        let pooler = PgBouncer::start(&options, "session", &lines);
        let lab = lab_behind(&pooler, &cluster).await;
        demand_own_schema(&mut direct, &lab).await;
        lab.get("/readyz").await.expect(200, r#"{"status":"ready"}"#);
        let counts = withdraw(&lab, CHANGES).await;
        assert!(counts.iter().all(|counts| counts.1 == CHANGES), "{lines:?}: {counts:?}");
        demand_all_explained(&mut direct, &counts).await;
        lab.post("/reset", "").await.expect(200, r#"{"seed":"bench"}"#);
    }
}

#[tokio::test]
async fn a_reset_leaves_the_tables_of_other_applications_where_a_pooler_ignores_our_schema() {
    let (cluster, options) = database().await;
    let mut direct = options.connect().await.expect("a connection");
    direct.execute("create table users (id int); insert into users values (7)").await.expect("their table");
    let pooler = PgBouncer::start(&options, "session", &[IGNORES_OPTIONS]);
    let lab = lab_behind(&pooler, &cluster).await;
    lab.post("/reset", "").await.expect(200, r#"{"seed":"bench"}"#);
    let theirs: Vec<i32> =
        sqlx::query_scalar("select id from public.users").fetch_all(&mut direct).await.expect("their table");
    assert_eq!(theirs, [7]);
}

#[tokio::test]
async fn transaction_and_statement_mode_are_refused_and_leave_nothing_behind() {
    let cases: [(&str, &[&str]); 6] = [
        ("transaction", &[IGNORES_OPTIONS]),
        ("transaction", &[]),
        ("transaction", &[IGNORES_OPTIONS, "server_round_robin = 1"]),
        ("transaction", &[IGNORES_OPTIONS, "default_pool_size = 1"]),
        ("transaction", &[IGNORES_OPTIONS, "default_pool_size = 2", "server_round_robin = 1"]),
        ("statement", &[IGNORES_OPTIONS]),
    ];
    for (mode, lines) in cases {
        let (_cluster, options) = database().await;
        let pooler = PgBouncer::start(&options, mode, lines);
        let refused = prepare(pooler.options()).await.expect_err("refused");
        assert!(matches!(refused, DatabaseError::Session(OpenError::Shared { .. })), "{lines:?}: {refused}");
        let message = refused.to_string();
        for part in ["PgBouncer", &format!("in {mode} mode"), "pool_mode = session"] {
            assert!(message.contains(part), "{message}");
        }
        // Its administrators read its version as well.
        let refused = prepare(pooler.options().username(ADMINISTRATOR)).await.expect_err("refused").to_string();
        assert!(refused.contains("PgBouncer 1."), "{mode} {lines:?}: {refused}\n{}", pooler.log());
        // The next client of the pooler finds the server process as it was.
        let mut next = pooler.options().extra_float_digits(None).connect().await.expect("a connection");
        let found = "select current_setting('search_path') || (select count(*) from pg_prepared_statements) \
                     || (select count(*) from pg_namespace where nspname like 'concurrency%')";
        let found = (&mut next).fetch_one(sqlx::raw_sql(found)).await.expect("a row");
        assert_eq!(sqlx::Row::get::<&str, _>(&found, 0), "\"$user\", public00", "{mode} {lines:?}");
    }
}

/// Statements of other clients during an examination, of which each takes another session.
const TURNS: u64 = 30;

#[tokio::test]
async fn transaction_mode_is_refused_while_other_clients_use_the_pooler() {
    let (_cluster, options) = database().await;
    let pooler = PgBouncer::start(&options, "transaction", &[IGNORES_OPTIONS]);
    let turns = Arc::new(AtomicU64::new(0));
    let mut others = JoinSet::new();
    for _ in 0..6 {
        let mut other = pooler.options().connect().await.expect("a connection");
        let turns = Arc::clone(&turns);
        others.spawn(async move {
            loop {
                other.execute(sqlx::raw_sql("select 1")).await.expect("an answer");
                turns.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let mut looked = 0;
    for _ in 0..20 {
        let before = turns.load(Ordering::Relaxed);
        let prepared = prepare(pooler.options()).await;
        // On a machine that gives the others no turn, they do not use the pooler meanwhile.
        if turns.load(Ordering::Relaxed) - before < TURNS {
            continue;
        }
        looked += 1;
        let refused = prepared.expect_err("refused");
        assert!(matches!(refused, DatabaseError::Session(_)), "{refused}");
    }
    assert!(looked > 0, "the other clients had no turn");
    others.shutdown().await;
}

#[tokio::test]
async fn a_pooler_that_gives_one_session_or_what_an_earlier_one_left_is_refused() {
    let (_cluster, options) = database().await;
    let pooler = PgBouncer::start(&options, "session", &["default_pool_size = 1"]);
    let refused = prepare(pooler.options()).await.expect_err("refused");
    assert!(matches!(refused, DatabaseError::Session(OpenError::NoSecond(_))), "{refused}");

    let pooler = PgBouncer::start(&options, "session", &["server_reset_query ="]);
    let refused = prepare(pooler.options()).await.expect_err("refused");
    assert!(matches!(refused, DatabaseError::Session(OpenError::NotNew)), "{refused}");
}

#[tokio::test]
async fn a_pooler_that_comes_back_in_transaction_mode_gets_no_change_lost_or_invented() {
    let (cluster, options) = database().await;
    let mut direct = options.connect().await.expect("a connection");
    let mut pooler = PgBouncer::start(&options, "session", &[IGNORES_OPTIONS]);
    let lab = lab_behind(&pooler, &cluster).await;
    let before = withdraw(&lab, CHANGES).await;
    assert!(before.iter().all(|counts| counts.1 == CHANGES), "{before:?}");

    pooler.restart("transaction", &[IGNORES_OPTIONS]);
    let during = withdraw(&lab, 2).await;
    assert!(during.iter().all(|counts| counts.1 == 0), "answers through a shared server process: {during:?}");
    let answer = lab.patch(Approach::Pessimistic, r#"{"userId":1,"amount":0}"#).await;
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("pool_mode = session"), "{}", answer.body);

    pooler.restart("session", &[IGNORES_OPTIONS]);
    let after = withdraw(&lab, CHANGES).await;
    assert!(after.iter().all(|counts| counts.1 == CHANGES), "{after:?}");
    let mut all = [before, during, after].concat();
    all.sort_unstable();
    let of_user = |user: i64| all.iter().filter(move |counts| counts.0 == user);
    let sums: Vec<_> = (1..=CLIENTS)
        .map(|user| (user, of_user(user).map(|counts| counts.1).sum(), of_user(user).map(|counts| counts.2).sum()))
        .collect();
    demand_all_explained(&mut direct, &sums).await;
}
