//! `/metrics` counts exactly what happened.

#![allow(clippy::float_cmp, reason = "counts are whole numbers, which a float holds exactly")]

use std::time::Duration;

use concurrency_lab::config::{Limits, RetryPolicy};
use concurrency_lab::strategy::Approach;
use domain::Workload;
use reqwest::Method;
use sqlx::{Connection, Executor};
use strum::IntoEnumIterator;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::exposition::{self, Samples};
use crate::common::{Answer, Lab, Setup, eventually};

const WITHDRAW: &str = r#"{"userId":1,"amount":-2}"#;

/// The server's metrics, read by the strict reader.
async fn scrape(lab: &Lab) -> Samples {
    let answer = lab.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    exposition::read(&answer.body).unwrap_or_else(|wrong| panic!("{wrong}\n{}", answer.body))
}

#[track_caller]
fn value(samples: &Samples, series: &str) -> f64 {
    *samples.get(&format!("concurrency_lab_{series}")).unwrap_or_else(|| panic!("no {series} in {samples:#?}"))
}

fn requests(samples: &Samples, approach: &str, workload: &str, outcome: &str) -> f64 {
    let labels = format!(r#"{{approach="{approach}",workload="{workload}",outcome="{outcome}"}}"#);
    let counted = value(samples, &format!("requests_total{labels}"));
    let timed = samples.get(&format!("concurrency_lab_request_duration_seconds_count{labels}"));
    assert_eq!(timed.copied().unwrap_or_default(), counted, "each request is timed: {labels}");
    counted
}

/// The sum of a family, whatever its labels.
fn total(samples: &Samples, family: &str) -> f64 {
    let family = format!("concurrency_lab_{family}");
    let of_family = samples.iter().filter(|(series, _)| series.split('{').next() == Some(&family));
    of_family.map(|(_, value)| value).sum()
}

#[tokio::test]
async fn requests_are_counted_and_timed_by_approach_workload_and_outcome() {
    let lab = Lab::start().await;
    assert_eq!(total(&scrape(&lab).await, "requests_total"), 0.0);
    for _ in 0..3 {
        assert_eq!(lab.patch(Approach::Pessimistic, WITHDRAW).await.status, 200);
    }
    assert_eq!(lab.patch(Approach::Pessimistic, r#"{"userId":1,"amount":-20000}"#).await.status, 409);
    assert_eq!(lab.patch(Approach::Pessimistic, r#"{"userId":0}"#).await.status, 422);
    assert_eq!(lab.get("/approach/robust/balance/9").await.status, 404);
    assert_eq!(lab.patch(Approach::UniqueConstraint, WITHDRAW).await.status, 501);
    assert_eq!(Answer::of(lab.json(Method::PATCH, "/ceiling/balance", WITHDRAW)).await.status, 200);
    assert_eq!(lab.get("/nowhere").await.status, 404);
    let samples = scrape(&lab).await;
    for (approach, outcome, expected) in [
        ("pessimistic", "done", 3.0),
        ("pessimistic", "refused", 2.0),
        ("pessimistic", "rejected", 1.0),
        ("unique-constraint", "unsupported", 1.0),
        ("ceiling", "done", 1.0),
    ] {
        assert_eq!(requests(&samples, approach, "balance", outcome), expected, "{approach} {outcome}");
    }
    assert_eq!(total(&samples, "requests_total"), 8.0, "no other request is counted");
    assert_eq!(value(&samples, r#"attempts_total{approach="pessimistic"}"#), 5.0);
    assert_eq!(total(&samples, "attempts_total"), 5.0);
    let seconds = total(&samples, "request_duration_seconds_sum");
    assert!(seconds > 0.0 && seconds < 60.0, "{seconds} s");
    let another = lab.another(Setup::default()).await;
    assert_eq!(total(&scrape(&another).await, "requests_total"), 0.0, "another server of this process counts its own");
}

#[tokio::test]
async fn every_route_is_counted_under_its_workload() {
    let lab = Lab::start().await;
    lab.post("/reset?seed=booking", "").await.expect(200, r#"{"seed":"booking"}"#);
    let booked = lab.post("/bookings", r#"{"eventId":2,"userId":1}"#).await.json();
    let id = booked["bookingId"].as_str().expect("an id").to_owned();
    assert_eq!(Answer::of(lab.request(Method::DELETE, &format!("/bookings/{id}"))).await.status, 204);
    assert_eq!(lab.get("/events/2").await.status, 200);
    lab.post("/reset?seed=transfer", "").await.expect(200, r#"{"seed":"transfer"}"#);
    assert_eq!(lab.post("/transfer", r#"{"from":1,"to":2,"amount":1}"#).await.status, 200);
    for (path, body) in [("/deposit", r#"{"userId":1,"amount":1}"#), ("/withdraw", r#"{"userId":1,"amount":1}"#)] {
        assert_eq!(lab.post(path, body).await.status, 200);
    }
    assert_eq!(lab.get("/balance?userId=1").await.status, 200);
    lab.post("/reset?seed=counter", "").await.expect(200, r#"{"seed":"counter"}"#);
    assert_eq!(lab.post("/counters/1/increment", "").await.status, 200);
    assert_eq!(lab.get("/counters/1").await.status, 200);
    let samples = scrape(&lab).await;
    for (workload, expected) in
        [(Workload::Balance, 3.0), (Workload::Transfer, 1.0), (Workload::Booking, 3.0), (Workload::Counter, 2.0)]
    {
        assert_eq!(requests(&samples, "atomic-returning", workload.into(), "done"), expected, "{workload}");
    }
    assert_eq!(total(&samples, "requests_total"), 9.0);
    let expected = (Approach::iter().count() * Workload::iter().count() + 1) * 8;
    let series = samples.keys().filter(|series| series.starts_with("concurrency_lab_requests_total")).count();
    assert_eq!(series, expected, "the series are fixed: no id and no path is a label");
}

#[tokio::test]
async fn a_request_that_gives_up_counts_as_an_attempt_as_exhausted_retries_and_as_not_done() {
    let retry = RetryPolicy { attempts: 1, ..RetryPolicy::default() };
    let lab = Lab::with(Setup { limits: Limits { retry, ..Limits::default() }, ..Setup::default() }).await;
    let mut holder = lab.connection().await;
    holder.execute("begin; update users set version = version + 1 where id = 1").await.expect("the row");
    let losing = tokio::spawn(Answer::of(lab.change(Approach::RepeatableRead, WITHDRAW)));
    wait_for_locks(&lab, 1).await;
    holder.execute("commit").await.expect("the other one wins");
    assert_eq!(losing.await.expect("an answer").status, 503);
    let samples = scrape(&lab).await;
    assert_eq!(requests(&samples, "repeatable-read", "balance", "not-done"), 1.0);
    assert_eq!(value(&samples, r#"attempts_total{approach="repeatable-read"}"#), 1.0);
    assert_eq!(value(&samples, r#"retries_exhausted_total{approach="repeatable-read"}"#), 1.0);
    assert_eq!(total(&samples, "retries_exhausted_total"), 1.0);
}

async fn wait_for_locks(lab: &Lab, sessions: i64) {
    let mut connection = lab.connection().await;
    let waiting =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    eventually("sessions wait for locks", async || {
        let found: i64 = sqlx::query_scalar(waiting).fetch_one(&mut connection).await.expect("a count");
        found == sessions
    })
    .await;
    connection.close().await.expect("a clean end");
}

#[tokio::test]
async fn waiting_requests_and_used_connections_are_shown_and_a_connection_that_was_reset_is_counted() {
    let limits = Limits { row_sessions: 2, ..Limits::default() };
    let lab = Lab::with(Setup { limits, ..Setup::default() }).await;
    let mut holder = lab.connection().await;
    holder.execute("begin; select from users where id = 1 for update").await.expect("the row");
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(lab.address).await.expect("a connection");
        let request = format!(
            "PATCH /approach/pessimistic/balance HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{WITHDRAW}",
            WITHDRAW.len()
        );
        stream.write_all(request.as_bytes()).await.expect("a request");
        waiting.push(stream);
    }
    wait_for_locks(&lab, 2).await;
    eventually("the third waits in the server", async || value(&scrape(&lab).await, "row_waiting_requests") == 1.0)
        .await;
    let samples = scrape(&lab).await;
    for (series, expected) in [
        (r#"pool_connections{state="in-use"}"#, 2.0),
        (r#"pool_connections{state="idle"}"#, 0.0),
        ("pool_connections_limit", 32.0),
        ("pool_waiting_requests", 0.0),
        ("operations_in_progress", 3.0),
    ] {
        assert_eq!(value(&samples, series), expected, "{series}");
    }
    assert_eq!(total(&samples, "requests_total"), 0.0, "no request has ended");
    for stream in waiting {
        stream.set_zero_linger().expect("a reset connection");
    }
    eventually("the server has seen that they are gone", async || {
        requests(&scrape(&lab).await, "pessimistic", "balance", "abandoned") == 3.0
    })
    .await;
    assert_eq!(value(&scrape(&lab).await, "operations_in_progress"), 3.0, "the operations go on");
    holder.close().await.expect("a clean end");
    eventually("it is done", async || value(&scrape(&lab).await, "operations_in_progress") == 0.0).await;
    let samples = scrape(&lab).await;
    assert_eq!(value(&samples, r#"pool_connections{state="in-use"}"#), 0.0);
    assert_eq!(lab.account(1).await.version, 4);
    assert_eq!(total(&samples, "requests_total"), 3.0);
}

#[tokio::test]
async fn batches_are_counted_by_their_size() {
    let lab = Lab::start().await;
    for requests in [1, 3, 5_000] {
        lab.engine.server().metrics().batch(requests);
    }
    let samples = scrape(&lab).await;
    for (series, expected) in [
        ("count", 3.0),
        ("sum", 5_004.0),
        (r#"bucket{le="1.0"}"#, 1.0),
        (r#"bucket{le="2.0"}"#, 1.0),
        (r#"bucket{le="4.0"}"#, 2.0),
        (r#"bucket{le="4096.0"}"#, 2.0),
        (r#"bucket{le="+Inf"}"#, 3.0),
    ] {
        assert_eq!(value(&samples, &format!("group_commit_batch_requests_{series}")), expected, "{series}");
    }
}

#[tokio::test]
async fn without_metrics_the_route_is_404_and_all_others_work() {
    let lab = Lab::with(Setup { metrics: false, ..Setup::default() }).await;
    lab.patch(Approach::Naive, WITHDRAW).await.expect(200, r#"{"balance":9998}"#);
    let off = lab.get("/metrics").await;
    off.expect(404, r#"{"error":"This server counts nothing: it runs with --metrics=false"}"#);
    tokio::time::timeout(Duration::from_secs(5), lab.engine.drain()).await.expect("nothing hangs");
}
