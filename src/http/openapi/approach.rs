//! The operations of an approach. Every approach has the same ones.

use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, Uri};
use serde_json::{Value, json};
use strum::VariantNames as _;

use super::errors::{self, ErrorCause};
use super::operation::{ApiLink, ApiOperation, answered, empty, json_body};
use super::parts::{EXAMPLE_ID, numbers};
use crate::database::seed::Seed;
use crate::http::body::{self, AmountRule, BalanceBody, Field, NumberBody};
use crate::http::bookings::BookingBody;
use crate::http::reset;
use crate::http::transfers::TransferBody;
use domain::Refusal;

/// Headers of a request that changes one row.
const CHANGE_OF_A_ROW: [&str; 5] = ["If-Match", "Idempotency-Key", "Lab-Trace", "Lab-Think-Time", "Lab-Fault"];

/// Headers of a request that changes several rows.
const CHANGE: [&str; 4] = ["Idempotency-Key", "Lab-Trace", "Lab-Think-Time", "Lab-Fault"];

/// Headers of a request that reads.
const READ: [&str; 3] = ["Lab-Trace", "Lab-Think-Time", "Lab-Fault"];

/// Headers of the answer to a change of one row.
const ROW_CHANGED: [&str; 4] = ["ETag", "Lab-Versions", "Idempotency-Replayed", "Server-Timing"];

/// Headers of the answer to a change of several rows.
const CHANGED: [&str; 3] = ["Lab-Versions", "Idempotency-Replayed", "Server-Timing"];

/// Headers of the answer to a read.
const ROW_READ: [&str; 2] = ["ETag", "Server-Timing"];

/// Links from a change to the row that it changed.
const TO_BALANCE: &[ApiLink] =
    &[ApiLink { operation: "readBalance", parameter: "userId", value: "$request.body#/userId" }];
const TO_PAYER: &[ApiLink] = &[ApiLink { operation: "readBalance", parameter: "userId", value: "$request.body#/from" }];
const TO_COUNTER: &[ApiLink] =
    &[ApiLink { operation: "readCounter", parameter: "counterId", value: "$request.path.counterId" }];
const TO_BOOKING: &[ApiLink] = &[
    ApiLink { operation: "cancelBooking", parameter: "bookingId", value: "$response.body#/bookingId" },
    ApiLink { operation: "readEvent", parameter: "eventId", value: "$response.body#/eventId" },
];

/// All operations, in the order of the routes.
pub fn operations() -> Vec<ApiOperation> {
    let mut operations = balances();
    operations.push(transfer());
    operations.extend(bookings());
    operations.extend(counters());
    operations.push(reset());
    operations
}

fn balances() -> Vec<ApiOperation> {
    use Refusal::{BalanceOutOfRange, InsufficientFunds};
    let changed = |balance: i64| answered("The new balance.", &ROW_CHANGED, "Balance", &json!({ "balance": balance }));
    let read = || answered("The balance.", &ROW_READ, "UserBalance", &json!({ "userId": 1, "balance": 10_000 }));
    let summary = "Add an amount, which may be negative";
    let patch = ApiOperation::new("patch", "/balance", "changeBalance", "balance", summary, changed(9_998));
    let by_query = ApiOperation::new("get", "/balance", "readBalanceByQuery", "balance", "Read a balance", read());
    let by_path = ApiOperation::new("get", "/balance/{userId}", "readBalance", "balance", "Read a balance", read());
    let deposit = ApiOperation::new("post", "/deposit", "deposit", "balance", "Add an amount from 1", changed(10_010));
    let withdraw =
        ApiOperation::new("post", "/withdraw", "withdraw", "balance", "Subtract an amount from 1", changed(9_990));
    let not_an_id = || body::id(body::USER_ID, "x");
    let unknown = || errors::refused(&[Refusal::UserNotFound]).chain([errors::not_offered()]);
    vec![
        change_of_a_balance(patch, AmountRule::Any, -2, &[InsufficientFunds, BalanceOutOfRange]),
        a_read(by_query, "userIdInQuery", errors::not_an_id(not_an_id()).into_iter().chain(unknown())),
        a_read(by_path, "userId", errors::of_an_id("userId", not_an_id()).chain(unknown())),
        change_of_a_balance(deposit, AmountRule::Deposit, 10, &[BalanceOutOfRange]),
        change_of_a_balance(withdraw, AmountRule::Withdrawal, 10, &[InsufficientFunds]),
    ]
}

fn change_of_a_balance(
    operation: ApiOperation,
    amounts: AmountRule,
    amount: i64,
    refusals: &[Refusal],
) -> ApiOperation {
    let example = json!({ "userId": 1, "amount": amount });
    let operation = ApiOperation {
        parameters: CHANGE_OF_A_ROW.to_vec(),
        causes: errors::refused(&[Refusal::UserNotFound])
            .chain(errors::of_a_version())
            .chain([errors::not_offered()])
            .collect(),
        links: TO_BALANCE,
        ..operation
    };
    a_change_by::<BalanceBody>(&BalanceBody::fields(amounts), &example, refusals, operation)
}

/// The operation as a read of the row that a parameter names.
fn a_read(operation: ApiOperation, parameter: &'static str, causes: impl Iterator<Item = ErrorCause>) -> ApiOperation {
    ApiOperation {
        parameters: [&[parameter], READ.as_slice()].concat(),
        causes: errors::of_a_read().chain(causes).chain(errors::of_experiments()).collect(),
        ..operation
    }
}

