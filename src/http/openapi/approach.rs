//! The operations of an approach: the same for all of them.

use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, Uri};
use serde_json::{Value, json};
use strum::VariantNames as _;

use super::errors::{self, Cause};
use super::operation::{Operation, answered, empty, json_body};
use super::parts::{EXAMPLE_ID, numbers};
use crate::database::seed::Seed;
use crate::error::Refusal;
use crate::http::body::{self, Amounts, BalanceBody, Field, Numbers};
use crate::http::bookings::BookingBody;
use crate::http::transfers::TransferBody;
use crate::http::{headers, reset};

/// Headers of a request that changes one row.
const CHANGE_OF_A_ROW: [&str; 4] = ["If-Match", "Idempotency-Key", "Lab-Trace", "Lab-Think-Time"];

/// Headers of a request that changes several.
const CHANGE: [&str; 3] = ["Idempotency-Key", "Lab-Trace", "Lab-Think-Time"];

/// Headers of a request that reads.
const READ: [&str; 2] = ["Lab-Trace", "Lab-Think-Time"];

/// Headers of the answer to a change of one row.
const ROW_CHANGED: [&str; 4] = ["ETag", "Lab-Versions", "Idempotency-Replayed", "Server-Timing"];

/// Headers of the answer to a change of several.
const CHANGED: [&str; 3] = ["Lab-Versions", "Idempotency-Replayed", "Server-Timing"];

/// Headers of the answer to a read.
const ROW_READ: [&str; 2] = ["ETag", "Server-Timing"];

/// All of them, by the order of the routes.
pub fn operations() -> Vec<Operation> {
    let mut operations = balances();
    operations.push(transfer());
    operations.extend(bookings());
    operations.extend(counters());
    operations.push(reset());
    operations
}

fn balances() -> Vec<Operation> {
    use Refusal::{BalanceOutOfRange, InsufficientFunds};
    let change = |method, path: &str, id: &str, summary, amounts, amount: i64, balance: i64, refusals: &[Refusal]| {
        let fields = BalanceBody::fields(amounts);
        let example = json!({ "userId": 1, "amount": amount });
        let done = json!({ "balance": balance });
        Operation {
            method,
            path: path.to_owned(),
            id: id.to_owned(),
            tag: "balance",
            summary,
            parameters: CHANGE_OF_A_ROW.to_vec(),
            body: Some(json_body(&numbers(&fields), &example)),
            success: (200, answered("The new balance.", &ROW_CHANGED, "Balance", &done)),
            causes: errors::of_a_change()
                .chain(errors::of_numbers::<BalanceBody>(&fields, &example))
                .chain(errors::refused(&[Refusal::UserNotFound, Refusal::VersionMismatch]))
                .chain(errors::refused(refusals))
                .chain(errors::of_experiments())
                .chain(errors::of_if_match(headers::if_version))
                .chain([errors::not_offered()])
                .collect(),
        }
    };
    let any = [InsufficientFunds, BalanceOutOfRange];
    vec![
        change(
            "patch",
            "/balance",
            "changeBalance",
            "Add an amount, which may be negative",
            Amounts::Any,
            -2,
            9998,
            &any,
        ),
        read_of(
            "/balance",
            "readBalanceByQuery",
            "balance",
            "Read a balance",
            "userIdInQuery",
            user_balance(),
            [
                errors::refused(&[Refusal::UserNotFound]).collect(),
                errors::of_an_id("userId", body::id(body::USER_ID, "x")).take(1).collect(),
                vec![errors::not_offered()],
            ],
        ),
        read_of(
            "/balance/{userId}",
            "readBalance",
            "balance",
            "Read a balance",
            "userId",
            user_balance(),
            [
                errors::refused(&[Refusal::UserNotFound]).collect(),
                errors::of_an_id("userId", body::id(body::USER_ID, "x")).collect(),
                vec![errors::not_offered()],
            ],
        ),
        change("post", "/deposit", "deposit", "Add an amount from 1", Amounts::Deposit, 10, 10010, &any[1..]),
        change("post", "/withdraw", "withdraw", "Take an amount from 1", Amounts::Withdrawal, 10, 9990, &any[..1]),
    ]
}

fn user_balance() -> Value {
    answered("The balance.", &ROW_READ, "UserBalance", &json!({ "userId": 1, "balance": 10000 }))
}

fn read_of(
    path: &str,
    id: &str,
    tag: &'static str,
    summary: &'static str,
    parameter: &'static str,
    done: Value,
    causes: [Vec<Cause>; 3],
) -> Operation {
    Operation {
        method: "get",
        path: path.to_owned(),
        id: id.to_owned(),
        tag,
        summary,
        parameters: [&[parameter], READ.as_slice()].concat(),
        body: None,
        success: (200, done),
        causes: errors::of_a_read().chain(causes.into_iter().flatten()).chain(errors::of_experiments()).collect(),
    }
}

/// A change by a body of numbers that addresses no single row.
fn change_by<B: Numbers>(fields: &[Field], example: &Value, operation: Operation, refusals: &[Refusal]) -> Operation {
    Operation {
        parameters: CHANGE.to_vec(),
        body: Some(json_body(&numbers(fields), example)),
        causes: errors::of_a_change()
            .chain(errors::of_numbers::<B>(fields, example))
            .chain(errors::refused(refusals))
            .chain(errors::of_experiments())
            .chain(errors::of_if_match(headers::no_version))
            .chain(operation.causes)
            .collect(),
        ..operation
    }
}

