//! Headers: those of every answer, and those that a request may send.

use std::time::{Duration, Instant};

use concurrency_lab::database::seed::Seed;
use concurrency_lab::strategy::Approach;
use domain::Workload;
use reqwest::Method;
use strum::IntoEnumIterator;
use uuid::Uuid;

use crate::common::{Answer, Lab, Setup, offering};

const WITHDRAW: &str = r#"{"userId":1,"amount":-2}"#;

#[tokio::test]
async fn answers_carry_version_attempts_and_request_id() {
    let lab = Lab::start().await;
    for (approach, version) in offering(Workload::Balance).zip(2..) {
        let changed = lab.patch(approach, WITHDRAW).await;
        assert_eq!(changed.header("etag"), Some(format!("\"{version}\"").as_str()), "{approach}");
        assert_eq!(changed.header("lab-versions"), Some(format!("users/1={version}").as_str()), "{approach}");
        assert_eq!(changed.header("lab-attempts"), Some("1"), "{approach}");
        assert!(changed.header("x-request-id").is_some_and(|id| Uuid::parse_str(id).is_ok()), "{approach}");
        let read = lab.get(&format!("/approach/{approach}/balance/1")).await;
        assert_eq!(read.header("etag"), changed.header("etag"), "{approach}");
        assert_eq!(read.header("lab-versions"), None, "{approach}: nothing was changed");
    }
    for path in ["/nonsense", "/approach/nonsense", "/approaches", "/healthz"] {
        assert_eq!(lab.get(path).await.header("lab-attempts"), Some("0"), "{path}");
    }
    assert_eq!(lab.post("/reset", "").await.header("lab-attempts"), Some("0"));
    let named = Answer::of(lab.request(Method::GET, "/nonsense").header("x-request-id", "mine-1")).await;
    assert_eq!(named.header("x-request-id"), Some("mine-1"));
}

