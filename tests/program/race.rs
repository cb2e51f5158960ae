//! `run`: verdicts, table, responses.log and exit codes.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, patch, post};

use super::runs::{command, file};
use super::served::{Served, run_to_end};
use crate::common::directory;

/// The cells of a table's row, found by the approach's name.
fn row(output: &str, approach: &str) -> Vec<String> {
    let row = output.lines().find(|line| line.split("  ").any(|cell| cell.trim() == approach));
    let row = row.unwrap_or_else(|| panic!("no row for {approach} in\n{output}"));
    row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
}

/// One statement, and a lock: `scenarios` runs all approaches with fewer clients.
#[test]
fn with_10000_clients_at_once_exactly_5000_withdrawals_succeed() {
    let directory = directory();
    let out = directory.path().join("runs");
    let safe = ["atomic-returning", "pessimistic"];
    let approaches = format!("--approach=naive,{}", safe.join(","));
    let (code, output, errors) = run_to_end(command(&out, &["withdrawal", "--concurrency=10000", &approaches]));
    assert_eq!(code, Some(0), "{output}{errors}");
    for approach in safe {
        let cells = row(&output, approach);
        assert_eq!(cells[..4], ["correct", approach, "5000", "5000"], "exactly 5000 may succeed: {output}");
    }
    let naive = row(&output, "naive");
    assert_eq!(naive[0], "BROKEN", "{output}");
    assert!(naive.last().is_some_and(|cell| cell.contains(" lost updates")), "{output}");
    let log = file(&out, "responses.log");
    assert_eq!(log.matches(r#"    5000 × {"error":"Insufficient funds"}"#).count(), safe.len(), "{log}");
    assert_eq!(log.matches("bodies that came once: 5000\n").count(), safe.len(), "each balance came once");
}

#[tokio::test]
async fn a_run_on_a_target_uses_its_data_and_a_think_time_widens_the_race() {
    let directory = directory();
    let server = Served::on_shared(&["--seed=mixed"]);
    let out = directory.path().join("runs");
    let arguments =
        ["--target", &server.url, "--approach=naive,robust", "--requests=200", "--concurrency=8", "--think-time=5ms"];
    let (code, output, errors) = run_to_end(command(&out, &arguments));
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(row(&output, "naive")[0], "BROKEN", "{output}");
    assert_eq!(row(&output, "pessimistic")[..5], ["correct", "pessimistic", "200", "0", "200"], "{output}");
    assert!(!output.contains("advisory-lock"), "only the approaches of --approach run: {output}");
}

#[test]
fn usage_errors_exit_2_and_name_the_allowed_values() {
    let directory = directory();
    let out = directory.path().join("runs");
    let target = "--target=http://127.0.0.1:9";
    for (arguments, message) in [
        (&["nonsense"][..], "withdrawal"),
        (&["--amount=1"], "--amount"),
        (&["--requests=0"], "--requests"),
        (&["--concurrency=x"], "--concurrency"),
        (&["--repeat=0"], "--repeat"),
        (&["--rate=0"], "expected requests per second"),
        (&["--duration=0s"], "expected a time from 1ms to 24h"),
        (&["--zipf=-1"], "expected an exponent from 0 to 5"),
        (&["--format=xml"], "table, json, csv, markdown, junit"),
        (&["counter", "--amount=-3"], "--amount: the scenario counter has fixed amounts"),
        (&["counter", "--hot-rows=3"], "--hot-rows: the scenario counter has fixed rows"),
        (&["--hot-rows=1001"], "--hot-rows: expected 1 to 1000 for withdrawal, found 1001"),
        (&["transfer", "--hot-rows=1"], "--hot-rows: expected 2 to 100 for transfer, found 1"),
        (&["--sweep=hot-rows=1,2000"], "expected 1 to 1000"),
        (&["transfer", "--sweep=hot-rows=1,2"], "--hot-rows: expected 2 to 100 for transfer, found 1"),
        (&["--sweep=speed=1"], "expected pool-size, concurrency, hot-rows, think-time"),
        (&["--routes=x.toml"], "--target"),
        (&[target, "--sweep=pool-size=2,4"], "--sweep pool-size configures the server that run starts"),
        (&["--think-time=2s"], "expected whole milliseconds up to 1000 ms"),
        (&["--row-sessions=1"], "--row-sessions"),
        (&["--pool-size=1"], "--pool-size"),
        (&["--queue-wait=175s"], "--request-timeout must be longer than --queue-wait and --retry-deadline together"),
        (&["--queue-wait=0s"], "expected a time from 1ms to 24h"),
        (&["--target=ftp://x"], "--target: expected a URL like http://127.0.0.1:3000"),
        (&[target, "--pool-size=4"], "--pool-size configures the server that run starts; leave it out with --target"),
        (&[target, "--postgres-bin=/x"], "--postgres-bin configures the server that run starts"),
    ] {
        let (code, _, errors) = run_to_end(command(&out, arguments));
        assert_eq!(code, Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(message), "{arguments:?}: {errors}");
    }
    assert!(!out.exists(), "no folder was made");
}

#[tokio::test]
async fn an_unknown_approach_exits_2_and_a_target_that_is_down_3() {
    let directory = directory();
    let out = directory.path().join("runs");
    let (code, _, errors) = run_to_end(command(&out, &["--target=http://127.0.0.1:9"]));
    assert_eq!(code, Some(3), "{errors}");
    assert!(errors.contains("127.0.0.1:9"), "{errors}");
    let server = Served::on_shared(&[]);
    let (code, _, errors) = run_to_end(command(&out, &["--target", &server.url, "--approach=nonsense"]));
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("naive") && errors.contains("advisory-lock"), "the message lists the approaches: {errors}");
}

/// What the false service below does with each change of its balance.
type Change = fn(&AtomicI64) -> (StatusCode, String);

/// A service that falsely claims to be safe.
async fn false_service(change: Change) -> String {
    let balance = Arc::new(AtomicI64::new(10_000));
    let (changed, read, reset) = (Arc::clone(&balance), Arc::clone(&balance), balance);
    let router = Router::new()
        .route(
            "/approaches",
            get(|| async { r#"{"approaches":[{"name":"false","aliases":[],"claims":{"balance":"safe"}}]}"# }),
        )
        .route("/approach/false/reset", post(async move || reset.store(10_000, Ordering::SeqCst)))
        .route("/approach/false/balance/1", get(async move || body(read.load(Ordering::SeqCst))))
        .route("/approach/false/balance", patch(async move || change(&changed)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn body(balance: i64) -> String {
    format!(r#"{{"balance":{balance}}}"#)
}

/// Loses about every second update. Its answers have no versions.
fn loses_updates(balance: &AtomicI64) -> (StatusCode, String) {
    let seen = balance.load(Ordering::SeqCst);
    balance.store(seen - i64::from(fastrand::bool()) * 2, Ordering::SeqCst);
    (StatusCode::OK, body(seen - 2))
}

/// Pays out more than there is.
fn pays_without_limit(balance: &AtomicI64) -> (StatusCode, String) {
    (StatusCode::OK, body(balance.fetch_sub(2, Ordering::SeqCst) - 2))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_fails_exits_1_also_without_versions() {
    let directory = directory();
    let fails: Change = |_| (StatusCode::INTERNAL_SERVER_ERROR, "oops".to_owned());
    let refuses_valid_requests: Change = |_| (StatusCode::UNPROCESSABLE_ENTITY, "{}".to_owned());
    let table: [(&str, Change, &str); 4] = [
        ("loses updates", loses_updates, "CLAIM FAILED"),
        ("pays without limit", pays_without_limit, "overdraft"),
        ("answers 500", fails, "unexpected answers"),
        ("answers 422", refuses_valid_requests, "unexpected answers"),
    ];
    for (name, change, finding) in table {
        let out = directory.path().join(name);
        let url = false_service(change).await;
        let arguments = ["--target", &url, "--requests=6000", "--concurrency=4"];
        let (code, output, errors) = run_to_end(command(&out, &arguments));
        assert_eq!(code, Some(1), "{name}: {output}{errors}");
        assert!(output.contains(finding), "{name}: {output}");
        assert!(errors.contains("claimed safe, but broken: false"), "{name}: {errors}");
    }
    let log = file(&directory.path().join("loses updates"), "responses.log");
    assert!(log.contains(" × {\"balance\":"), "the repeated balances are listed: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_answers_only_503_proves_nothing_and_exits_3() {
    let directory = directory();
    let url = false_service(|_| (StatusCode::SERVICE_UNAVAILABLE, r#"{"error":"busy"}"#.to_owned())).await;
    let (code, output, errors) = run_to_end(command(directory.path(), &["--target", &url, "--requests=100"]));
    assert_eq!(code, Some(3), "{output}{errors}");
    assert!(output.contains("no evidence") && errors.contains("nothing is proved: false"), "{output}{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_standard_output_is_no_error() {
    let directory = directory();
    let url = false_service(pays_without_limit).await;
    let mut command = Command::new("bash");
    let script = r#""$0" run --target "$1" --requests 10 --out "$2" | true; echo "${PIPESTATUS[0]}""#;
    command.args(["-c", script]).arg(env!("CARGO_BIN_EXE_concurrency-lab")).arg(&url).arg(directory.path());
    let (_, output, errors) = run_to_end(command);
    assert_eq!(output.trim(), "0", "{errors}");
}

#[test]
fn run_starts_its_own_server_and_ignores_the_database_of_dot_env() {
    let directory = directory();
    std::fs::write(directory.path().join(".env"), "LAB_DATA_DIR=/nonexistent/served\nDATABASE_URL=\n").expect("a .env");
    let mut command = command(&directory.path().join("runs"), &["--approach=naive", "--requests=10", "--pool-size=2"]);
    command.current_dir(directory.path());
    let (code, output, errors) = run_to_end(command);
    assert_eq!(code, Some(0), "{output}{errors}");
}
