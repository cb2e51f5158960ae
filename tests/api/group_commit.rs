//! group-commit: who arrives during a transaction shares the next one, and each gets the answer it would have got alone.

use std::collections::HashSet;
use std::time::Duration;

use concurrency_lab::config::Limits;
use concurrency_lab::database::seed::Seed;
use concurrency_lab::strategy::Approach;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};
use tokio::task::JoinHandle;

use crate::common::{Answer, Lab, Setup, eventually};

const BASE: &str = "/approach/group-commit";

fn change(user: i64, amount: i64) -> (Method, &'static str, Value) {
    (Method::PATCH, "balance", json!({"userId": user, "amount": amount}))
}

fn transfer(from: i64, to: i64, amount: i64) -> (Method, &'static str, Value) {
    (Method::POST, "transfer", json!({"from": from, "to": to, "amount": amount}))
}

fn book(event: i64, user: i64) -> (Method, &'static str, Value) {
    (Method::POST, "bookings", json!({"eventId": event, "userId": user}))
}

fn increment() -> (Method, &'static str, Value) {
    (Method::POST, "counters/1/increment", json!({}))
}

/// Somebody else's transaction, in which these statements have been carried out.
async fn hold(lab: &Lab, statements: &'static str) -> PgConnection {
    let mut holder = lab.connection().await;
    holder.execute(statements).await.expect(statements);
    holder
}

fn spawn(request: RequestBuilder) -> JoinHandle<Answer> {
    tokio::spawn(Answer::of(request))
}

