//! How a batch of group-commit fails: with its queue, its commit, a deadlock, a locked row, and changes that the database refuses.

use std::time::Duration;

use concurrency_lab::config::Limits;
use concurrency_lab::database::seed::Seed;
use concurrency_lab::strategy::Approach;
use reqwest::Method;
use serde_json::json;
use sqlx::{Connection, Executor};

use super::group_commit::{BASE, change, hold, lab, number, spawn, together, waits_for_a_lock};
use crate::common::{Lab, Setup, eventually};

#[tokio::test]
async fn a_request_gets_503_when_the_batch_queue_is_full() {
    let lab = Lab::with(Setup { limits: Limits { queue: 2, ..Limits::default() }, ..Setup::default() }).await;
    let holder = hold(&lab, "begin; select from users where id = 1 for update").await;
    let ask = || spawn(lab.change(Approach::GroupCommit, r#"{"userId":1,"amount":-2}"#));
    let batches = lab.engine.batches();
    let mut pending = vec![ask()];
    eventually("a batch is under way", async || waits_for_a_lock(&lab).await).await;
    for waiting in 1..=2 {
        pending.push(ask());
        eventually("it waits", async || batches.waiting() == waiting).await;
    }
    let rejected = ask().await.expect("an answer");
    rejected.expect(503, r#"{"error":"Too many requests waiting"}"#);
    assert_eq!(rejected.header("retry-after"), Some("1"));
    holder.close().await.expect("a clean end");
    for answer in pending {
        assert_eq!(answer.await.expect("an answer").status, 200);
    }
    assert_eq!(lab.account(1).await.balance, 9_994);
    assert_eq!(batches.waiting(), 0);
}

#[tokio::test]
async fn a_request_that_waits_too_long_for_a_batch_gets_503_and_changes_nothing() {
    let limits = Limits { queue_wait: Duration::from_millis(300), ..Limits::default() };
    let lab = Lab::with(Setup { limits, ..Setup::default() }).await;
    let holder = hold(&lab, "begin; select from users where id = 1 for update").await;
    let ask = || spawn(lab.change(Approach::GroupCommit, r#"{"userId":1,"amount":-2}"#));
    let first = ask();
    eventually("a batch is under way", async || waits_for_a_lock(&lab).await).await;
    let late = ask();
    tokio::time::sleep(Duration::from_millis(400)).await;
    holder.close().await.expect("a clean end");
    first.await.expect("an answer").expect(200, r#"{"balance":9998}"#);
    late.await.expect("an answer").expect(503, r#"{"error":"Waited too long for a batch"}"#);
    assert_eq!(lab.account(1).await.balance, 9_998);
}

/// A trigger that runs within COMMIT ends the connection there, so the outcome is unknown for the whole batch. A
/// refused request has certainly changed nothing.
#[tokio::test]
async fn a_lost_answer_of_commit_gives_504_to_every_request_of_the_batch_that_changed_something() {
    let lab = lab().await;
    let kill_in_commit = "create function die() returns trigger language plpgsql as \
                              'begin perform pg_terminate_backend(pg_backend_pid()); return null; end'; \
                          create constraint trigger die after update on users deferrable initially deferred \
                              for each row when (new.id = 2) execute function die()";
    lab.connection().await.execute(kill_in_commit).await.expect("a trigger");
    let answers = together(&lab, &[change(1, -1), change(3, -9999), change(2, 1), change(999, 1)]).await;
    for (number, status) in [(0, 504), (1, 503), (2, 504), (3, 503)] {
        assert_eq!(answers[number].status.as_u16(), status, "{number}: {}", answers[number].body);
    }
    answers[0].expect(504, r#"{"error":"Outcome unknown"}"#);
    assert_eq!((lab.account(1).await.version, lab.account(2).await.version), (1, 1), "the batch was not committed");
    assert_eq!(
        lab.patch(Approach::GroupCommit, r#"{"userId":1,"amount":-1}"#).await.status,
        200,
        "the next request succeeds"
    );
}

#[tokio::test]
async fn a_batch_that_loses_a_deadlock_is_retried() {
    let lab = lab().await;
    let mut holder = hold(&lab, "begin; select from users where id = 2 for update").await;
    // The batch locks user 1 and waits for user 2.
    let moved = spawn(lab.json(Method::POST, &format!("{BASE}/transfer"), r#"{"from":2,"to":1,"amount":5}"#));
    eventually("the batch waits", async || waits_for_a_lock(&lab).await).await;
    // Now the two wait for each other. The session with the shorter deadlock_timeout detects the deadlock first and is
    // aborted.
    holder
        .execute("set deadlock_timeout = '1min'; select from users where id = 1 for update")
        .await
        .expect("both rows");
    holder.execute("commit").await.expect("a commit");
    let moved = moved.await.expect("an answer");
    let attempts: u32 = moved.header("lab-attempts").and_then(|attempts| attempts.parse().ok()).expect("a number");
    assert!(moved.status == 200 && attempts >= 2, "{moved:?}");
    assert_eq!((lab.account(1).await.balance, lab.account(2).await.balance), (5_005, 9_995));
}

#[tokio::test]
async fn a_locked_row_gives_503_to_the_requests_for_it_and_its_neighbours_wait_once() {
    let limits = Limits { lock_timeout: Duration::from_millis(300), ..Limits::default() };
    let lab = Lab::with(Setup { seed: Seed::Transfer, limits, ..Setup::default() }).await;
    let holder = hold(&lab, "begin; select from users where id in (1, 2) for update").await;
    let ask = |user: i64| spawn(lab.change(Approach::GroupCommit, &json!({"userId": user, "amount": 1}).to_string()));
    let first = ask(1);
    eventually("a batch is under way", async || waits_for_a_lock(&lab).await).await;
    let second: Vec<_> = (2..=9).map(ask).collect();
    first.await.expect("an answer").expect(503, r#"{"error":"Lock timeout"}"#);
    for (user, answer) in (2..).zip(second) {
        let answer = answer.await.expect("an answer");
        match user {
            2 => answer.expect(503, r#"{"error":"Lock timeout"}"#),
            _ => assert_eq!(answer.status, 200, "{user}: {}", answer.body),
        }
    }
    holder.close().await.expect("a clean end");
    for user in 1..=9 {
        assert_eq!(lab.account(user).await.version, if user < 3 { 1 } else { 2 }, "{user}");
    }
}

/// The change that a trigger refuses is in the middle of a batch.
#[tokio::test]
async fn a_change_that_a_trigger_refuses_does_not_affect_its_neighbours() {
    let lab = lab().await;
    let refuse = "create function refuse() returns trigger language plpgsql as \
                      $$ begin if new.id = 5 then raise exception 'not this one'; end if; return new; end $$; \
                  create trigger refuse before update on users for each row execute function refuse()";
    lab.connection().await.execute(refuse).await.expect("a trigger");
    let changes: Vec<_> = (1..=9).map(|user| change(user, -1)).collect();
    for (user, answer) in (1..).zip(together(&lab, &changes).await) {
        let expected = if user == 5 { 500 } else { 200 };
        assert_eq!(answer.status.as_u16(), expected, "{user}: {}", answer.body);
        assert_eq!(lab.account(user).await.version, if user == 5 { 1 } else { 2 }, "{user}");
    }
}

/// Each change of a batch is refused by the database: the batch is not divided without end.
#[tokio::test]
async fn a_batch_of_which_no_change_can_be_made_answers_each_request() {
    let lab = lab().await;
    let refuse = "create function refuse() returns trigger language plpgsql as \
                      $$ begin raise exception 'read-only today'; end $$; \
                  create trigger refuse before update on users for each row when (new.id <> 90) execute function refuse()";
    lab.connection().await.execute(refuse).await.expect("a trigger");
    let changes: Vec<_> = (1..=60).map(|user| change(user, -1)).collect();
    let answers = together(&lab, &changes).await;
    // After many failures the rest is no longer divided: nothing was done.
    assert!(answers.iter().all(|answer| [500, 503].contains(&answer.status.as_u16())), "{answers:?}");
    assert!(answers[..10].iter().all(|answer| answer.status == 500), "{answers:?}");
    assert_eq!(number(&lab, "select count(*) from users where version > 1 and id <> 90").await, 0);
}
