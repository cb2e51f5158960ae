//! A change that was certainly not made is answered with 503, one that may have been made with 504. The server never
//! confuses the two.

use std::time::Duration;

use concurrency_lab::config::Limits;
use concurrency_lab::strategy::Approach;
use domain::Workload;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};

use crate::common::{Answer, Lab, Setup, eventually, offering, waiting_for_locks};

const WITHDRAW: &str = r#"{"userId":1,"amount":-2}"#;

/// Another session's transaction that holds the row of user 1.
async fn hold_row(lab: &Lab) -> PgConnection {
    let mut holder = lab.connection().await;
    holder.execute("begin; select from users where id = 1 for update").await.expect("the row");
    holder
}

fn spawn_change(lab: &Lab, approach: Approach) -> tokio::task::JoinHandle<Answer> {
    tokio::spawn(Answer::of(lab.change(approach, WITHDRAW)))
}

#[tokio::test]
async fn a_lock_timeout_is_503_with_retry_after_and_changes_nothing() {
    let limits = Limits { lock_timeout: Duration::from_millis(200), ..Limits::default() };
    let lab = Lab::with(Setup { limits, ..Setup::default() }).await;
    let holder = hold_row(&lab).await;
    for approach in offering(Workload::Balance) {
        let answer = lab.patch(approach, WITHDRAW).await;
        answer.expect(503, r#"{"error":"Lock timeout"}"#);
        assert_eq!(answer.header("retry-after"), Some("1"), "{approach}");
        assert_eq!(answer.header("lab-attempts"), Some("1"), "{approach}");
    }
    let reset = lab.post("/reset", "").await;
    reset.expect(503, r#"{"error":"Lock timeout"}"#);
    holder.close().await.expect("a clean end");
    assert_eq!(lab.account(1).await.version, 1);
    lab.patch(Approach::Pessimistic, WITHDRAW).await.expect(200, r#"{"balance":9998}"#);
}

#[tokio::test]
async fn a_statement_timeout_is_503_and_changes_nothing() {
    let limits = Limits { statement_timeout: Duration::from_millis(200), ..Limits::default() };
    let lab = Lab::with(Setup { limits, ..Setup::default() }).await;
    let holder = hold_row(&lab).await;
    for approach in offering(Workload::Balance) {
        lab.patch(approach, WITHDRAW)
            .await
            .expect(503, r#"{"error":"Statement cancelled: canceling statement due to statement timeout"}"#);
    }
    holder.close().await.expect("a clean end");
    assert_eq!(lab.account(1).await.version, 1);
}

#[tokio::test]
async fn a_request_gets_503_when_the_queue_is_full_or_its_wait_is_too_long() {
    let limits = Limits { row_sessions: 2, queue: 1, queue_wait: Duration::from_millis(500), ..Limits::default() };
    let lab = Lab::with(Setup { limits, ..Setup::default() }).await;
    let holder = hold_row(&lab).await;
    let mut working = Vec::new();
    for _ in 0..2 {
        working.push(spawn_change(&lab, Approach::Pessimistic));
    }
    eventually("two sessions wait for the row in PostgreSQL", async || waiting_for_locks(&lab).await == 2).await;
    let waiting = spawn_change(&lab, Approach::Pessimistic);
    eventually("one request waits in the server", async || lab.engine.server().admission().waiting() == 1).await;
    let rejected = lab.patch(Approach::Naive, WITHDRAW).await;
    rejected.expect(503, r#"{"error":"Too many requests waiting"}"#);
    waiting.await.expect("an answer").expect(503, r#"{"error":"Waited too long for the row"}"#);
    holder.close().await.expect("a clean end");
    for answer in working {
        assert_eq!(answer.await.expect("an answer").status, 200);
    }
    assert_eq!(lab.account(1).await.version, 3, "exactly the two changes that were answered with 200");
}

#[tokio::test]
async fn a_request_that_gets_no_connection_in_time_gets_503() {
    let limits = Limits { pool_size: 2, row_sessions: 2, queue_wait: Duration::from_millis(300), ..Limits::default() };
    let lab = Lab::with(Setup { limits, ..Setup::default() }).await;
    let holder = hold_row(&lab).await;
    let working = [spawn_change(&lab, Approach::Pessimistic), spawn_change(&lab, Approach::Pessimistic)];
    eventually("both connections wait for the row", async || waiting_for_locks(&lab).await == 2).await;
    lab.get("/balance/1").await.expect(503, r#"{"error":"Waited too long for a connection"}"#);
    holder.close().await.expect("a clean end");
    for answer in working {
        assert_eq!(answer.await.expect("an answer").status, 200);
    }
}

#[tokio::test]
async fn a_request_gets_503_when_too_many_wait_for_a_connection() {
    let limits = Limits { pool_size: 2, row_sessions: 2, queue: 1, ..Limits::default() };
    let lab = Lab::with(Setup { limits, ..Setup::default() }).await;
    let holder = hold_row(&lab).await;
    let working = [spawn_change(&lab, Approach::Pessimistic), spawn_change(&lab, Approach::Pessimistic)];
    eventually("both connections wait for the row", async || waiting_for_locks(&lab).await == 2).await;
    let reading = tokio::spawn(Answer::of(lab.request(reqwest::Method::GET, "/balance/1")));
    eventually("a read waits for a connection", async || lab.engine.server().database().pool().status().waiting == 1)
        .await;
    lab.get("/balance/1").await.expect(503, r#"{"error":"Too many requests waiting"}"#);
    holder.close().await.expect("a clean end");
    assert_eq!(reading.await.expect("an answer").status, 200);
    for answer in working {
        assert_eq!(answer.await.expect("an answer").status, 200);
    }
}

/// Terminates the backend that waits for the row, so that its answer never comes. Returns whether its statement was inside a
/// transaction: PostgreSQL starts the transaction of a single statement with the statement itself.
async fn terminate_waiting(lab: &Lab) {
    let mut connection = lab.connection().await;
    let terminate = "select pg_terminate_backend(pid) from pg_stat_activity \
                     where datname = current_database() and wait_event_type = 'Lock'";
    let terminated: bool = sqlx::query_scalar(terminate).fetch_one(&mut connection).await.expect("a waiting session");
    assert!(terminated);
}

#[tokio::test]
async fn a_lost_answer_is_504_only_if_the_statement_could_have_committed() {
    // The statement that waits for the row either commits by itself or runs inside a transaction. For these approaches it is known which:
    let known = [
        (Approach::Naive, 504),
        (Approach::ReadCommitted, 503),
        (Approach::AtomicReturning, 504),
        (Approach::CheckConstraint, 504),
        (Approach::Pessimistic, 503),
        (Approach::OptimisticVersion, 504),
        (Approach::AdvisoryLock, 503),
        (Approach::RepeatableRead, 503),
        (Approach::Serializable, 503),
        (Approach::StoredFunction, 504),
        (Approach::InProcessMutex, 504),
        (Approach::GroupCommit, 503),
    ];
    assert!(known.iter().all(|(known, _)| offering(Workload::Balance).any(|approach| approach == *known)), "{known:?}");
    let lab = Lab::start().await;
    for approach in offering(Workload::Balance) {
        let holder = hold_row(&lab).await;
        let change = spawn_change(&lab, approach);
        eventually("the change waits for the row", async || waiting_for_locks(&lab).await == 1).await;
        terminate_waiting(&lab).await;
        let answer = change.await.expect("an answer");
        let status = answer.status.as_u16();
        let expected = match known.iter().find(|(known, _)| *known == approach) {
            Some((_, known)) => vec![*known],
            None => vec![503, 504],
        };
        assert!(expected.contains(&status), "{approach}: {status} {}", answer.body);
        if status == 504 {
            answer.expect(504, r#"{"error":"Outcome unknown"}"#);
            assert_eq!(answer.header("retry-after"), None, "repeating it might do it twice");
        }
        holder.close().await.expect("a clean end");
        let next = lab.patch(approach, r#"{"userId":1,"amount":0}"#).await;
        assert_eq!(next.status, 200, "{approach}: the pool still works: {}", next.body);
    }
}

#[tokio::test]
async fn a_request_that_times_out_gets_504_and_its_operation_still_completes() {
    let limits = Limits { request_timeout: Duration::from_millis(300), ..Limits::default() };
    let lab = Lab::with(Setup { limits, ..Setup::default() }).await;
    let holder = hold_row(&lab).await;
    lab.patch(Approach::Pessimistic, WITHDRAW).await.expect(504, r#"{"error":"Outcome unknown"}"#);
    holder.close().await.expect("a clean end");
    eventually("the operation commits", async || lab.account(1).await.balance == 9998).await;
    assert_eq!(lab.account(1).await.version, 2);
}

#[tokio::test]
async fn optimistic_version_gives_up_with_503_when_it_conflicts_until_its_deadline() {
    let retry =
        concurrency_lab::config::RetryPolicy { deadline: Duration::from_millis(200), ..Limits::default().retry };
    let lab = Lab::with(Setup { limits: Limits { retry, ..Limits::default() }, ..Setup::default() }).await;
    // Another session raises the version between each read and write. The think time leaves time for that.
    let mut competitor = lab.connection().await;
    let stop = tokio_util::sync::CancellationToken::new();
    let racing = tokio::spawn({
        let stop = stop.clone();
        async move {
            while !stop.is_cancelled() {
                competitor.execute("update users set version = version + 1 where id = 1").await.expect("an update");
            }
        }
    });
    let answer = Answer::of(lab.change(Approach::OptimisticVersion, WITHDRAW).header("lab-think-time", "20")).await;
    stop.cancel();
    racing.await.expect("the competitor ends");
    answer.expect(503, r#"{"error":"Too much contention: the version changed each time"}"#);
    let attempts: u32 = answer.header("lab-attempts").expect("attempts").parse().expect("a number");
    assert!(attempts > 1, "it made {attempts} attempts");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(lab.account(1).await.balance, 10_000);
}

#[tokio::test]
async fn after_all_connections_are_terminated_at_most_one_request_fails() {
    let lab = Lab::start().await;
    let holder = hold_row(&lab).await;
    let working: Vec<_> = (0..4).map(|_| spawn_change(&lab, Approach::Pessimistic)).collect();
    eventually("four connections are open", async || waiting_for_locks(&lab).await == 4).await;
    holder.close().await.expect("a clean end");
    for answer in working {
        assert_eq!(answer.await.expect("an answer").status, 200);
    }
    assert!(lab.engine.server().database().pool().status().open >= 4);
    let mut connection = lab.connection().await;
    let terminate = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                     where datname = current_database() and pid <> pg_backend_pid()";
    let terminated: i64 = sqlx::query_scalar(terminate).fetch_one(&mut connection).await.expect("a count");
    assert!(terminated >= 4);
    let mut failed = 0;
    for _ in 0..8 {
        let answer = lab.patch(Approach::Pessimistic, WITHDRAW).await;
        assert!(answer.status == 200 || answer.status == 503, "{}", answer.body);
        failed += u32::from(answer.status == 503);
    }
    assert!(failed <= 1, "{failed} requests failed on dead connections");
}
