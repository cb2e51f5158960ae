//! Transfers, seats and counters under contention over real HTTP. Safe approaches keep their invariants; broken ones
//! are shown broken with a think time.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use concurrency_lab::config::Limits;
use concurrency_lab::database::seed::Seed;
use concurrency_lab::strategy::{Approach, Claim};
use domain::Workload;
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use sqlx::FromRow;
use sqlx::postgres::PgRow;
use tokio::task::{JoinSet, LocalSet};

use crate::common::{Answer, Lab, Setup, claiming, crowded, eventually, reset};

const CLIENTS: usize = 64;

/// A think time that is long enough for a race, and longer than passing a connection on takes.
const THINK_TIME_MS: &str = "10";

/// Enumeration proves that the statements cannot deadlock (`explore::claims`). Here the whole server works; if its own waits add a
/// deadlock, some of these requests meet it.
const OPPOSITE_REQUESTS_PER_CLIENT: usize = 50;

/// The accounts that transfers contend for. Accounts 1 and 2 have more money than the others.
const ACCOUNTS: i64 = 4;

/// The approaches that are safe on one server.
fn safe(workload: Workload) -> impl Iterator<Item = Approach> {
    claiming(workload, Claim::Safe).chain(claiming(workload, Claim::SafeOnOneServer))
}

/// Reads one row of the database, in a form that is easy to compare.
async fn fetch_row<T: for<'r> FromRow<'r, PgRow> + Send + Unpin>(lab: &Lab, sql: &'static str) -> T {
    sqlx::query_as(sql).fetch_one(&mut lab.connection().await).await.expect("a row")
}

/// Runs this many clients, each with one request in flight, until all requests are answered.
async fn race(
    requests: usize,
    clients: usize,
    request: impl Fn(usize) -> RequestBuilder + Send + Sync + 'static,
) -> Vec<Answer> {
    let (next, request) = (Arc::new(AtomicUsize::new(0)), Arc::new(request));
    let mut racing = JoinSet::new();
    for _ in 0..clients.min(requests) {
        let (next, request) = (Arc::clone(&next), Arc::clone(&request));
        racing.spawn(async move {
            let mut answers = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= requests {
                    return answers;
                }
                answers.push(Answer::of(request(number)).await);
            }
        });
    }
    racing.join_all().await.into_iter().flatten().collect()
}