fn transfer() -> Operation {
    let example = json!({ "from": 1, "to": 2, "amount": 4000 });
    let done = json!({ "from": { "userId": 1, "balance": 1000 }, "to": { "userId": 2, "balance": 14000 } });
    let operation = Operation {
        method: "post",
        path: "/transfer".to_owned(),
        id: "transfer".to_owned(),
        tag: "transfer",
        summary: "Move an amount from one user to another, who must be two",
        parameters: Vec::new(),
        body: None,
        success: (200, answered("Both new balances.", &CHANGED, "Transferred", &done)),
        causes: vec![errors::not_offered()],
    };
    let refusals = [Refusal::UserNotFound, Refusal::InsufficientFunds, Refusal::BalanceOutOfRange];
    change_by::<TransferBody>(&TransferBody::FIELDS, &example, operation, &refusals)
}

fn bookings() -> [Operation; 3] {
    let example = json!({ "eventId": 1, "userId": 7 });
    let done = json!({ "bookingId": EXAMPLE_ID, "eventId": 1, "seatsLeft": 0 });
    let mut booked = answered("Booked.", &CHANGED, "Booked", &done);
    booked["links"] = json!({
        "cancel": { "operationId": "cancelBooking", "parameters": {
            "approach": "$request.path.approach", "bookingId": "$response.body#/bookingId",
        } },
        "event": { "operationId": "readEvent", "parameters": {
            "approach": "$request.path.approach", "eventId": "$response.body#/eventId",
        } },
    });
    let book = Operation {
        method: "post",
        path: "/bookings".to_owned(),
        id: "book".to_owned(),
        tag: "booking",
        summary: "Book a seat",
        parameters: Vec::new(),
        body: None,
        success: (201, booked),
        causes: Vec::new(),
    };
    let refusals = [Refusal::EventNotFound, Refusal::UserNotFound, Refusal::AlreadyBooked, Refusal::SoldOut];
    let cancel = Operation {
        method: "delete",
        path: "/bookings/{bookingId}".to_owned(),
        id: "cancelBooking".to_owned(),
        tag: "booking",
        summary: "Cancel a booking; its seat is free again",
        parameters: [&["bookingId"], CHANGE.as_slice()].concat(),
        body: None,
        success: (204, empty("Cancelled.", &CHANGED)),
        causes: errors::of_a_change()
            .chain(errors::of_an_id("bookingId", body::booking_id("x")))
            .chain([errors::of_no_body()])
            .chain(errors::refused(&[Refusal::BookingNotFound]))
            .chain(errors::of_experiments())
            .chain(errors::of_if_match(headers::no_version))
            .collect(),
    };
    let event = json!({
        "eventId": 1, "capacity": 1, "booked": 1, "isBooked": true,
        "bookings": [{ "bookingId": EXAMPLE_ID, "userId": 7, "bookingTime": "2026-11-21T12:00:00.000000Z" }],
    });
    let event = answered("The event and its bookings.", &ROW_READ, "Event", &event);
    let read = read_of(
        "/events/{eventId}",
        "readEvent",
        "booking",
        "Read an event with its bookings",
        "eventId",
        event,
        [
            errors::refused(&[Refusal::EventNotFound]).collect(),
            errors::of_an_id("eventId", body::id(body::EVENT_ID, "x")).collect(),
            Vec::new(),
        ],
    );
    [change_by::<BookingBody>(&BookingBody::FIELDS, &example, book, &refusals), cancel, read]
}

fn counters() -> [Operation; 2] {
    let value = |value: i64, headers| answered("The value.", headers, "Counter", &json!({ "value": value }));
    let increment = Operation {
        method: "post",
        path: "/counters/{counterId}/increment".to_owned(),
        id: "increment".to_owned(),
        tag: "counter",
        summary: "Count one more",
        parameters: [&["counterId"], CHANGE_OF_A_ROW.as_slice()].concat(),
        body: None,
        success: (200, value(2, &ROW_CHANGED)),
        causes: errors::of_a_change()
            .chain(errors::of_an_id("counterId", body::id(body::COUNTER_ID, "x")))
            .chain([errors::of_no_body(), errors::not_offered()])
            .chain(errors::refused(&[Refusal::CounterNotFound, Refusal::CounterOutOfRange, Refusal::VersionMismatch]))
            .chain(errors::of_experiments())
            .chain(errors::of_if_match(headers::if_version))
            .collect(),
    };
    let read = read_of(
        "/counters/{counterId}",
        "readCounter",
        "counter",
        "Read a counter",
        "counterId",
        value(1, &ROW_READ),
        [
            errors::refused(&[Refusal::CounterNotFound]).collect(),
            errors::of_an_id("counterId", body::id(body::COUNTER_ID, "x")).collect(),
            vec![errors::not_offered()],
        ],
    );
    [read, increment]
}

fn reset() -> Operation {
    let example = json!({ "seed": "mixed" });
    let seeds = Seed::VARIANTS.iter().map(|seed| json!(seed)).chain([Value::Null]).collect::<Vec<_>>();
    let schema =
        json!({ "type": "object", "properties": { "seed": { "enum": seeds } }, "additionalProperties": false });
    let mut body = json_body(&schema, &example);
    body["required"] = json!(false);
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    let bad = [("malformed", "/reset", "{"), ("unknown-seed", "/reset?seed=nonsense", "")];
    let bad = bad.into_iter().filter_map(|(name, uri, body)| {
        let chosen = reset::chosen_seed(&Uri::from_static(uri), &headers, &Bytes::from_static(body.as_bytes()));
        Some(Cause::rejected(name, chosen.err()?))
    });
    Operation {
        method: "post",
        path: "/reset".to_owned(),
        id: "reset".to_owned(),
        tag: "data",
        summary: "Replace all data by a seed's",
        parameters: vec!["seed"],
        body: Some(body),
        success: (200, answered("The data are the seed's.", &[], "Seed", &example)),
        causes: errors::of_a_change().chain(bad).collect(),
    }
}
