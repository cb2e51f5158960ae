//! Every approach on every workload that it offers: exact bodies, headers, and the order of refusals.

use concurrency_lab::database::seed::Seed;
use concurrency_lab::strategy::{Approach, Claim};
use domain::Workload;
use reqwest::Method;
use serde_json::json;
use sqlx::Executor;
use strum::IntoEnumIterator;
use uuid::Uuid;

use crate::common::{Answer, Lab, Setup, offering, reset};

const SAME_TO: &str = r#"{"error":"to: expected a user other than from, found 1"}"#;

async fn execute(lab: &Lab, sql: &'static str) {
    lab.connection().await.execute(sql).await.expect(sql);
}

#[tokio::test]
async fn a_transfer_moves_money_with_exact_bodies_and_is_refused_in_the_fixed_order() {
    let lab = Lab::start().await;
    for approach in offering(Workload::Transfer) {
        reset(&lab, Seed::Transfer).await;
        let path = format!("/approach/{approach}/transfer");
        let moved = lab.post(&path, r#"{"from":1,"to":2,"amount":1500}"#).await;
        moved.expect(200, r#"{"from":{"userId":1,"balance":3500},"to":{"userId":2,"balance":11500}}"#);
        assert_eq!(moved.header("lab-versions"), Some("users/1=2, users/2=2"), "{approach}");
        assert_eq!((moved.header("lab-attempts"), moved.header("etag")), (Some("1"), None), "{approach}");
        let back = lab.post(&path, r#"{"from":2,"to":1,"amount":11500}"#).await;
        back.expect(200, r#"{"from":{"userId":2,"balance":0},"to":{"userId":1,"balance":15000}}"#);
        assert_eq!(back.header("lab-versions"), Some("users/2=3, users/1=3"), "{approach}");

        let before = (lab.account(1).await, lab.account(2).await);
        // The same account twice and a bad amount are errors of the body. With a poor payer and an unknown payee,
        // unknown comes first.
        for (body, status, answer) in [
            (r#"{"from":1,"to":1,"amount":1}"#, 422, SAME_TO),
            (r#"{"from":2,"to":999,"amount":1}"#, 404, r#"{"error":"User not found"}"#),
            (r#"{"from":999,"to":1,"amount":1}"#, 404, r#"{"error":"User not found"}"#),
        ] {
            lab.post(&path, body).await.expect(status, answer);
        }
        for amount in [0, -1] {
            let answer = lab.post(&path, &json!({"from": 1, "to": 2, "amount": amount}).to_string()).await;
            assert_eq!(answer.status, 422, "{approach}");
            assert!(answer.body.contains("amount: expected a whole number from 1"), "{}", answer.body);
        }
        assert_eq!((lab.account(1).await, lab.account(2).await), before, "{approach}: nothing was changed");

        execute(&lab, "update users set balance = 9223372036854775807 where id = 2").await;
        let too_much = lab.post(&path, r#"{"from":1,"to":2,"amount":1}"#).await;
        too_much.expect(409, r#"{"error":"Balance out of range"}"#);
        let poor = lab.post(&path, r#"{"from":1,"to":2,"amount":15001}"#).await;
        poor.expect(409, r#"{"error":"Insufficient funds"}"#);
        assert_eq!((poor.header("lab-versions"), poor.header("lab-attempts")), (None, Some("1")), "{approach}");
        assert_eq!((lab.account(1).await, lab.account(2).await.balance), (before.0, i64::MAX), "{approach}");
    }
}

/// naive makes the credit first, and does not undo it after a refusal.
#[tokio::test]
async fn a_refused_transfer_creates_money_on_naive_and_on_no_other_approach() {
    let lab = Lab::start().await;
    for approach in offering(Workload::Transfer) {
        reset(&lab, Seed::Transfer).await;
        let path = format!("/approach/{approach}/transfer");
        let refused = lab.post(&path, r#"{"from":1,"to":2,"amount":7500}"#).await;
        refused.expect(409, r#"{"error":"Insufficient funds"}"#);
        let curie = if approach == Approach::Naive { 17_500 } else { 10_000 };
        assert_eq!((lab.account(1).await.balance, lab.account(2).await.balance), (5_000, curie), "{approach}");
    }
}

#[tokio::test]
async fn a_seat_is_booked_shown_and_cancelled_with_exact_bodies() {
    let lab = Lab::start().await;
    for approach in offering(Workload::Booking) {
        reset(&lab, Seed::Booking).await;
        let base = format!("/approach/{approach}");
        let free = r#"{"eventId":1,"capacity":1,"booked":0,"isBooked":false,"bookings":[]}"#;
        let shown = lab.get(&format!("{base}/events/1")).await;
        shown.expect(200, free);
        assert_eq!(shown.header("etag"), Some("\"1\""), "{approach}");

        let booked = lab.post(&format!("{base}/bookings"), r#"{"eventId":1,"userId":7}"#).await;
        assert_eq!(booked.status, 201, "{approach}: {}", booked.body);
        let id = booked.json()["bookingId"].as_str().expect("an id").to_owned();
        booked.expect(201, &format!(r#"{{"bookingId":"{id}","eventId":1,"seatsLeft":0}}"#));
        assert_eq!(booked.header("lab-versions"), Some("events/1=2"), "{approach}");
        assert_eq!(booked.header("lab-attempts"), Some("1"), "{approach}");
        let event = lab.get(&format!("{base}/events/1")).await.json();
        let time = event["bookings"][0]["bookingTime"].as_str().expect("a time").to_owned();
        assert!(time.len() == 27 && time.ends_with('Z'), "RFC 3339 in UTC: {time}");
        let row = json!({"bookingId": id, "userId": 7, "bookingTime": time});
        assert_eq!(event, json!({"eventId": 1, "capacity": 1, "booked": 1, "isBooked": true, "bookings": [row]}));

        let cancel = async |id: &str| Answer::of(lab.request(Method::DELETE, &format!("{base}/bookings/{id}"))).await;
        let cancelled = cancel(&id).await;
        cancelled.expect(204, "");
        assert_eq!(cancelled.header("lab-versions"), Some("events/1=3"), "{approach}");
        cancel(&id).await.expect(404, r#"{"error":"Booking not found"}"#);
        lab.get(&format!("{base}/events/1")).await.expect(200, free);
        let again = lab.post(&format!("{base}/bookings"), r#"{"eventId":1,"userId":8}"#).await;
        assert_eq!(again.status, 201, "{approach}: the seat is free again: {}", again.body);
        let bad = cancel("7").await;
        assert_eq!(bad.status, 422, "{approach}");
        assert!(bad.body.contains("bookingId: expected a UUID"), "{}", bad.body);
    }
}

#[tokio::test]
async fn a_booking_is_refused_in_the_fixed_order() {
    let lab = Lab::start().await;
    for approach in offering(Workload::Booking) {
        reset(&lab, Seed::Booking).await;
        let path = format!("/approach/{approach}/bookings");
        let book =
            async |event: i64, user: i64| lab.post(&path, &json!({"eventId": event, "userId": user}).to_string()).await;
        assert_eq!(book(2, 7).await.status, 201);
        book(2, 7).await.expect(409, r#"{"error":"Already booked"}"#);
        assert_eq!(book(1, 7).await.status, 201);
        // The order: event, user, already booked, sold out.
        book(9, 9999).await.expect(404, r#"{"error":"Event not found"}"#);
        book(2, 9999).await.expect(404, r#"{"error":"User not found"}"#);
        book(1, 9999).await.expect(404, r#"{"error":"User not found"}"#);
        book(1, 7).await.expect(409, r#"{"error":"Already booked"}"#);
        book(1, 8).await.expect(409, r#"{"error":"Sold out"}"#);
        let missing = lab.post(&path, r#"{"userId":7}"#).await;
        assert_eq!(missing.status, 422, "{approach}");
        assert!(missing.body.contains("eventId: missing"), "{}", missing.body);
        lab.get(&format!("/approach/{approach}/events/9")).await.expect(404, r#"{"error":"Event not found"}"#);
        let event = lab.get(&format!("/approach/{approach}/events/2")).await.json();
        assert_eq!((&event["booked"], event["bookings"].as_array().map(Vec::len)), (&json!(1), Some(1)), "{approach}");
    }
}

#[tokio::test]
async fn a_counter_counts_with_exact_bodies_and_refuses() {
    let lab = Lab::start().await;
    for approach in offering(Workload::Counter) {
        reset(&lab, Seed::Counter).await;
        let base = format!("/approach/{approach}/counters");
        let counted = Answer::of(lab.request(Method::POST, &format!("{base}/1/increment"))).await;
        counted.expect(200, r#"{"value":2}"#);
        assert_eq!(counted.header("lab-versions"), Some("counters/1=2"), "{approach}");
        assert_eq!((counted.header("lab-attempts"), counted.header("etag")), (Some("1"), Some("\"2\"")), "{approach}");
        lab.post(&format!("{base}/1/increment"), "{}").await.expect(200, r#"{"value":3}"#);
        let read = lab.get(&format!("{base}/1")).await;
        read.expect(200, r#"{"value":3}"#);
        assert_eq!(read.header("etag"), Some("\"3\""), "{approach}");
        for (body, status) in [("[]", 422), (r#"{"by":2}"#, 422), ("{", 400)] {
            assert_eq!(lab.post(&format!("{base}/1/increment"), body).await.status, status, "{approach} {body}");
        }
        lab.post(&format!("{base}/9/increment"), "").await.expect(404, r#"{"error":"Counter not found"}"#);
        lab.get(&format!("{base}/9")).await.expect(404, r#"{"error":"Counter not found"}"#);
        let zero = lab.post(&format!("{base}/0/increment"), "").await;
        assert!(zero.status == 422 && zero.body.contains("counterId: expected"), "{}", zero.body);
        execute(&lab, "update counters set value = 9223372036854775807").await;
        lab.post(&format!("{base}/1/increment"), "").await.expect(409, r#"{"error":"Counter out of range"}"#);
    }
}

#[tokio::test]
async fn if_match_is_honoured_on_counters_and_refused_where_no_single_row_is_addressed() {
    let lab = Lab::with(Setup { seed: Seed::Counter, ..Setup::default() }).await;
    let increment = async |approach: Approach, counter: i64, tag: &str| {
        let path = format!("/approach/{approach}/counters/{counter}/increment");
        Answer::of(lab.request(Method::POST, &path).header("if-match", tag)).await
    };
    let optimistic = Approach::OptimisticVersion;
    increment(optimistic, 1, "\"1\"").await.expect(200, r#"{"value":2}"#);
    increment(optimistic, 1, "\"1\"").await.expect(412, r#"{"error":"Version does not match"}"#);
    increment(optimistic, 9, "\"1\"").await.expect(404, r#"{"error":"Counter not found"}"#);
    assert_eq!(increment(Approach::Naive, 1, "\"2\"").await.status, 501);
    for (path, body) in [("transfer", r#"{"from":1,"to":2,"amount":1}"#), ("bookings", r#"{"eventId":1,"userId":1}"#)] {
        for approach in Approach::iter() {
            let request = lab.json(Method::POST, &format!("/approach/{approach}/{path}"), body);
            assert_eq!(Answer::of(request.header("if-match", "\"1\"")).await.status, 501, "{approach} {path}");
        }
    }
}

#[tokio::test]
async fn a_workload_that_an_approach_does_not_offer_gets_501_with_the_reason() {
    let lab = Lab::start().await;
    let mut pairs = 0;
    for approach in Approach::iter() {
        for workload in Workload::iter() {
            if approach.info().claims.of(workload) != Claim::Unsupported {
                continue;
            }
            pairs += 1;
            let base = format!("/approach/{approach}");
            let uuid = Uuid::nil();
            let requests = match workload {
                Workload::Balance => vec![
                    lab.json(Method::PATCH, &format!("{base}/balance"), r#"{"userId":1,"amount":-2}"#),
                    lab.json(Method::POST, &format!("{base}/deposit"), r#"{"userId":1,"amount":2}"#),
                    lab.request(Method::GET, &format!("{base}/balance/1")),
                ],
                Workload::Transfer => {
                    vec![lab.json(Method::POST, &format!("{base}/transfer"), r#"{"from":1,"to":2,"amount":1}"#)]
                }
                Workload::Booking => vec![
                    lab.json(Method::POST, &format!("{base}/bookings"), r#"{"eventId":1,"userId":7}"#),
                    lab.request(Method::DELETE, &format!("{base}/bookings/{uuid}")),
                ],
                Workload::Counter => vec![
                    lab.request(Method::POST, &format!("{base}/counters/1/increment")),
                    lab.request(Method::GET, &format!("{base}/counters/1")),
                ],
            };
            let reason = json!({"error": approach.info().unsupported_because}).to_string();
            for request in requests {
                let answer = Answer::of(request).await;
                answer.expect(501, &reason);
                assert_eq!(answer.header("lab-attempts"), Some("0"), "{approach} {workload}: no attempt was made");
            }
        }
    }
    assert_eq!(pairs, 4, "counter of check-constraint, and three workloads of unique-constraint");
    assert_eq!(lab.engine.server().database().pool().status().open, 0, "no connection was taken");
}

#[tokio::test]
async fn the_root_has_every_workload_too() {
    let lab = Lab::with(Setup { seed: Seed::Booking, ..Setup::default() }).await;
    assert_eq!(lab.post("/bookings", r#"{"eventId":1,"userId":7}"#).await.status, 201);
    assert_eq!(lab.get("/events/1").await.json()["isBooked"], true);
    reset(&lab, Seed::Transfer).await;
    let moved = lab.post("/transfer", r#"{"from":1,"to":2,"amount":1}"#).await;
    moved.expect(200, r#"{"from":{"userId":1,"balance":4999},"to":{"userId":2,"balance":10001}}"#);
    reset(&lab, Seed::Counter).await;
    lab.post("/counters/1/increment", "").await.expect(200, r#"{"value":2}"#);
}