fn count(answers: &[Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

/// Builds requests to these servers, which live longer than the requests.
fn poster(labs: &[&Lab], path: &str, think: bool) -> impl Fn(usize, String) -> RequestBuilder + Send + Sync + use<> {
    let (http, urls) = (labs[0].http.clone(), labs.iter().map(|lab| lab.url(path)).collect::<Vec<_>>());
    move |number, body| {
        let request = http.request(Method::POST, &urls[number % urls.len()]).header("content-type", "application/json");
        let request = if think { request.header("lab-think-time", THINK_TIME_MS) } else { request };
        request.body(body)
    }
}

/// Transfers among a few accounts, in both directions of each pair.
fn transfers(labs: &[&Lab], approach: Approach, think: bool) -> impl Fn(usize) -> RequestBuilder + Send + Sync + use<> {
    let post = poster(labs, &format!("/approach/{approach}/transfer"), think);
    move |number| {
        let from = fastrand::i64(1..=ACCOUNTS);
        let to = (from + fastrand::i64(0..ACCOUNTS - 1)) % ACCOUNTS + 1;
        post(number, json!({"from": from, "to": to, "amount": fastrand::i64(1..=900)}).to_string())
    }
}

async fn money(lab: &Lab) -> (i64, i64) {
    fetch_row(lab, "select sum(balance)::bigint, min(balance) from users").await
}

/// 5000 + 10000 + 98 × 1000, as seeded.
const MONEY: i64 = 113_000;

async fn transfers_conserve_money(labs: &[&Lab], approach: Approach, requests: usize) {
    reset(labs[0], Seed::Transfer).await;
    let answers = race(requests, CLIENTS, transfers(labs, approach, false)).await;
    let (moved, refused) = (count(&answers, 200), count(&answers, 409));
    assert_eq!(moved + refused, requests, "{approach}: {:?}", answers.iter().find(|a| a.status.as_u16() > 409));
    assert!(moved > requests / 4, "{approach}: {moved} transfers");
    let (sum, least) = money(labs[0]).await;
    assert_eq!(sum, MONEY, "{approach}: money was created or destroyed");
    assert!(least >= 0, "{approach}");
    let (changes,): (i64,) = fetch_row(labs[0], "select sum(version - 1)::bigint from users").await;
    assert_eq!(usize::try_from(changes), Ok(2 * moved), "{approach}: each transfer changes two rows");
}

/// Event 2 has 100 seats; 1000 users, many of them several times.
async fn a_hundred_seats_are_sold_once(labs: &[&Lab], approach: Approach, requests: usize) {
    reset(labs[0], Seed::Booking).await;
    let post = poster(labs, &format!("/approach/{approach}/bookings"), false);
    // Each user sends several requests, and they are in flight at the same time.
    let answers = race(requests, CLIENTS, move |number| {
        post(number, json!({"eventId": 2, "userId": number / 4 + 1}).to_string())
    });
    let answers = answers.await;
    assert_eq!(count(&answers, 201), 100, "{approach}");
    let other = answers.iter().find(|answer| {
        answer.status != 201
            && ![r#"{"error":"Sold out"}"#, r#"{"error":"Already booked"}"#].contains(&answer.body.as_str())
    });
    assert!(other.is_none(), "{approach}: {other:?}");
    let left: HashSet<i64> =
        answers.iter().filter(|a| a.status == 201).filter_map(|a| a.json()["seatsLeft"].as_i64()).collect();
    assert_eq!(left, (0..100).collect(), "{approach}: each number of seats left is answered once");
    let counts: (i64, i64, i64) = fetch_row(
        labs[0],
        "select booked, (select count(*) from bookings), (select count(distinct user_id) from bookings) \
         from events where id = 2",
    )
    .await;
    assert_eq!(counts, (100, 100, 100), "{approach}: booked, rows, users");
}

async fn a_counter_counts_every_increment(labs: &[&Lab], approach: Approach, requests: usize) {
    reset(labs[0], Seed::Counter).await;
    let post = poster(labs, &format!("/approach/{approach}/counters/1/increment"), false);
    let answers = race(requests, CLIENTS, move |number| post(number, String::new())).await;
    let values: HashSet<i64> = answers.iter().filter_map(|answer| answer.json()["value"].as_i64()).collect();
    let end = i64::try_from(requests).expect("few") + 1;
    assert_eq!(values, (2..=end).collect(), "{approach}: every value once");
    let (value,): (i64,) = fetch_row(labs[0], "select value from counters where id = 1").await;
    assert_eq!(value, end, "{approach}");
}

// `program::scenarios` has the same on one server.

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_are_as_safe_as_one_on_every_workload() {
    let first = Lab::start().await;
    let second = first.another(Setup::default()).await;
    let both = [&first, &second];
    for approach in claiming(Workload::Transfer, Claim::Safe) {
        transfers_conserve_money(&both, approach, 400).await;
    }
    for approach in claiming(Workload::Booking, Claim::Safe) {
        a_hundred_seats_are_sold_once(&both, approach, 400).await;
    }
    for approach in claiming(Workload::Counter, Claim::Safe) {
        a_counter_counts_every_increment(&both, approach, 400).await;
    }
}

/// Shows the anomalies of an approach that is not safe here. The servers admit more sessions per row than by default,
/// so that the think times overlap.
async fn is_broken(labs: &[&Lab], approach: Approach) {
    let first = labs[0];
    reset(first, Seed::Counter).await;
    let post = poster(labs, &format!("/approach/{approach}/counters/1/increment"), true);
    let answers = race(64, 16, move |number| post(number, String::new())).await;
    assert_eq!(count(&answers, 200), 64, "{approach}");
    let (value,): (i64,) = fetch_row(first, "select value from counters where id = 1").await;
    assert!(value < 65, "{approach}: no increment was lost");

    reset(first, Seed::Transfer).await;
    let answers = race(64, 16, transfers(labs, approach, true)).await;
    assert!(count(&answers, 200) > 0, "{approach}");
    assert_ne!(money(first).await.0, MONEY, "{approach}: no transfer was lost");

    reset(first, Seed::Booking).await;
    let post = poster(labs, &format!("/approach/{approach}/bookings"), true);
    let answers = race(8, 8, move |number| post(number, json!({"eventId": 1, "userId": number + 1}).to_string()));
    assert!(count(&answers.await, 201) > 1, "{approach}: the last seat was sold once");
    let post = poster(labs, &format!("/approach/{approach}/bookings"), true);
    let answers = race(8, 8, move |number| post(number, json!({"eventId": 2, "userId": 7}).to_string())).await;
    assert!(count(&answers, 201) > 1, "{approach}: the same user booked once");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_approach_that_claims_broken_shows_its_anomalies() {
    let lab = Lab::start().await;
    for approach in claiming(Workload::Transfer, Claim::Broken) {
        let info = approach.info().claims;
        assert_eq!((info.booking, info.counter), (Claim::Broken, Claim::Broken), "{approach}");
        is_broken(&[&lab], approach).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approach_that_is_safe_on_one_server_is_broken_on_two() {
    let first = Lab::start().await;
    let second = first.another(Setup::default()).await;
    for approach in claiming(Workload::Transfer, Claim::SafeOnOneServer) {
        is_broken(&[&first, &second], approach).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_think_time_breaks_no_safe_approach_on_any_workload() {
    let lab = Lab::with(Setup { limits: crowded(), ..Setup::default() }).await;
    for approach in safe(Workload::Transfer) {
        reset(&lab, Seed::Transfer).await;
        let answers = race(64, 16, transfers(&[&lab], approach, true)).await;
        assert_eq!(count(&answers, 200) + count(&answers, 409), 64, "{approach}");
        assert_eq!(money(&lab).await.0, MONEY, "{approach}");
    }
    for approach in safe(Workload::Booking) {
        reset(&lab, Seed::Booking).await;
        for (event, user) in [(1, None), (2, Some(7))] {
            let post = poster(&[&lab], &format!("/approach/{approach}/bookings"), true);
            let answers = race(16, 16, move |number| {
                post(number, json!({"eventId": event, "userId": user.unwrap_or(number + 1)}).to_string())
            });
            assert_eq!(count(&answers.await, 201), 1, "{approach}: event {event}");
        }
    }
}

/// Clients book and cancel seats at the same time. At the end the count equals the number of rows, and no seat was sold
/// twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_seat_is_free_again_under_contention() {
    let lab = Lab::start().await;
    for approach in safe(Workload::Booking) {
        reset(&lab, Seed::Booking).await;
        let mut clients = JoinSet::new();
        for user in 1..=16 {
            let http = lab.http.clone();
            let url = lab.url(&format!("/approach/{approach}/bookings"));
            clients.spawn(async move {
                let mut given_back = 0;
                for round in 0..12 {
                    // Half of the clients book the event with one seat, half the event with a hundred.
                    let body = json!({"eventId": user % 2 + 1, "userId": user}).to_string();
                    let post = http.post(&url).header("content-type", "application/json").body(body);
                    let booked = Answer::of(post).await;
                    assert!(booked.status == 201 || booked.status == 409, "{approach}: {booked:?}");
                    if booked.status == 201 && round < 11 {
                        let id = booked.json()["bookingId"].as_str().expect("an id").to_owned();
                        let cancelled = Answer::of(http.delete(format!("{url}/{id}"))).await;
                        assert_eq!(cancelled.status, 204, "{approach}: {cancelled:?}");
                        given_back += 1;
                    }
                }
                given_back
            });
        }
        let given_back: i32 = clients.join_all().await.into_iter().sum();
        assert!(given_back > 80, "{approach}: {given_back} bookings were cancelled");
        let counts: (i64, i64) = fetch_row(
            &lab,
            "select count(*) filter (where booked <> (select count(*) from bookings where event_id = events.id)), \
                    count(*) filter (where booked > capacity) from events",
        )
        .await;
        assert_eq!(counts, (0, 0), "{approach}: events with a wrong count, and oversold events");
        let (seats,): (i64,) = fetch_row(&lab, "select booked from events where id = 2").await;
        assert_eq!(seats, 8, "{approach}: each of the eight users kept the last booking");
    }
}

/// Every approach locks in one order, so opposite transfers, mixed with changes of single rows, never wait in a circle.
/// All approaches run at the same time, each on a database of its own.
#[tokio::test(flavor = "multi_thread")]
async fn opposite_transfers_among_single_changes_never_deadlock() {
    let mut approaches = JoinSet::new();
    let here = LocalSet::new();
    for approach in safe(Workload::Transfer) {
        approaches.spawn_local_on(opposite_transfers_do_not_deadlock(approach), &here);
    }
    assert!(!approaches.is_empty());
    here.run_until(approaches.join_all()).await;
}

async fn opposite_transfers_do_not_deadlock(approach: Approach) {
    // All approaches begin at once, and each opens its connections: on two cores that may take longer than the default.
    let limits = Limits { connect_timeout: Duration::from_mins(1), ..Limits::default() };
    let lab = Lab::with(Setup { limits, seed: Seed::Transfer, ..Setup::default() }).await;
    let mut clients = JoinSet::new();
    for client in 0..8_i64 {
        let base = lab.url(&format!("/approach/{approach}"));
        let http = lab.http.clone();
        clients.spawn(async move {
            let (from, to) = if client % 2 == 0 { (1, 2) } else { (2, 1) };
            for _ in 0..OPPOSITE_REQUESTS_PER_CLIENT {
                let request = if client < 4 {
                    http.post(format!("{base}/transfer")).body(json!({"from": from, "to": to, "amount": 1}).to_string())
                } else {
                    http.patch(format!("{base}/balance")).body(json!({"userId": from, "amount": 0}).to_string())
                };
                let answer = Answer::of(request.header("content-type", "application/json")).await;
                assert!(answer.status == 200 || answer.status == 409, "{approach}: {answer:?}");
            }
        });
    }
    clients.join_all().await;
    assert_eq!(money(&lab).await.0, MONEY, "{approach}");
    // These two may have deadlocks, and retry after them.
    if !matches!(approach, Approach::RepeatableRead | Approach::Serializable) {
        assert_eq!(deadlocks(&lab).await, 0, "{approach}");
    }
}

/// The number of deadlocks. It first closes the server's connections, because a backend reports its counts at its end
/// or some time later; the server cannot be used after this.
async fn deadlocks(lab: &Lab) -> i64 {
    lab.engine.drain().await;
    let others = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
    eventually("the server's connections are closed", async || fetch_row::<(i64,)>(lab, others).await.0 == 0).await;
    fetch_row::<(i64,)>(lab, "select deadlocks from pg_stat_database where datname = current_database()").await.0
}