/// Requests that share one batch, in this order: while another request's batch waits for a row that somebody holds, they
/// join the queue one by one.
async fn together(lab: &Lab, requests: &[(Method, &str, Value)]) -> Vec<Answer> {
    let holder = hold(lab, "begin; select from users where id = 90 for update").await;
    let first = spawn(lab.json(Method::PATCH, &format!("{BASE}/balance"), r#"{"userId":90,"amount":0}"#));
    let batches = lab.engine.database().batches();
    eventually("a batch is under way", async || waits_for_a_lock(lab).await).await;
    let mut asked = Vec::new();
    for (method, path, body) in requests {
        let before = batches.waiting();
        asked.push(spawn(lab.json(method.clone(), &format!("{BASE}/{path}"), &body.to_string())));
        eventually("the request waits for the next batch", async || batches.waiting() == before + 1).await;
    }
    assert_eq!(lab.engine.database().pool().status().open, 1, "none of those who wait has a connection");
    holder.close().await.expect("a clean end");
    assert_eq!(first.await.expect("an answer").status, 200);
    let mut answers = Vec::new();
    for answer in asked {
        answers.push(answer.await.expect("an answer"));
    }
    answers
}

async fn waits_for_a_lock(lab: &Lab) -> bool {
    let waits =
        "select count(*) = 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    sqlx::query_scalar(waits).fetch_one(&mut lab.connection().await).await.expect("an answer")
}

/// Accounts as of seed transfer, with the events and the counter beside them.
async fn lab() -> Lab {
    let lab = Lab::with(Setup { seed: Seed::Transfer, ..Setup::default() }).await;
    let rows = "insert into events (id, name, capacity) values (1, 'one', 1), (2, 'many', 100); \
                insert into counters (id, value) values (1, 1)";
    lab.connection().await.execute(rows).await.expect("rows");
    lab
}

async fn number(lab: &Lab, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(&mut lab.connection().await).await.expect("a row")
}

#[tokio::test]
async fn all_workloads_share_a_transaction_and_each_is_answered_as_if_alone_in_the_order_of_arrival() {
    let lab = lab().await;
    let requests = [
        (change(1, -4000), 200, json!({"balance": 1000})),
        (transfer(1, 2, 1001), 409, json!({"error": "Insufficient funds"})),
        (change(999, 1), 404, json!({"error": "User not found"})),
        (
            transfer(2, 1, 500),
            200,
            json!({"from": {"userId": 2, "balance": 9500}, "to": {"userId": 1, "balance": 1500}}),
        ),
        (
            transfer(1, 2, 1001),
            200,
            json!({"from": {"userId": 1, "balance": 499}, "to": {"userId": 2, "balance": 10501}}),
        ),
        (increment(), 200, json!({"value": 2})),
        (change(1, -500), 409, json!({"error": "Insufficient funds"})),
        (book(1, 999), 404, json!({"error": "User not found"})),
        (book(1, 7), 201, Value::Null),
        (book(1, 7), 409, json!({"error": "Already booked"})),
        (book(1, 8), 409, json!({"error": "Sold out"})),
        (book(2, 7), 201, Value::Null),
        (increment(), 200, json!({"value": 3})),
        (change(3, 9_223_372_036_854_775_807), 409, json!({"error": "Balance out of range"})),
        (change(1, -499), 200, json!({"balance": 0})),
    ];
    let answers = together(&lab, &requests.clone().map(|(request, ..)| request)).await;
    for (number, ((request, status, body), answer)) in requests.iter().zip(&answers).enumerate() {
        assert_eq!(answer.status.as_u16(), *status, "{number}: {request:?}: {}", answer.body);
        if !body.is_null() {
            assert_eq!(answer.json(), *body, "{number}: {request:?}");
        }
        assert_eq!(answer.header("lab-attempts"), Some("1"), "{number}");
    }
    let versions: Vec<_> = [0, 3, 4, 14].map(|number: usize| answers[number].header("lab-versions")).into();
    let expected = ["users/1=2", "users/2=2, users/1=3", "users/1=4, users/2=3", "users/1=5"].map(Some);
    assert_eq!(versions, expected, "each change has a version of its own");
    assert_eq!((lab.account(1).await.balance, lab.account(1).await.version), (0, 5));
    assert_eq!(lab.account(2).await.version, 3);

    let one = number(&lab, "select xmin::text::bigint from users where id = 1").await;
    for other in [
        "select xmin::text::bigint from users where id = 2",
        "select xmin::text::bigint from counters where id = 1",
        "select min(xmin::text::bigint) from bookings",
        "select max(xmin::text::bigint) from bookings",
        "select xmin::text::bigint from events where id = 2",
    ] {
        assert_eq!(number(&lab, other).await, one, "{other}: one transaction");
    }
}

#[tokio::test]
async fn a_batch_of_refusals_only_writes_nothing() {
    let lab = lab().await;
    let before = number(&lab, "select xmin::text::bigint from users where id = 1").await;
    for answer in together(&lab, &[change(1, -9999), change(1, -9999), book(9, 1), transfer(1, 999, 1)]).await {
        assert!(answer.status == 409 || answer.status == 404, "{answer:?}");
    }
    assert_eq!(number(&lab, "select xmin::text::bigint from users where id = 1").await, before);
    assert_eq!(lab.account(1).await.version, 1);
}

#[tokio::test]
async fn seats_given_back_and_booked_again_share_a_batch() {
    let lab = lab().await;
    let made = lab.post(&format!("{BASE}/bookings"), r#"{"eventId":1,"userId":7}"#).await.json();
    let path = format!("bookings/{}", made["bookingId"].as_str().expect("an id"));
    let cancel = (Method::DELETE, path.as_str(), json!({}));
    let answers = together(&lab, &[book(1, 8), cancel.clone(), cancel, book(1, 8), book(1, 9)]).await;
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses, [409, 204, 404, 201, 409]);
    let event = lab.get(&format!("{BASE}/events/1")).await.json();
    assert_eq!((&event["booked"], &event["bookings"][0]["userId"]), (&json!(1), &json!(8)));
    assert_eq!(answers[3].header("lab-versions"), Some("events/1=4"), "booked, given back, booked");
}

#[tokio::test]
async fn beyond_its_queue_requests_are_turned_away() {
    let lab = Lab::with(Setup { limits: Limits { queue: 2, ..Limits::default() }, ..Setup::default() }).await;
    let holder = hold(&lab, "begin; select from users where id = 1 for update").await;
    let ask = || spawn(lab.change(Approach::GroupCommit, r#"{"userId":1,"amount":-2}"#));
    let batches = lab.engine.database().batches();
    let mut asked = vec![ask()];
    eventually("a batch is under way", async || waits_for_a_lock(&lab).await).await;
    for waiting in 1..=2 {
        asked.push(ask());
        eventually("it waits", async || batches.waiting() == waiting).await;
    }
    let turned_away = ask().await.expect("an answer");
    turned_away.expect(503, r#"{"error":"Too many requests waiting"}"#);
    assert_eq!(turned_away.header("retry-after"), Some("1"));
    holder.close().await.expect("a clean end");
    for answer in asked {
        assert_eq!(answer.await.expect("an answer").status, 200);
    }
    assert_eq!(lab.account(1).await.balance, 9_994);
    assert_eq!(batches.waiting(), 0);
}

#[tokio::test]
async fn a_request_that_waits_too_long_for_a_batch_is_not_made() {
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

/// A trigger that runs within COMMIT ends the connection there: nobody in the batch can know. Whoever was refused has
/// certainly changed nothing.
#[tokio::test]
async fn a_batch_whose_commit_is_not_answered_is_unknown_to_all_who_changed_something() {
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
    assert_eq!((lab.account(1).await.version, lab.account(2).await.version), (1, 1), "it was not committed");
    assert_eq!(lab.patch(Approach::GroupCommit, r#"{"userId":1,"amount":-1}"#).await.status, 200, "it goes on");
}

#[tokio::test]
async fn a_batch_that_loses_a_deadlock_is_made_again() {
    let lab = lab().await;
    let mut holder = hold(&lab, "begin; select from users where id = 2 for update").await;
    // It locks user 1 and waits for user 2 …
    let moved = spawn(lab.json(Method::POST, &format!("{BASE}/transfer"), r#"{"from":2,"to":1,"amount":5}"#));
    eventually("the batch waits", async || waits_for_a_lock(&lab).await).await;
    // … and now whoever notices first is the victim: whose timeout is shorter.
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
async fn a_lock_timeout_is_told_to_the_whole_batch_and_nothing_is_changed() {
    let limits = Limits { lock_timeout: Duration::from_millis(300), ..Limits::default() };
    let lab = Lab::with(Setup { seed: Seed::Transfer, limits, ..Setup::default() }).await;
    let holder = hold(&lab, "begin; select from users where id in (1, 2) for update").await;
    let ask = |user: i64| spawn(lab.change(Approach::GroupCommit, &json!({"userId": user, "amount": 1}).to_string()));
    let first = ask(1);
    eventually("a batch is under way", async || waits_for_a_lock(&lab).await).await;
    let second = [ask(2), ask(3)];
    first.await.expect("an answer").expect(503, r#"{"error":"Lock timeout"}"#);
    for answer in second {
        answer.await.expect("an answer").expect(503, r#"{"error":"Lock timeout"}"#);
    }
    holder.close().await.expect("a clean end");
    assert_eq!(lab.account(3).await.version, 1);
}

/// More than one batch takes, all waiting together: a batch is as large as allowed, and every change has its own answer.
#[tokio::test(flavor = "multi_thread")]
async fn large_crowds_are_cut_into_batches() {
    let limits = Limits { batch_size: 50, ..Limits::default() };
    let lab = Lab::with(Setup { limits, ..Setup::default() }).await;
    let count_writes = "create table writes (); \
                        create function count_write() returns trigger language plpgsql as \
                            'begin insert into writes default values; return null; end'; \
                        create trigger count_writes after update on users execute function count_write()";
    lab.connection().await.execute(count_writes).await.expect("a trigger");
    let holder = hold(&lab, "begin; select from users where id = 1 for update").await;
    let ask = || spawn(lab.change(Approach::GroupCommit, r#"{"userId":1,"amount":-2}"#));
    let mut asked = vec![ask()];
    eventually("a batch is under way", async || waits_for_a_lock(&lab).await).await;
    asked.extend((0..480).map(|_| ask()));
    eventually("all others wait", async || lab.engine.database().batches().waiting() == 480).await;
    holder.close().await.expect("a clean end");
    let mut balances = HashSet::new();
    for answer in asked {
        balances.insert(answer.await.expect("an answer").json()["balance"].as_i64().expect("a balance"));
    }
    assert_eq!(balances, (1..=481).map(|made| 10_000 - 2 * made).collect());
    assert_eq!(number(&lab, "select count(*) from writes").await, 11, "one alone, then 480 by 50");
}

/// The writer decides on what it remembers; whatever somebody else does to the rows, also so that their versions start again,
/// the answers are those of the rows as they are.
#[tokio::test]
async fn what_the_writer_remembers_is_never_believed_unseen() {
    let lab = lab().await;
    let rounds: [(&'static str, &str, i64); 5] = [
        ("select 1", "with batch as", 4_990),
        ("update users set balance = 100, version = version + 1 where id = 1", "commit", 90),
        // The version that the writer saw last, with another balance; then the balance, with another version.
        ("update users set balance = 200 where id = 1", "commit", 190),
        ("update users set version = 1 where id = 1", "commit", 180),
        ("delete from users where id = 1; insert into users (id, name, balance) values (1, 'anew', 50)", "commit", 40),
    ];
    let ask = |user, amount| {
        let body = json!({"userId": user, "amount": amount}).to_string();
        spawn(lab.change(Approach::GroupCommit, &body))
    };
    let batches = lab.engine.database().batches();
    for (meddling, last_statement, expected) in rounds {
        let first_holder = hold(&lab, "begin; select from users where id = 1 for update").await;
        let second_holder = hold(&lab, "begin; select from users where id = 90 for update").await;
        // The first batch is about user 1, whom the writer then knows; the second one keeps it busy …
        let first = ask(1, 0);
        eventually("a batch is under way", async || waits_for_a_lock(&lab).await).await;
        let second = ask(90, 0);
        eventually("the next one waits", async || batches.waiting() == 1).await;
        first_holder.close().await.expect("a clean end");
        assert_eq!(first.await.expect("an answer").status, 200);
        // … until somebody else has been there; the third one is about user 1 again.
        let third = ask(1, -10);
        eventually("the third one waits", async || batches.waiting() == 1).await;
        lab.connection().await.execute(meddling).await.expect(meddling);
        second_holder.close().await.expect("a clean end");
        assert_eq!(second.await.expect("an answer").status, 200);
        let third = third.await.expect("an answer");
        third.expect(200, &format!(r#"{{"balance":{expected}}}"#));
        let row = lab.account(1).await;
        let version = format!("\"{}\"", row.version);
        assert_eq!((row.balance, third.header("etag")), (expected, Some(&*version)), "{meddling}");
        let last = "select query from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() \
                    and application_name = 'concurrency-lab'";
        let last: String = sqlx::query_scalar(last).fetch_one(&mut lab.connection().await).await.expect("the writer's");
        assert!(last.starts_with(last_statement), "{meddling}: {last}");
    }
}