#[tokio::test]
async fn a_refusal_is_named_by_a_header_and_no_other_answer_has_it() {
    let lab = Lab::with(Setup { seed: Seed::Booking, ..Setup::default() }).await;
    for approach in offering(Workload::Booking) {
        lab.post("/reset", "").await.expect(200, r#"{"seed":"booking"}"#);
        for (user, event, status, refusal) in [
            (1, 1, 201, None),
            (1, 1, 409, Some("already-booked")),
            (2, 1, 409, Some("sold-out")),
            (2, 9, 404, Some("event-not-found")),
            (9999, 1, 404, Some("user-not-found")),
            (0, 1, 422, None),
        ] {
            let body = format!(r#"{{"eventId":{event},"userId":{user}}}"#);
            let answer = lab.post(&format!("/approach/{approach}/bookings"), &body).await;
            assert_eq!((answer.status.as_u16(), answer.header("lab-refusal")), (status, refusal), "{approach}: {body}");
        }
    }
    lab.post("/reset?seed=withdrawal", "").await.expect(200, r#"{"seed":"withdrawal"}"#);
    for approach in offering(Workload::Balance) {
        for (amount, refusal) in
            [(-1_000_000, Some("insufficient-funds")), (i64::MAX, Some("balance-out-of-range")), (0, None)]
        {
            let answer = lab.patch(approach, &format!(r#"{{"userId":1,"amount":{amount}}}"#)).await;
            assert_eq!(answer.header("lab-refusal"), refusal, "{approach}: {amount}");
        }
    }
    assert_eq!(lab.get("/nonsense").await.header("lab-refusal"), None);
}

#[tokio::test]
async fn if_match_changes_exactly_that_version_or_nothing() {
    let lab = Lab::start().await;
    let change = async |tag: &str, body: &str| {
        Answer::of(lab.change(Approach::OptimisticVersion, body).header("if-match", tag)).await
    };
    change("\"1\"", WITHDRAW).await.expect(200, r#"{"balance":9998}"#);
    change("\"1\"", WITHDRAW).await.expect(412, r#"{"error":"Version does not match"}"#);
    change("*", WITHDRAW).await.expect(200, r#"{"balance":9996}"#);
    // The order of refusals: unknown user, version, insufficient funds.
    change("\"1\"", r#"{"userId":9,"amount":-2}"#).await.expect(404, r#"{"error":"User not found"}"#);
    change("\"1\"", r#"{"userId":1,"amount":-99999}"#).await.expect(412, r#"{"error":"Version does not match"}"#);
    change("\"3\"", r#"{"userId":1,"amount":-99999}"#).await.expect(409, r#"{"error":"Insufficient funds"}"#);
    assert_eq!(change("3", WITHDRAW).await.status, 422);
    assert_eq!(lab.account(1).await.version, 3);
}

#[tokio::test]
async fn of_many_changes_with_the_same_if_match_exactly_one_is_made() {
    let lab = Lab::start().await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let request = lab.change(Approach::OptimisticVersion, WITHDRAW).header("if-match", "\"1\"");
        tasks.spawn(async move { Answer::of(request).await });
    }
    let answers = tasks.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert!(answers.iter().all(|answer| answer.status == 200 || answer.status == 412));
    assert!(answers.iter().all(|answer| answer.header("lab-attempts") == Some("1")), "no request was retried");
    assert_eq!(lab.account(1).await.balance, 9998);
}

#[tokio::test]
async fn if_match_is_refused_by_an_approach_that_cannot_honour_it() {
    let lab = Lab::start().await;
    for approach in Approach::iter().filter(|approach| *approach != Approach::OptimisticVersion) {
        let answer = Answer::of(lab.change(approach, WITHDRAW).header("if-match", "\"1\"")).await;
        assert_eq!(answer.status, 501, "{approach}");
        assert!(answer.body.contains("optimistic-version"), "{}", answer.body);
    }
    assert_eq!(lab.account(1).await.version, 1);
}

#[tokio::test]
async fn a_trace_lists_the_statements_of_every_approach_in_order() {
    let lab = Lab::start().await;
    let trace = async |approach: Approach| {
        let answer = Answer::of(lab.change(approach, WITHDRAW).header("lab-trace", "1")).await;
        assert_eq!(answer.status, 200);
        let timing = answer.header("server-timing").expect("a trace").to_owned();
        assert!(timing.starts_with("row-queue;dur="), "the time in the queue of the row comes first: {timing}");
        assert!(timing.contains(", connection;dur="), "then the wait for a connection: {timing}");
        let names = timing.split(", ").filter_map(|metric| metric.split_once(";dur=").map(|(name, _)| name.to_owned()));
        names.filter(|name| !matches!(name.as_ref(), "row-queue" | "connection")).collect::<Vec<_>>()
    };
    let table: &[(Approach, &[&str])] = &[
        (Approach::Naive, &["read", "write"]),
        (Approach::ReadCommitted, &["begin", "read", "write", "commit"]),
        (Approach::AtomicReturning, &["change"]),
        (Approach::CheckConstraint, &["change"]),
        (Approach::Pessimistic, &["begin", "lock", "write", "commit"]),
        (Approach::OptimisticVersion, &["read", "write"]),
        (Approach::AdvisoryLock, &["begin", "lock", "read", "write", "commit"]),
        (Approach::RepeatableRead, &["begin", "read", "write", "commit"]),
        (Approach::Serializable, &["begin", "read", "write", "commit"]),
        (Approach::StoredFunction, &["change"]),
        (Approach::InProcessMutex, &["read", "write"]),
        (Approach::GroupCommit, &["begin", "lock-users", "write-users", "commit"]),
    ];
    for (approach, statements) in table {
        assert_eq!(trace(*approach).await, *statements, "{approach}");
    }
    assert!(table.iter().map(|(approach, _)| *approach).eq(offering(Workload::Balance)), "every approach");
    assert!(lab.patch(Approach::Naive, WITHDRAW).await.header("server-timing").is_none(), "no trace without Lab-Trace");
}

#[tokio::test]
async fn the_trace_of_a_refusal_inside_a_transaction_ends_with_the_rollback() {
    let lab = Lab::start().await;
    let request = lab.change(Approach::Pessimistic, r#"{"userId":1,"amount":-99999}"#).header("lab-trace", "1");
    let answer = Answer::of(request).await;
    answer.expect(409, r#"{"error":"Insufficient funds"}"#);
    assert!(answer.header("server-timing").is_some_and(|timing| timing.contains("rollback;dur=")), "{answer:?}");
}

#[tokio::test]
async fn a_think_time_pauses_before_each_write() {
    let lab = Lab::start().await;
    for approach in offering(Workload::Balance) {
        let started = Instant::now();
        let answer = Answer::of(lab.change(approach, WITHDRAW).header("lab-think-time", "60")).await;
        assert_eq!(answer.status, 200);
        assert!(started.elapsed() >= Duration::from_millis(60), "{approach}: {:?}", started.elapsed());
    }
    let wrong = Answer::of(lab.change(Approach::Naive, WITHDRAW).header("lab-think-time", "1001")).await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.body.contains("Lab-Think-Time: expected whole milliseconds from 0 to 1000"), "{}", wrong.body);
    let wrong = Answer::of(lab.change(Approach::Naive, WITHDRAW).header("lab-trace", "yes")).await;
    assert_eq!(wrong.status, 422);
}

#[tokio::test]
async fn experiment_headers_are_ignored_when_the_server_does_not_honour_them() {
    let lab = Lab::with(Setup { lab_headers: false, ..Setup::default() }).await;
    let request = lab.change(Approach::Naive, WITHDRAW).header("lab-trace", "1").header("lab-think-time", "nonsense");
    let answer = Answer::of(request).await;
    answer.expect(200, r#"{"balance":9998}"#);
    assert_eq!(answer.header("server-timing"), None);
}
