//! Idempotency-Key: a change is made once, even if its request is repeated at the same time or after a lost answer.
//! Lab-Fault cuts connections to show it.

use std::time::Duration;

use concurrency_lab::config::Limits;
use concurrency_lab::database::seed::Seed;
use concurrency_lab::strategy::Approach;
use domain::Workload;
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use strum::IntoEnumIterator;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::common::{Answer, Lab, Setup, crowded, offering, reset};

const KEY: &str = "idempotency-key";
const REPLAYED: &str = "idempotency-replayed";

/// The largest number of statements of any change, with those of its key. A fault after a later one cuts nothing.
const STATEMENTS_MAX: usize = 16;

/// A change of each workload, with the seed that it needs.
const CHANGES: [(Workload, Seed, &str, &str); 4] = [
    (Workload::Balance, Seed::Transfer, "balance", r#"{"userId":1,"amount":-2}"#),
    (Workload::Transfer, Seed::Transfer, "transfer", r#"{"from":1,"to":2,"amount":5}"#),
    (Workload::Booking, Seed::Booking, "bookings", r#"{"eventId":2,"userId":7}"#),
    (Workload::Counter, Seed::Counter, "counters/1/increment", ""),
];

fn keeps_keys(approach: Approach) -> bool {
    !matches!(approach, Approach::Naive | Approach::InProcessMutex)
}

fn request(lab: &Lab, approach: Approach, path: &str, body: &str) -> RequestBuilder {
    let method = if path == "balance" { Method::PATCH } else { Method::POST };
    lab.json(method, &format!("/approach/{approach}/{path}"), body)
}

async fn with_key(lab: &Lab, approach: Approach, path: &str, body: &str, key: Uuid) -> Answer {
    Answer::of(request(lab, approach, path, body).header(KEY, key.to_string())).await
}

/// The sum of all versions. A change raises it by one, a transfer by two.
async fn raised(lab: &Lab) -> i64 {
    let sum = "select ((select coalesce(sum(version - 1), 0) from users) \
                     + (select coalesce(sum(version - 1), 0) from events) \
                     + (select coalesce(sum(version - 1), 0) from counters))::bigint";
    sqlx::query_scalar(sum).fetch_one(&mut lab.connection().await).await.expect("a sum")
}

fn raised_by_one(workload: Workload) -> i64 {
    if workload == Workload::Transfer { 2 } else { 1 }
}

fn same(first: &Answer, second: &Answer) {
    assert_eq!((first.status, &first.body), (second.status, &second.body));
    for header in ["etag", "lab-versions"] {
        assert_eq!(first.header(header), second.header(header), "{header}");
    }
}

#[tokio::test]
async fn a_key_makes_a_change_once_and_repeats_its_answer_on_every_approach() {
    let lab = Lab::start().await;
    for (workload, seed, path, body) in CHANGES {
        for approach in offering(workload).filter(|approach| keeps_keys(*approach)) {
            reset(&lab, seed).await;
            let key = Uuid::new_v4();
            let first = with_key(&lab, approach, path, body, key).await;
            assert!(first.status.is_success(), "{approach} {workload}: {first:?}");
            assert_eq!(first.header(REPLAYED), None, "{approach} {workload}");
            // Another change happens in between. The stored answer stays the same.
            assert!(Answer::of(request(&lab, approach, path, &body.replace(":7", ":8"))).await.status.is_success());
            let again = with_key(&lab, approach, path, body, key).await;
            same(&first, &again);
            assert_eq!(again.header(REPLAYED), Some("true"), "{approach} {workload}");
            assert_eq!(raised(&lab).await, 2 * raised_by_one(workload), "{approach} {workload}");

            let (other_path, other_body) = match workload {
                Workload::Counter => ("counters/2/increment", ""),
                Workload::Balance => (path, r#"{"userId":1,"amount":-3}"#),
                Workload::Transfer => (path, r#"{"from":2,"to":1,"amount":5}"#),
                Workload::Booking => (path, r#"{"eventId":1,"userId":7}"#),
            };
            let other = with_key(&lab, approach, other_path, other_body, key).await;
            assert_eq!(other.status, 422, "{approach} {workload}: {}", other.body);
            assert!(other.body.contains("this key came with another request"), "{}", other.body);
            assert_eq!(raised(&lab).await, 2 * raised_by_one(workload), "{approach} {workload}");
        }
    }
}

/// A key is not bound to an approach: the answer that one approach stored, another one returns.
#[tokio::test]
async fn a_key_is_shared_by_all_approaches() {
    let lab = Lab::start().await;
    for (workload, seed, path, body) in CHANGES {
        let keeping: Vec<_> = offering(workload).filter(|approach| keeps_keys(*approach)).collect();
        for (first, second) in keeping.iter().zip(keeping.iter().rev()) {
            reset(&lab, seed).await;
            let key = Uuid::new_v4();
            let made = with_key(&lab, *first, path, body, key).await;
            let again = with_key(&lab, *second, path, body, key).await;
            same(&made, &again);
            assert_eq!(again.header(REPLAYED), Some("true"), "{first}, then {second}: {workload}");
            assert_eq!(raised(&lab).await, raised_by_one(workload), "{first}, then {second}: {workload}");
        }
    }
}

/// This also holds for a strategy that begins its transaction only after its first read.
#[tokio::test]
async fn a_change_with_a_key_stores_the_key_in_the_same_transaction() {
    let lab = Lab::with(Setup { seed: Seed::Transfer, ..Setup::default() }).await;
    for approach in offering(Workload::Transfer).filter(|approach| keeps_keys(*approach)) {
        let ask = request(&lab, approach, "transfer", r#"{"from":1,"to":2,"amount":5}"#);
        let ask = ask.header(KEY, Uuid::new_v4().to_string()).header("lab-trace", "1");
        let answer = Answer::of(ask).await;
        assert_eq!(answer.status, 200, "{approach}");
        let timing = answer.header("server-timing").expect("a trace");
        for statement in ["begin;dur=", "commit;dur="] {
            assert_eq!(timing.matches(statement).count(), 1, "{approach}: {timing}");
        }
        assert!(timing.ends_with("desc=\"commit\""), "{approach}: {timing}");
    }
}

#[tokio::test]
async fn a_reset_refuses_a_key_and_a_version() {
    let lab = Lab::start().await;
    for (name, value) in [(KEY, "7f1c2d3e-4b5a-4c6d-8e9f-0a1b2c3d4e5f"), ("if-match", "\"1\"")] {
        let answer = Answer::of(lab.request(Method::POST, "/reset?seed=mixed").header(name, value)).await;
        assert_eq!(answer.status, 501, "{name}");
        assert!(answer.body.contains("not supported on a reset"), "{}", answer.body);
    }
    lab.get("/balance/2").await.expect(404, r#"{"error":"User not found"}"#);
}

#[tokio::test]
async fn a_cancellation_that_is_repeated_with_its_key_frees_the_seat_once() {
    let lab = Lab::start().await;
    for approach in offering(Workload::Booking).filter(|approach| keeps_keys(*approach)) {
        reset(&lab, Seed::Booking).await;
        let booked = lab.post(&format!("/approach/{approach}/bookings"), r#"{"eventId":1,"userId":7}"#).await;
        let path = format!("/approach/{approach}/bookings/{}", booked.json()["bookingId"].as_str().expect("an id"));
        let key = Uuid::new_v4().to_string();
        let cancel = async || Answer::of(lab.request(Method::DELETE, &path).header(KEY, &key)).await;
        let first = cancel().await;
        first.expect(204, "");
        let again = cancel().await;
        same(&first, &again);
        assert_eq!(again.header(REPLAYED), Some("true"), "{approach}");
        assert_eq!(lab.get("/events/1").await.json()["booked"], 0, "{approach}");
    }
}

#[tokio::test]
async fn a_refusal_is_not_stored_and_a_repeat_with_the_same_key_is_decided_anew() {
    let lab = Lab::start().await;
    for approach in offering(Workload::Balance).filter(|approach| keeps_keys(*approach)) {
        reset(&lab, Seed::Withdrawal).await;
        let (key, much) = (Uuid::new_v4(), r#"{"userId":1,"amount":-10001}"#);
        for _ in 0..2 {
            with_key(&lab, approach, "balance", much, key).await.expect(409, r#"{"error":"Insufficient funds"}"#);
        }
        assert_eq!(lab.patch(approach, r#"{"userId":1,"amount":1}"#).await.status, 200);
        with_key(&lab, approach, "balance", much, key).await.expect(200, r#"{"balance":0}"#);
        // The stored answer is returned, although the change would be refused now.
        with_key(&lab, approach, "balance", much, key).await.expect(200, r#"{"balance":0}"#);
    }
    for approach in offering(Workload::Booking).filter(|approach| keeps_keys(*approach)) {
        reset(&lab, Seed::Booking).await;
        let book = async |event: i64, user: i64| {
            let body = json!({"eventId": event, "userId": user}).to_string();
            with_key(&lab, approach, "bookings", &body, Uuid::new_v4()).await
        };
        assert_eq!(book(1, 7).await.status, 201, "{approach}");
        book(1, 7).await.expect(409, r#"{"error":"Already booked"}"#);
        book(1, 8).await.expect(409, r#"{"error":"Sold out"}"#);
        book(1, 9999).await.expect(404, r#"{"error":"User not found"}"#);
        book(9, 7).await.expect(404, r#"{"error":"Event not found"}"#);
    }
    let keys: i64 = sqlx::query_scalar("select count(*) from concurrency_lab.idempotency_keys")
        .fetch_one(&mut lab.connection().await)
        .await
        .expect("a count");
    assert_eq!(keys, 1, "the reset removed the earlier keys, and no refusal stored one");
}

/// Two servers, so that the result cannot rest on an order within one process.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_concurrent_requests_with_one_key_one_is_made_and_all_get_its_answer() {
    let lab = Lab::with(Setup { limits: crowded(), ..Setup::default() }).await;
    let other = lab.another(Setup { limits: crowded(), ..Setup::default() }).await;
    for (workload, seed, path, body) in CHANGES {
        for approach in offering(workload).filter(|approach| keeps_keys(*approach)) {
            for think_time_ms in ["0", "5"] {
                reset(&lab, seed).await;
                let key = Uuid::new_v4().to_string();
                let mut asking = JoinSet::new();
                for number in 0..16 {
                    let lab = if number % 2 == 0 { &lab } else { &other };
                    let mut ask = request(lab, approach, path, body).header(KEY, &key);
                    if think_time_ms != "0" {
                        ask = ask.header("lab-think-time", think_time_ms);
                    }
                    asking.spawn(async move { Answer::of(ask).await });
                }
                let answers = asking.join_all().await;
                for answer in &answers {
                    assert!(answer.status.is_success(), "{approach} {workload}: {answer:?}");
                    same(&answers[0], answer);
                }
                let made = answers.iter().filter(|answer| answer.header(REPLAYED).is_none()).count();
                assert_eq!(made, 1, "{approach} {workload}");
                assert_eq!(raised(&lab).await, raised_by_one(workload), "{approach} {workload}");
            }
        }
    }
}

/// Wherever the connection is cut, a client that repeats the request with the key ends with exactly one change. Without
/// a repeat, the change is whole or absent: 504 or 503.
#[tokio::test]
async fn a_change_is_made_once_after_a_repeat_wherever_its_connection_was_cut() {
    let lab = Lab::start().await;
    for (workload, seed, path, body) in CHANGES {
        for approach in offering(workload).filter(|approach| keeps_keys(*approach)) {
            let mut unknown = 0;
            for statements in 1..=STATEMENTS_MAX {
                reset(&lab, seed).await;
                let key = Uuid::new_v4();
                let ask = request(&lab, approach, path, body).header(KEY, key.to_string());
                let cut = Answer::of(ask.header("lab-fault", statements.to_string())).await;
                let what = format!("{approach} {workload}, cut after {statements}: {} {}", cut.status, cut.body);
                if cut.status.is_success() {
                    assert!(statements > 2, "{what}: nothing was cut");
                    assert_eq!(unknown, 1, "{what}: only COMMIT decides");
                    break;
                }
                let made = match cut.status.as_u16() {
                    503 => false,
                    504 => {
                        unknown += 1;
                        true
                    }
                    _ => panic!("{what}"),
                };
                // PostgreSQL detects the end of a connection a little later.
                let again = with_key(&lab, approach, path, body, key).await;
                assert!(again.status.is_success(), "{what}: {again:?}");
                assert_eq!(again.header(REPLAYED).is_some(), made, "{what}");
                assert_eq!(raised(&lab).await, raised_by_one(workload), "{what}");
                assert!(statements < STATEMENTS_MAX, "{what}: more statements than expected");
            }
        }
    }
}

#[tokio::test]
async fn a_key_is_refused_by_an_approach_that_cannot_store_it_with_the_change() {
    let lab = Lab::start().await;
    for (workload, seed, path, body) in CHANGES {
        reset(&lab, seed).await;
        for approach in [Approach::Naive, Approach::InProcessMutex] {
            assert!(offering(workload).any(|offering| offering == approach));
            let answer = with_key(&lab, approach, path, body, Uuid::new_v4()).await;
            assert_eq!(answer.status, 501, "{approach} {workload}");
            assert!(answer.body.contains("has no transaction to store the key with the change"), "{}", answer.body);
        }
        assert_eq!(raised(&lab).await, 0, "{workload}");
    }
    assert_eq!(Approach::iter().filter(|approach| !approach.info().crash_atomic).count(), 2);
}

#[tokio::test]
async fn a_key_is_one_uuid() {
    let lab = Lab::start().await;
    let change = r#"{"userId":1,"amount":-2}"#;
    let ask = |keys: &[&str]| {
        let change = lab.change(Approach::AtomicReturning, change);
        keys.iter().fold(change, |request, key| request.header(KEY, *key))
    };
    let uuid = Uuid::new_v4().to_string();
    for (bad, message) in [
        (vec!["7"], "Idempotency-Key: expected a UUID, found \\\"7\\\""),
        (vec![""], "Idempotency-Key: expected a UUID"),
        (vec!["\"", "x"], "Idempotency-Key: expected a UUID"),
        (vec![&uuid, &uuid], "Idempotency-Key: expected one key, found several"),
    ] {
        let answer = Answer::of(ask(&bad)).await;
        assert_eq!(answer.status, 422, "{bad:?}");
        assert!(answer.body.contains(message), "{bad:?}: {}", answer.body);
    }
    assert_eq!(lab.account(1).await.version, 1);
    assert_eq!(Answer::of(ask(&[&uuid])).await.header(REPLAYED), None);
    let quoted = Answer::of(ask(&[&format!("\"{}\"", uuid.to_uppercase())])).await;
    assert_eq!(quoted.header(REPLAYED), Some("true"), "the same key in another form");
    // A read ignores the header, because it changes nothing.
    let read = Answer::of(lab.request(Method::GET, "/balance/1").header(KEY, "7")).await;
    read.expect(200, r#"{"userId":1,"balance":9998}"#);
}

#[tokio::test]
async fn old_keys_are_deleted_and_the_newest_are_kept() {
    let lab = Lab::start().await;
    let keys: Vec<Uuid> = std::iter::repeat_with(Uuid::new_v4).take(8).collect();
    let ask = async |key: Uuid| {
        let body = r#"{"userId":1,"amount":-2}"#;
        with_key(&lab, Approach::Pessimistic, "balance", body, key).await.header(REPLAYED).is_some()
    };
    for key in &keys {
        assert!(!ask(*key).await);
    }
    let forget =
        async |limits: &Limits| lab.engine.server().database().forget_old_keys(limits).await.expect("forgotten");
    assert_eq!(forget(&Limits::default()).await, 0);
    assert_eq!(
        forget(&Limits { idempotency_keys: 4, ..Limits::default() }).await,
        3,
        "all but the newest, and one more"
    );
    assert!(ask(keys[7]).await, "a new key is still stored");
    assert!(!ask(keys[0]).await, "a change with a deleted key is made again");
    let at_once = Limits { idempotency_ttl: Duration::from_millis(1), ..Limits::default() };
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(forget(&at_once).await, 6);
}

#[tokio::test]
async fn a_fault_is_numbered_from_1_and_ignored_when_the_server_does_not_honour_it() {
    let lab = Lab::start().await;
    let change = |lab: &Lab, fault: &str| {
        lab.change(Approach::Pessimistic, r#"{"userId":1,"amount":-2}"#).header("lab-fault", fault.to_owned())
    };
    for bad in ["0", "1001", "-1", "x", ""] {
        let answer = Answer::of(change(&lab, bad)).await;
        assert_eq!(answer.status, 422, "{bad:?}");
        assert!(
            answer.body.contains("Lab-Fault: expected the number of a statement, from 1 to 1000"),
            "{}",
            answer.body
        );
    }
    // begin, lock, write, commit
    for (fault, status, version) in [("1", 503, 1), ("2", 503, 1), ("3", 503, 1), ("4", 504, 2), ("5", 200, 3)] {
        assert_eq!(Answer::of(change(&lab, fault)).await.status, status, "cut after {fault}");
        assert_eq!(lab.account(1).await.version, version, "cut after {fault}");
    }
    let strict = lab.another(Setup { lab_headers: false, ..Setup::default() }).await;
    assert_eq!(Answer::of(change(&strict, "1")).await.status, 200);
}