/// The operation as a change whose body consists of numbers; `example` is a valid one.
fn a_change_by<B: NumberBody>(
    fields: &[Field],
    example: &Value,
    refusals: &[Refusal],
    operation: ApiOperation,
) -> ApiOperation {
    let causes = operation.causes.into_iter().chain(errors::of_numbers::<B>(fields, example));
    ApiOperation {
        body: Some(json_body(&numbers(fields), example)),
        causes: errors::of_a_change().chain(causes).chain(errors::refused(refusals)).collect(),
        ..operation
    }
}

fn transfer() -> ApiOperation {
    let example = json!({ "from": 1, "to": 2, "amount": 4000 });
    let done = json!({ "from": { "userId": 1, "balance": 1000 }, "to": { "userId": 2, "balance": 14_000 } });
    let done = answered("Both new balances.", &CHANGED, "Transferred", &done);
    let summary = "Move an amount from one user to another user";
    let operation = ApiOperation {
        parameters: CHANGE.to_vec(),
        causes: errors::of_no_version().into_iter().chain([errors::not_offered()]).collect(),
        links: TO_PAYER,
        ..ApiOperation::new("post", "/transfer", "transfer", "transfer", summary, done)
    };
    let refusals = [Refusal::UserNotFound, Refusal::InsufficientFunds, Refusal::BalanceOutOfRange];
    a_change_by::<TransferBody>(&TransferBody::FIELDS, &example, &refusals, operation)
}

fn bookings() -> [ApiOperation; 3] {
    let done = json!({ "bookingId": EXAMPLE_ID, "eventId": 1, "seatsLeft": 0 });
    let done = answered("Booked.", &CHANGED, "Booked", &done);
    let book = ApiOperation {
        parameters: CHANGE.to_vec(),
        success: (201, done),
        causes: errors::of_no_version().into_iter().collect(),
        links: TO_BOOKING,
        ..ApiOperation::new("post", "/bookings", "book", "booking", "Book a seat", Value::Null)
    };
    let refusals = [Refusal::EventNotFound, Refusal::UserNotFound, Refusal::AlreadyBooked, Refusal::SoldOut];
    let example = json!({ "eventId": 1, "userId": 7 });
    let summary = "Cancel a booking; its seat is free again";
    let cancel = ApiOperation {
        parameters: [&["bookingId"], CHANGE.as_slice()].concat(),
        success: (204, empty("Cancelled.", &CHANGED)),
        causes: errors::of_a_change()
            .chain(errors::of_an_id("bookingId", body::booking_id("x")))
            .chain([errors::of_no_body()])
            .chain(errors::refused(&[Refusal::BookingNotFound]))
            .chain(errors::of_no_version())
            .collect(),
        ..ApiOperation::new("delete", "/bookings/{bookingId}", "cancelBooking", "booking", summary, Value::Null)
    };
    let shown = json!({
        "eventId": 1, "capacity": 1, "booked": 1, "isBooked": true,
        "bookings": [{ "bookingId": EXAMPLE_ID, "userId": 7, "bookingTime": "2026-11-21T12:00:00.000000Z" }],
    });
    let shown = answered("The event and its bookings.", &ROW_READ, "Event", &shown);
    let summary = "Read an event with its bookings";
    let read = ApiOperation::new("get", "/events/{eventId}", "readEvent", "booking", summary, shown);
    let not_an_id = errors::of_an_id("eventId", body::id(body::EVENT_ID, "x"));
    [
        a_change_by::<BookingBody>(&BookingBody::FIELDS, &example, &refusals, book),
        cancel,
        a_read(read, "eventId", not_an_id.chain(errors::refused(&[Refusal::EventNotFound]))),
    ]
}

fn counters() -> [ApiOperation; 2] {
    let not_an_id = || errors::of_an_id("counterId", body::id(body::COUNTER_ID, "x"));
    let unknown = || errors::refused(&[Refusal::CounterNotFound]).chain([errors::not_offered()]);
    let path = "/counters/{counterId}/increment";
    let done = answered("The new value.", &ROW_CHANGED, "Counter", &json!({ "value": 2 }));
    let increment = ApiOperation {
        parameters: [&["counterId"], CHANGE_OF_A_ROW.as_slice()].concat(),
        causes: errors::of_a_change()
            .chain(not_an_id())
            .chain([errors::of_no_body()])
            .chain(unknown())
            .chain(errors::refused(&[Refusal::CounterOutOfRange]))
            .chain(errors::of_a_version())
            .collect(),
        links: TO_COUNTER,
        ..ApiOperation::new("post", path, "increment", "counter", "Add one to a counter", done)
    };
    let shown = answered("The value.", &ROW_READ, "Counter", &json!({ "value": 1 }));
    let read = ApiOperation::new("get", "/counters/{counterId}", "readCounter", "counter", "Read a counter", shown);
    [a_read(read, "counterId", not_an_id().chain(unknown())), increment]
}

fn reset() -> ApiOperation {
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
        Some(ErrorCause::rejected(name, chosen.err()?))
    });
    let done = answered("All data were replaced with the seed.", &[], "Seed", &example);
    ApiOperation {
        parameters: vec!["seed"],
        body: Some(body),
        causes: errors::of_a_reset().chain(bad).collect(),
        ..ApiOperation::new("post", "/reset", "reset", "data", "Replace all data with a seed", done)
    }
}
