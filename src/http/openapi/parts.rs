//! What operations share: parameters, headers and schemas.

use serde_json::{Value, json};
use strum::{IntoEnumIterator as _, VariantNames as _};
use uuid::{Uuid, uuid};

use crate::config::{FAULT_MAX, THINK_TIME_MAX};
use crate::database::seed::Seed;
use crate::http::body::Field;
use crate::http::docs;
use crate::strategy::Approach;
use domain::Refusal;

/// An id for examples.
pub const EXAMPLE_ID: Uuid = uuid!("7f1c2d3e-4b5a-4c6d-8e9f-0a1b2c3d4e5f");

/// A reference to a component.
pub fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

/// All components.
pub fn components() -> Value {
    json!({ "parameters": parameters(), "headers": headers(), "schemas": schemas() })
}

/// A whole number that PostgreSQL calls bigint.
pub fn int64(min: i64) -> Value {
    json!({ "type": "integer", "format": "int64", "minimum": min, "maximum": i64::MAX })
}

/// An object that must have these members and has no others.
pub fn object(members: &Value) -> Value {
    let names: Vec<&String> = members.as_object().map(|members| members.keys().collect()).unwrap_or_default();
    json!({ "type": "object", "required": names, "properties": members, "additionalProperties": false })
}

/// The schema of a body of numbers, from the rules that the server parses it by.
pub fn numbers(fields: &[Field]) -> Value {
    object(&fields.iter().map(|field| (field.name.to_owned(), int64(field.min))).collect())
}

/// The names and aliases of all approaches.
pub fn approaches() -> Vec<&'static str> {
    let with_aliases =
        |approach: Approach| std::iter::once(approach.name()).chain(approach.info().aliases.iter().copied());
    Approach::iter().flat_map(with_aliases).collect()
}

fn parameters() -> Value {
    json!({
        "approach": {
            "name": "approach", "in": "path", "required": true,
            "description": "An approach's name, or one of its aliases.",
            "schema": { "type": "string", "enum": approaches() }, "example": Approach::AtomicReturning.name(),
        },
        "userId": { "name": "userId", "in": "path", "required": true, "schema": int64(1), "example": 1 },
        "userIdInQuery": { "name": "userId", "in": "query", "required": true, "schema": int64(1), "example": 1 },
        "eventId": { "name": "eventId", "in": "path", "required": true, "schema": int64(1), "example": 1 },
        "counterId": { "name": "counterId", "in": "path", "required": true, "schema": int64(1), "example": 1 },
        "bookingId": {
            "name": "bookingId", "in": "path", "required": true,
            "schema": { "type": "string", "format": "uuid" }, "example": EXAMPLE_ID,
        },
        "seed": {
            "name": "seed", "in": "query",
            "description": "The seed, as in the body. Without both, it is the seed of `serve --seed`.",
            "schema": { "type": "string", "enum": Seed::VARIANTS },
        },
        "file": {
            "name": "file", "in": "path", "required": true,
            "schema": { "type": "string", "enum": docs::files().collect::<Vec<_>>() },
        },
        "If-Match": {
            "name": "If-Match", "in": "header",
            "description": "Change exactly this version, as returned in `ETag`, or answer 412. Supported by optimistic-version; \
                other approaches answer 501.",
            "schema": { "type": "string", "pattern": "^(\\*|(W/)?\"[0-9]{1,18}\")$" },
        },
        "Idempotency-Key": {
            "name": "Idempotency-Key", "in": "header",
            "description": "A key for this change. If the same key comes again, the change is not made again: the original \
                answer is returned, with `Idempotency-Replayed: true`. 422 if the key belongs to another change, 501 if the \
                approach cannot store the key together with the change.",
            "schema": { "type": "string", "format": "uuid" },
        },
        "Lab-Trace": {
            "name": "Lab-Trace", "in": "header",
            "description": "1: the answer has the statements and their times in `Server-Timing`. Ignored unless the server is \
                bound to a loopback address or started with `--lab-headers`.",
            "schema": { "type": "string", "enum": ["0", "1"] },
        },
        "Lab-Think-Time": {
            "name": "Lab-Think-Time", "in": "header",
            "description": "The pause before each statement that writes, in milliseconds. Ignored under the same condition as \
                Lab-Trace.",
            "schema": { "type": "integer", "minimum": 0, "maximum": THINK_TIME_MAX.as_millis() },
        },
        "Lab-Fault": {
            "name": "Lab-Fault", "in": "header",
            "description": "Cut the connection to the database after this many statements. Ignored under the same condition as \
                Lab-Trace.",
            "schema": { "type": "integer", "minimum": 1, "maximum": FAULT_MAX },
        },
    })
}

