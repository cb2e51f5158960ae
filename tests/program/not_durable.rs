//! Changes that PostgreSQL reports as done although they are not durable: what a client is told of them.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _, PgConnection};

use super::served::{Served, database_url, run_to_end};
use crate::common::{OwnDatabase, directory, eventually, program};

fn request(server: &Served, method: Method, path: &str, body: &serde_json::Value) -> RequestBuilder {
    server.client.request(method, format!("{}{path}", server.url)).json(body)
}

/// Sets the standbys for which a commit waits.
async fn set_standbys(connection: &mut PgConnection, standbys: &str) {
    let sql = format!("alter system set synchronous_standby_names = '{standbys}'");
    connection.execute(sqlx::AssertSqlSafe(sql)).await.expect("a setting");
    connection.execute("select pg_reload_conf()").await.expect("a reload");
    eventually("the setting is in force", async || {
        let shown: String =
            sqlx::query_scalar("show synchronous_standby_names").fetch_one(&mut *connection).await.expect("a setting");
        shown == standbys
    })
    .await;
}

/// Sends a request, and cancels each wait for a standby until it is answered.
async fn answered_while_waits_are_cancelled(connection: &mut PgConnection, request: RequestBuilder) -> StatusCode {
    let sending = tokio::spawn(async move { request.send().await.expect("an answer").status() });
    eventually("the request is answered", async || {
        let cancel = "select count(pg_cancel_backend(pid)) from pg_stat_activity where wait_event = 'SyncRep'";
        let _: i64 = sqlx::query_scalar(cancel).fetch_one(&mut *connection).await.expect("a count");
        sending.is_finished()
    })
    .await;
    sending.await.expect("no panic")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_wait_for_a_standby_was_cancelled_has_an_unknown_outcome() {
    let directory = directory();
    let mut command = program();
    command.args(["serve", "--listen=127.0.0.1:0", "--data-dir"]).arg(directory.path());
    // Whatever is logged.
    let server = Served::spawn({
        command.env("LAB_LOG", "off");
        command
    });
    let options: PgConnectOptions = database_url(directory.path()).parse().expect("a URL");
    let mut superuser = options.connect().await.expect("a connection");
    let body = json!({ "userId": 1, "amount": -2 });
    set_standbys(&mut superuser, "absent").await;
    // A statement by itself, a transaction, a batch, and a reset.
    for approach in ["atomic-returning", "pessimistic", "serializable", "group-commit"] {
        let path = format!("/approach/{approach}/balance");
        for _ in 0..2 {
            let change = request(&server, Method::PATCH, &path, &body);
            let status = answered_while_waits_are_cancelled(&mut superuser, change).await;
            assert_eq!(status, StatusCode::GATEWAY_TIMEOUT, "{approach}");
        }
        let change =
            request(&server, Method::PATCH, &path, &body).header("idempotency-key", uuid::Uuid::new_v4().to_string());
        let status = answered_while_waits_are_cancelled(&mut superuser, change).await;
        assert_eq!(status, StatusCode::GATEWAY_TIMEOUT, "{approach} with a key");
    }
    let version = "select version from concurrency_lab.users where id = 1";
    let version: i64 = sqlx::query_scalar(version).fetch_one(&mut superuser).await.expect("a version");
    assert_eq!(version, 13, "all were made on this server");
    let reset = request(&server, Method::POST, "/reset", &json!({}));
    let status = answered_while_waits_are_cancelled(&mut superuser, reset).await;
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT, "reset");

    // Without standbys, a warning says nothing about the commit.
    set_standbys(&mut superuser, "").await;
    let warning = "create function concurrency_lab.warn() returns trigger language plpgsql as \
                   $$ begin raise warning 'not about the commit'; return new; end $$; \
                   create constraint trigger warns after update on concurrency_lab.users \
                   deferrable initially deferred for each row execute function concurrency_lab.warn()";
    superuser.execute(sqlx::raw_sql(warning)).await.expect("a trigger");
    for approach in ["atomic-returning", "pessimistic", "group-commit"] {
        let path = format!("/approach/{approach}/balance");
        let change = request(&server, Method::PATCH, &path, &body).send().await.expect("an answer");
        assert_eq!(change.status(), StatusCode::OK, "{approach}");
    }
}

/// The databases of the tests have `synchronous_commit = off`.
#[test]
fn a_setting_by_which_a_crash_takes_changes_back_is_named_at_the_start_and_in_the_table_of_a_run() {
    let database = OwnDatabase::new();
    let mut command = program();
    command.args(["serve", "--listen=127.0.0.1:0"]).env("DATABASE_URL", &database.url).stderr(Stdio::piped());
    let mut server = Served::spawn(command);
    let errors = BufReader::new(server.child.stderr.take().expect("its errors"));
    server.kill();
    let lines: Vec<String> = errors.lines().map_while(Result::ok).collect();
    let expected =
        "concurrency-lab: warning: PostgreSQL has synchronous_commit = off: a crash of PostgreSQL can take back";
    assert_eq!(lines.iter().filter(|line| line.contains(expected)).count(), 1, "{lines:?}");

    let directory = directory();
    let mut command = program();
    command.args(["run", "withdrawal", "--approach=pessimistic", "--requests=50", "--concurrency=2", "--out"]);
    command.arg(directory.path()).env("DATABASE_URL", &database.url);
    let (code, table, errors) = run_to_end(command);
    assert_eq!(code, Some(0), "{table}{errors}");
    let flat = table.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("WARNING: These figures are not those of a durable database"), "{table}");
    assert!(flat.contains("synchronous_commit = off"), "{table}");
}

#[test]
fn a_private_postgresql_is_durable_and_nothing_is_said() {
    let directory = directory();
    let mut command = program();
    command.args(["serve", "--listen=127.0.0.1:0", "--data-dir"]).arg(directory.path()).stderr(Stdio::piped());
    let mut server = Served::spawn(command);
    let errors = BufReader::new(server.child.stderr.take().expect("its errors"));
    server.kill();
    let lines: Vec<String> = errors.lines().map_while(Result::ok).collect();
    assert!(!lines.iter().any(|line| line.contains("PostgreSQL has")), "{lines:?}");
}
