//! group-commit: requests that arrive during a transaction share the next one, and each gets the answer that it would
//! have got alone.

use std::collections::HashSet;

use concurrency_lab::config::Limits;
use concurrency_lab::database::seed::Seed;
use concurrency_lab::strategy::Approach;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::common::{Answer, Lab, Setup, eventually, waiting_for_locks};

pub const BASE: &str = "/approach/group-commit";

pub fn change(user: i64, amount: i64) -> (Method, &'static str, Value) {
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

/// Another session's transaction, in which these statements have been executed.
pub async fn hold(lab: &Lab, statements: &'static str) -> PgConnection {
    let mut holder = lab.connection().await;
    holder.execute(statements).await.expect(statements);
    holder
}

pub fn spawn(request: RequestBuilder) -> JoinHandle<Answer> {
    tokio::spawn(Answer::of(request))
}

/// Sends requests that share one batch, in this order.
pub async fn together(lab: &Lab, requests: &[(Method, &str, Value)]) -> Vec<Answer> {
    let ask = |(method, path, body): &(Method, &str, Value)| {
        lab.json(method.clone(), &format!("{BASE}/{path}"), &body.to_string())
    };
    in_one_batch(lab, requests.iter().map(ask).collect(), async || ()).await
}

/// While the batch of another request waits for a locked row, the requests join the queue one by one. `meanwhile` runs
/// before their batch.
pub async fn in_one_batch(lab: &Lab, requests: Vec<RequestBuilder>, meanwhile: impl AsyncFnOnce()) -> Vec<Answer> {
    let holder = hold(lab, "begin; select from users where id = 90 for update").await;
    let first = spawn(lab.json(Method::PATCH, &format!("{BASE}/balance"), r#"{"userId":90,"amount":0}"#));
    let batches = lab.engine.batches();
    eventually("a batch is under way", async || waits_for_a_lock(lab).await).await;
    let mut pending = Vec::new();
    for request in requests {
        let before = batches.waiting();
        pending.push(spawn(request));
        eventually("the request waits for the next batch", async || batches.waiting() == before + 1).await;
    }
    assert_eq!(lab.engine.server().database().pool().status().open, 1, "no waiting request has a connection");
    meanwhile().await;
    holder.close().await.expect("a clean end");
    assert_eq!(first.await.expect("an answer").status, 200);
    let mut answers = Vec::new();
    for answer in pending {
        answers.push(answer.await.expect("an answer"));
    }
    answers
}

pub async fn waits_for_a_lock(lab: &Lab) -> bool {
    waiting_for_locks(lab).await == 1
}

/// A server with the accounts of the seed transfer, two events and a counter.
pub async fn lab() -> Lab {
    let lab = Lab::with(Setup { seed: Seed::Transfer, ..Setup::default() }).await;
    let rows = "insert into events (id, name, capacity) values (1, 'one', 1), (2, 'many', 100); \
                insert into counters (id, value) values (1, 1)";
    lab.connection().await.execute(rows).await.expect("rows");
    lab
}

pub async fn number(lab: &Lab, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(&mut lab.connection().await).await.expect("a row")
}

#[tokio::test]
async fn all_workloads_share_a_transaction_and_each_request_is_answered_as_if_alone_in_the_order_of_arrival() {
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
async fn a_batch_with_only_refusals_writes_nothing() {
    let lab = lab().await;
    let before = number(&lab, "select xmin::text::bigint from users where id = 1").await;
    for answer in together(&lab, &[change(1, -9999), change(1, -9999), book(9, 1), transfer(1, 999, 1)]).await {
        assert!(answer.status == 409 || answer.status == 404, "{answer:?}");
    }
    assert_eq!(number(&lab, "select xmin::text::bigint from users where id = 1").await, before);
    assert_eq!(lab.account(1).await.version, 1);
}

#[tokio::test]
async fn a_cancellation_and_a_new_booking_of_the_seat_share_a_batch() {
    let lab = lab().await;
    let made = lab.post(&format!("{BASE}/bookings"), r#"{"eventId":1,"userId":7}"#).await.json();
    let path = format!("bookings/{}", made["bookingId"].as_str().expect("an id"));
    let cancel = (Method::DELETE, path.as_str(), json!({}));
    let answers = together(&lab, &[book(1, 8), cancel.clone(), cancel, book(1, 8), book(1, 9)]).await;
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses, [409, 204, 404, 201, 409]);
    let event = lab.get(&format!("{BASE}/events/1")).await.json();
    assert_eq!((&event["booked"], &event["bookings"][0]["userId"]), (&json!(1), &json!(8)));
    assert_eq!(answers[3].header("lab-versions"), Some("events/1=4"), "booked, cancelled, booked");
}

/// More requests wait than one batch may have. Each batch is as large as allowed, and every change has its own answer.
#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_a_batch_may_have_are_split_into_batches() {
    let limits = Limits { batch_size: 50, ..Limits::default() };
    let lab = Lab::with(Setup { limits, ..Setup::default() }).await;
    let count_writes = "create table writes (); \
                        create function count_write() returns trigger language plpgsql as \
                            'begin insert into writes default values; return null; end'; \
                        create trigger count_writes after update on users execute function count_write()";
    lab.connection().await.execute(count_writes).await.expect("a trigger");
    let holder = hold(&lab, "begin; select from users where id = 1 for update").await;
    let ask = || spawn(lab.change(Approach::GroupCommit, r#"{"userId":1,"amount":-2}"#));
    let mut pending = vec![ask()];
    eventually("a batch is under way", async || waits_for_a_lock(&lab).await).await;
    pending.extend((0..480).map(|_| ask()));
    eventually("all other requests wait", async || lab.engine.batches().waiting() == 480).await;
    holder.close().await.expect("a clean end");
    let mut balances = HashSet::new();
    for answer in pending {
        balances.insert(answer.await.expect("an answer").json()["balance"].as_i64().expect("a balance"));
    }
    assert_eq!(balances, (1..=481).map(|made| 10_000 - 2 * made).collect());
    assert_eq!(number(&lab, "select count(*) from writes").await, 11, "one request alone, then 480 in batches of 50");
}

/// One batch about users 1 and 2, whose balances the writer knows from an earlier batch. `meanwhile` runs between the
/// two.
async fn as_remembered(lab: &Lab, requests: &[(Method, &str, Value)], meanwhile: &'static str) -> Vec<Answer> {
    let batches = lab.engine.batches();
    let ask = |(method, path, body): &(Method, &str, Value)| {
        spawn(lab.json(method.clone(), &format!("{BASE}/{path}"), &body.to_string()))
    };
    let queued = async |waiting: usize| {
        eventually("the requests wait for a batch", async || batches.waiting() == waiting).await;
    };
    let [first, second, third] = [
        hold(lab, "begin; select from users where id = 80 for update").await,
        hold(lab, "begin; select from users where id = 1 for update").await,
        hold(lab, "begin; select from users where id = 90 for update").await,
    ];
    // The second batch forms behind the first and concerns both users. The third batch forms behind the second and
    // keeps the writer running, because a writer that ends loses what it knows.
    let mut before = vec![spawn(lab.change(Approach::GroupCommit, r#"{"userId":80,"amount":0}"#))];
    eventually("a batch is under way", async || waits_for_a_lock(lab).await).await;
    before.push(ask(&change(1, 0)));
    queued(1).await;
    before.push(ask(&change(2, 0)));
    queued(2).await;
    first.close().await.expect("a clean end");
    queued(0).await;
    before.push(ask(&change(90, 0)));
    queued(1).await;
    second.close().await.expect("a clean end");
    queued(0).await;
    let mut pending = Vec::new();
    for (number, request) in requests.iter().enumerate() {
        pending.push(ask(request));
        queued(number + 1).await;
    }
    lab.connection().await.execute(meanwhile).await.expect(meanwhile);
    third.close().await.expect("a clean end");
    let mut answers = Vec::new();
    for answer in before {
        assert_eq!(answer.await.expect("an answer").status, 200);
    }
    for answer in pending {
        answers.push(answer.await.expect("an answer"));
    }
    answers
}

/// The last statement that the writer sent.
async fn last_statement(lab: &Lab) -> String {
    let last = "select query from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() \
                and application_name = 'concurrency-lab'";
    sqlx::query_scalar(last).fetch_one(&mut lab.connection().await).await.expect("the writer's")
}

fn seen(answers: &[Answer]) -> Vec<(u16, &str)> {
    answers.iter().map(|answer| (answer.status.as_u16(), answer.body.as_str())).collect()
}

#[tokio::test]
async fn a_batch_about_known_balances_is_written_by_one_statement() {
    let lab = lab().await;
    let requests = [change(1, -4_999), transfer(1, 2, 2), transfer(2, 1, 9), change(1, -10)];
    let answers = as_remembered(&lab, &requests, "select 1").await;
    let both = r#"{"from":{"userId":2,"balance":9991},"to":{"userId":1,"balance":10}}"#;
    let poor = r#"{"error":"Insufficient funds"}"#;
    let expected = [(200, r#"{"balance":1}"#), (409, poor), (200, both), (200, r#"{"balance":0}"#)];
    assert_eq!(seen(&answers), expected);
    assert!(last_statement(&lab).await.starts_with("with batch as"), "one statement compared and set the rows");
    assert_eq!((lab.account(1).await.balance, lab.account(1).await.version), (0, 5));
    assert_eq!((lab.account(2).await.balance, lab.account(2).await.version), (9_991, 3));
}

/// Another session changes one of the rows, in one case so that the versions start again. All answers follow from the
/// current rows, and nothing that rests on the known values is written.
#[tokio::test]
async fn a_known_balance_that_has_changed_meanwhile_is_never_used() {
    for (meanwhile, balances) in [
        ("update users set balance = 100, version = version + 1 where id = 1", (90, 9_999)),
        // The version that the writer saw, with another balance; then the balance, with another version.
        ("update users set balance = 200 where id = 1", (190, 9_999)),
        ("update users set version = 1 where id = 1", (4_990, 9_999)),
        ("update users set balance = 5, version = 3 where id = 2", (4_990, 4)),
        ("update users set balance = 0 where id = 1", (0, 9_999)),
    ] {
        let lab = lab().await;
        let answers = as_remembered(&lab, &[change(1, -10), change(2, -1)], meanwhile).await;
        let refused = balances.0 == 0;
        assert_eq!(answers[0].status.as_u16(), if refused { 409 } else { 200 }, "{meanwhile}: {:?}", answers[0]);
        assert_eq!(answers[1].json(), json!({"balance": balances.1}), "{meanwhile}");
        assert_eq!(last_statement(&lab).await, "commit", "{meanwhile}: the batch started again with the locks");
        let (one, two) = (lab.account(1).await, lab.account(2).await);
        assert_eq!((one.balance, two.balance), balances, "{meanwhile}");
        let version = format!("\"{}\"", two.version);
        assert_eq!(answers[1].header("etag"), Some(&*version), "{meanwhile}");
    }
}

/// A refusal also rests on known values, so the row of a refused request is compared too.
#[tokio::test]
async fn a_refusal_never_rests_on_a_balance_that_has_changed_meanwhile() {
    let lab = lab().await;
    let rich = "update users set balance = 99999, version = version + 1 where id = 1";
    let answers = as_remembered(&lab, &[change(1, -50_000), change(2, -1)], rich).await;
    assert_eq!(seen(&answers), [(200, r#"{"balance":49999}"#), (200, r#"{"balance":9999}"#)]);
}

#[tokio::test]
async fn a_lost_answer_of_the_single_statement_gives_504_too() {
    let lab = lab().await;
    let kill_at_the_end = "create function die() returns trigger language plpgsql as \
                               'begin perform pg_terminate_backend(pg_backend_pid()); return null; end'; \
                           create constraint trigger die after update on users deferrable initially deferred \
                               for each row when (new.balance = 7) execute function die()";
    let answers = as_remembered(&lab, &[change(1, -4_993), change(2, -99_999), change(2, -1)], kill_at_the_end).await;
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses, [504, 503, 504], "{answers:?}");
    assert_eq!(lab.account(1).await.balance, 5_000, "the batch was not committed");
    lab.patch(Approach::GroupCommit, r#"{"userId":1,"amount":-1}"#).await.expect(200, r#"{"balance":4999}"#);
}

/// One key occurs several times in one batch. The first success is the answer to every repeat, a different request with
/// the key is refused, and a request that was refused may succeed when a later entry repeats it.
#[tokio::test]
async fn a_key_counts_for_the_later_requests_of_the_same_batch() {
    let lab = lab().await;
    let [one, two] = [(); 2].map(|()| Uuid::new_v4().to_string());
    let ask = |key: &str, amount: i64| {
        let body = json!({"userId": 1, "amount": amount}).to_string();
        lab.change(Approach::GroupCommit, &body).header("idempotency-key", key)
    };
    // Between the two requests with the second key, a deposit adds the money that the first one lacked.
    let money = lab.change(Approach::GroupCommit, r#"{"userId":1,"amount":1500}"#);
    let requests =
        vec![ask(&one, -4_000), ask(&one, -4_000), ask(&one, -1), ask(&two, -2_000), money, ask(&two, -2_000)];
    let answers = in_one_batch(&lab, requests, async || ()).await;
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses, [200, 200, 422, 409, 200, 200]);
    assert_eq!(
        (&*answers[0].body, &*answers[1].body, &*answers[5].body),
        (r#"{"balance":1000}"#, r#"{"balance":1000}"#, r#"{"balance":500}"#)
    );
    let replayed: Vec<_> = answers.iter().map(|answer| answer.header("idempotency-replayed").is_some()).collect();
    assert_eq!(replayed, [false, true, false, false, false, false]);
    assert_eq!((lab.account(1).await.balance, lab.account(1).await.version), (500, 4));
}

/// Another session uses a key of the batch for another change, on a row that the batch does not lock, after the batch
/// has read the keys.
#[tokio::test]
async fn a_key_that_another_session_stores_meanwhile_is_detected() {
    let lab = lab().await;
    let key = Uuid::new_v4();
    let keep = format!(
        "begin; insert into concurrency_lab.idempotency_keys (key, request, answer) values ('{key}', 'another', '{{}}')"
    );
    let mut elsewhere = lab.connection().await;
    elsewhere.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(keep))).await.expect("a key");
    let ask = lab.change(Approach::GroupCommit, r#"{"userId":1,"amount":-1}"#);
    let pending = spawn(ask.header("idempotency-key", key.to_string()));
    eventually("the batch waits for the key", async || waits_for_a_lock(&lab).await).await;
    elsewhere.execute("commit").await.expect("a commit");
    let answer = pending.await.expect("an answer");
    assert_eq!((answer.status.as_u16(), answer.header("lab-attempts")), (422, Some("2")), "{}", answer.body);
    assert_eq!(lab.account(1).await.version, 1, "the batch was rolled back");
}