fn headers() -> Value {
    json!({
        "x-request-id": {
            "description": "The request's own id if it sent one of up to 128 bytes; otherwise the id in the server's log lines.",
            "required": true, "schema": { "type": "string" }, "example": EXAMPLE_ID,
        },
        "Lab-Attempts": {
            "description": "The number of attempts at the operation; 0 if it was not tried.",
            "required": true, "schema": { "type": "integer", "minimum": 0 }, "example": 1,
        },
        "Lab-Versions": {
            "description": "The new version of each changed row.",
            "required": true, "schema": { "type": "string" }, "example": "users/1=2",
        },
        "ETag": {
            "description": "The version of the addressed row.",
            "required": true, "schema": { "type": "string", "pattern": "^\"[0-9]+\"$" }, "example": "\"2\"",
        },
        "Lab-Refusal": {
            "description": "Which refusal this is. Programs recognise a refusal by this header, not by the sentence in the body.",
            "schema": { "type": "string", "enum": Refusal::iter().map(<&str>::from).collect::<Vec<_>>() },
            "example": "sold-out",
        },
        "Idempotency-Replayed": {
            "description": "This `Idempotency-Key` was used before. The change was not made again; this is the original \
                answer.",
            "schema": { "type": "string", "enum": ["true"] },
        },
        "Retry-After": {
            "description": "The time to wait before the next attempt, in seconds.", "required": true, "schema": { "type": "integer", "minimum": 0 }, "example": 1,
        },
        "Server-Timing": {
            "description": "The statements and their times in milliseconds, if the request had `Lab-Trace: 1`.",
            "schema": { "type": "string" },
        },
    })
}

fn schemas() -> Value {
    let user_balance = reference("schemas", "UserBalance");
    let claim = json!({ "type": "string", "enum": ["safe", "safe-on-one-server", "broken", "unsupported"] });
    let statement = object(&json!({
        "name": { "type": "string" }, "sql": { "type": "string" },
        "effect": { "type": "string", "enum": ["reads", "writes", "controls"] },
    }));
    let entry = json!({
        "name": { "type": "string", "enum": Approach::VARIANTS },
        "aliases": { "type": "array", "items": { "type": "string" } },
        "idea": { "type": "string" },
        "claims": object(&json!({ "balance": claim, "transfer": claim, "booking": claim, "counter": claim })),
        "url": { "type": "string" },
    });
    let mut entry_with_sql = entry.clone();
    entry_with_sql["sql"] = json!({ "type": "array", "items": statement });
    json!({
        "Balance": object(&json!({ "balance": int64(0) })),
        "UserBalance": object(&json!({ "userId": int64(1), "balance": int64(0) })),
        "Transferred": object(&json!({ "from": user_balance, "to": user_balance })),
        "Booked": object(&json!({
            "bookingId": { "type": "string", "format": "uuid" },
            "eventId": int64(1),
            "seatsLeft": int64(i64::MIN),
        })),
        "Event": object(&json!({
            "eventId": int64(1), "capacity": int64(0), "booked": int64(0), "isBooked": { "type": "boolean" },
            "bookings": { "type": "array", "items": object(&json!({
                "bookingId": { "type": "string", "format": "uuid" },
                "userId": int64(1),
                "bookingTime": { "type": "string", "format": "date-time" },
            })) },
        })),
        "Counter": object(&json!({ "value": int64(i64::MIN) })),
        "Seed": object(&json!({ "seed": { "type": "string", "enum": Seed::VARIANTS } })),
        "Approach": object(&entry_with_sql),
        "Approaches": object(&json!({ "approaches": { "type": "array", "items": object(&entry) } })),
        "Health": object(&json!({ "status": { "type": "string", "enum": ["ok", "ready"] } })),
        "Error": object(&json!({ "error": { "type": "string", "minLength": 1 } })),
        "Problem": object(&json!({
            "type": { "type": "string", "format": "uri-reference" },
            "title": { "type": "string" },
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "detail": { "type": "string" },
            "instance": { "type": "string", "format": "uri" },
        })),
    })
}
