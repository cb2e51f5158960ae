//! A database that cannot be used: the message says what is missing, and what would provide it.

use std::time::Duration;

use concurrency_lab::config::Limits;
use concurrency_lab::database::Database;
use concurrency_lab::database::seed::Seed;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection};

use crate::common::{cluster, new_database};

/// A new role without any rights on a new database, and a superuser's connection to it.
async fn new_role(options: &PgConnectOptions) -> (String, PgConnectOptions, PgConnection) {
    let role = format!("role_{}", uuid::Uuid::new_v4().simple());
    let mut superuser = options.connect().await.expect("a connection");
    let create = format!("create role {role} login password 'x'");
    superuser.execute(AssertSqlSafe(create)).await.expect("a role");
    (role.clone(), options.clone().username(&role).password("x"), superuser)
}

async fn refusal(options: &PgConnectOptions) -> String {
    let limits = Limits { lock_timeout: Duration::from_millis(200), ..Limits::default() };
    let prepared = Database::prepare(options.clone(), &limits, Seed::Withdrawal, false).await;
    let refused = prepared.map(|_| ()).expect_err("refused").to_string();
    assert!(!refused.contains("at line"), "a line of PostgreSQL's source code: {refused}");
    assert!(!refused.contains("does not fit"), "{refused}");
    refused
}

#[track_caller]
fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[tokio::test]
async fn a_right_that_is_missing_is_named_with_the_statement_that_grants_it() {
    let cluster = cluster().await;
    let options = new_database(&cluster).await;
    let database = options.get_database().expect("a name").to_owned();
    let (role, as_role, mut superuser) = new_role(&options).await;

    superuser.execute(AssertSqlSafe(format!("revoke connect on database {database} from public"))).await.expect("done");
    let grant = format!("grant connect on database \"{database}\" to \"{role}\"");
    assert_has(&refusal(&as_role).await, &["may not connect to the database", &grant, "42501"]);
    superuser.execute(AssertSqlSafe(grant)).await.expect("the advice is valid SQL");

    let grant = format!("grant create on database \"{database}\" to \"{role}\"");
    assert_has(&refusal(&as_role).await, &["may not create the schema", &grant, "42501"]);
    superuser.execute(AssertSqlSafe(grant)).await.expect("the advice is valid SQL");

    // The schema of another role.
    Database::prepare(options.clone(), &Limits::default(), Seed::Withdrawal, false).await.expect("prepared");
    assert_has(&refusal(&as_role).await, &["must own the schema \"concurrency_lab\"", &role]);
    superuser.execute(AssertSqlSafe(format!("grant usage on schema concurrency_lab to {role}"))).await.expect("done");
    assert_has(&refusal(&as_role).await, &["must own the schema \"concurrency_lab\"", &role, "42501"]);
    superuser.execute("drop schema concurrency_lab cascade").await.expect("done");
    let prepared = Database::prepare(as_role.clone(), &Limits::default(), Seed::Withdrawal, false).await;
    prepared.expect("the role has all rights that it needs");

    assert_has(&refusal(&as_role.clone().password("wrong")).await, &["does not accept the role", &role, "28P01"]);
    let absent = format!("{database}_absent");
    let advice = format!("create database \"{absent}\"");
    assert_has(&refusal(&options.clone().database(&absent)).await, &["there is no database", &advice, "3D000"]);
}

#[tokio::test]
async fn a_read_only_database_and_timeouts_of_the_set_up_are_named() {
    let cluster = cluster().await;
    let options = new_database(&cluster).await;
    let database = options.get_database().expect("a name").to_owned();
    let mut superuser = options.connect().await.expect("a connection");
    let mut set = async |setting: &str| {
        superuser.execute(AssertSqlSafe(format!("alter database {database} {setting}"))).await.expect("a setting");
    };
    set("set default_transaction_read_only = on").await;
    assert_has(&refusal(&options).await, &["accepts no changes", "default_transaction_read_only", "25006"]);
    set("reset default_transaction_read_only").await;

    // A migration that waits for a lock.
    Database::prepare(options.clone(), &Limits::default(), Seed::Withdrawal, false).await.expect("prepared");
    let mut holder = options.connect().await.expect("a connection");
    holder.execute("begin; lock table concurrency_lab._sqlx_migrations, concurrency_lab.seeded").await.expect("a lock");
    assert_has(&refusal(&options).await, &["has kept a lock for more than 200ms (--lock-timeout)", "55P03"]);
    set("set statement_timeout = '50ms'").await;
    assert_has(&refusal(&options).await, &["was cancelled", "statement_timeout", "57014"]);
    holder.close().await.expect("a clean end");
}
