//! The errors, with examples. The code that answers an error also produces the text of its example here, so the
//! document cannot differ from the server.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

use super::operation::with_those_of_every_answer;
use super::parts::{EXAMPLE_ID, reference};
use crate::config::Limits;
use crate::engine::OperationError;
use crate::http::answer::{self, Rejection};
use crate::http::body::{self, Field, NumberBody};
use crate::http::problem::{PROBLEM_JSON, Problem};
use crate::http::{guard, headers, no_such_approach};
use crate::strategy::Approach;
use domain::Refusal;

/// An error that an operation may answer, as an example.
#[derive(Debug, Clone)]
pub struct ErrorCause {
    /// The name of the example.
    name: &'static str,
    status: StatusCode,
    /// The refusal, if it is one.
    refusal: Option<Refusal>,
    /// The text of `error`.
    error: String,
    /// Whether the text is always the same.
    fixed: bool,
}

impl ErrorCause {
    /// A request that is rejected. The text depends on the request.
    pub fn rejected(name: &'static str, rejection: Rejection) -> Self {
        Self { name, status: rejection.status, refusal: None, error: rejection.message, fixed: false }
    }

    /// An operation that failed.
    fn failed(name: &'static str, error: &OperationError, fixed: bool) -> Self {
        let refusal = if let OperationError::Refused(refusal) = error { Some(*refusal) } else { None };
        Self { name, status: answer::status(error), refusal, error: error.to_string(), fixed }
    }
}

/// The refusals of the state.
pub fn refused(refusals: &[Refusal]) -> impl Iterator<Item = ErrorCause> {
    refusals.iter().map(|refusal| ErrorCause::failed(refusal.into(), &OperationError::Refused(*refusal), true))
}

/// The errors of any operation.
pub fn anywhere() -> impl Iterator<Item = ErrorCause> {
    let foreign = guard::checked_host(&sent(&[("host", "evil.example")]), &[]).err();
    let foreign =
        foreign.map(|reason| ErrorCause::rejected("foreign-host", Rejection::new(StatusCode::FORBIDDEN, reason)));
    foreign.into_iter().chain([ErrorCause::failed("internal", &OperationError::Bug("".into()), true)])
}

/// The errors of a read.
pub fn of_a_read() -> impl Iterator<Item = ErrorCause> {
    anywhere().chain([ErrorCause::failed("lock-timeout", &OperationError::NotDone("Lock timeout".into()), false)])
}

/// The errors of executing a change, once its request is parsed.
fn of_doing() -> impl Iterator<Item = ErrorCause> {
    of_a_read().chain([ErrorCause::failed("outcome-unknown", &OperationError::OutcomeUnknown("".into()), true)])
}

/// The errors of a reset.
pub fn of_a_reset() -> impl Iterator<Item = ErrorCause> {
    let key = headers::none_on_a_reset(&sent(&[("idempotency-key", "7f1c2d3e-4b5a-4c6d-8e9f-0a1b2c3d4e5f")])).err();
    let key = key.map(|rejection| ErrorCause::rejected("key-on-a-reset", rejection));
    of_doing().chain(of_sending()).chain(key)
}

/// The errors of a change.
pub fn of_a_change() -> impl Iterator<Item = ErrorCause> {
    of_doing().chain(of_sending()).chain(of_experiments()).chain(of_a_key())
}

/// The errors of any request that may change something, and of its body.
pub fn of_sending() -> impl Iterator<Item = ErrorCause> {
    let limits = Limits::default();
    let foreign = guard::refusal(&sent(&[("host", "127.0.0.1:3000"), ("origin", "http://evil.example")]), &[])
        .map(|reason| ErrorCause::rejected("foreign-origin", Rejection::new(StatusCode::FORBIDDEN, reason)));
    let not_json = body::require_json(&sent(&[("content-type", "text/plain")])).err();
    let body = [
        ErrorCause::rejected("too-slow", body::too_slow(&limits)),
        ErrorCause::rejected("too-large", body::too_large(&limits)),
    ];
    foreign.into_iter().chain(body).chain(not_json.map(|rejection| ErrorCause::rejected("not-json", rejection)))
}

/// The errors of a body of numbers, of which `example` is a valid one.
pub fn of_numbers<B: NumberBody>(fields: &[Field], example: &Value) -> impl Iterator<Item = ErrorCause> {
    let mut out_of_range = example.clone();
    if let Some(field) = fields.first() {
        out_of_range[field.name] = json!(0);
    }
    let bodies =
        [("empty", String::new()), ("missing-field", "{}".to_owned()), ("out-of-range", out_of_range.to_string())];
    bodies.into_iter().filter_map(|(name, text)| {
        body::parse::<B>(text.as_bytes(), fields).err().map(|rejection| ErrorCause::rejected(name, rejection))
    })
}

/// A parameter that is not an id.
pub fn not_an_id<T>(read: Result<T, Rejection>) -> Option<ErrorCause> {
    Some(ErrorCause::rejected("not-an-id", read.err()?))
}

/// A path parameter that is not an id, or not valid text.
pub fn of_an_id<T>(parameter: &str, read: Result<T, Rejection>) -> impl Iterator<Item = ErrorCause> + use<T> {
    not_an_id(read).into_iter().chain([undecodable(parameter)])
}

/// A path parameter that is not valid text.
pub fn undecodable(parameter: &str) -> ErrorCause {
    let message = format!("path: Invalid URL: Invalid UTF-8 in `{parameter}`");
    ErrorCause::rejected("undecodable", Rejection::new(StatusCode::BAD_REQUEST, message))
}

/// A body on a route that takes none.
pub fn of_no_body() -> ErrorCause {
    let message = "body: not valid JSON: EOF while parsing an object at line 1 column 1";
    ErrorCause::rejected("not-empty", Rejection::new(StatusCode::BAD_REQUEST, message))
}

/// An experiment header with a value that is not allowed.
pub fn of_experiments() -> Option<ErrorCause> {
    let rejection = headers::instrumentation(&sent(&[("lab-trace", "yes")]), true).err()?;
    Some(ErrorCause::rejected("lab-trace", rejection))
}

/// `If-Match`, read by `read`, where it is not honoured.
fn of_if_match<T>(read: impl Fn(&HeaderMap) -> Result<T, Rejection>) -> Option<ErrorCause> {
    Some(ErrorCause::rejected("if-match", read(&sent(&[("if-match", "\"1\"")])).err()?))
}

/// `If-Match` on a route that addresses one row: the row has another version, or the approach compares none.
pub fn of_a_version() -> impl Iterator<Item = ErrorCause> {
    let not_compared = of_if_match(|headers| headers::if_version(headers, Approach::AtomicReturning));
    refused(&[Refusal::VersionMismatch]).chain(not_compared)
}

/// `If-Match` on a route that does not address a single row.
pub fn of_no_version() -> Option<ErrorCause> {
    of_if_match(headers::no_version)
}

/// An idempotency key that the approach cannot store, or that belongs to another change.
fn of_a_key() -> impl Iterator<Item = ErrorCause> {
    let key = sent(&[("idempotency-key", "7f1c2d3e-4b5a-4c6d-8e9f-0a1b2c3d4e5f")]);
    let not_kept = headers::idempotency_key(&key, Approach::Naive).err();
    let not_kept = not_kept.map(|rejection| ErrorCause::rejected("key-not-kept", rejection));
    not_kept.into_iter().chain([ErrorCause::failed("key-reused", &OperationError::KeyReused, false)])
}

/// An approach that does not support the operation.
pub fn not_offered() -> ErrorCause {
    let reason = Approach::UniqueConstraint.info().unsupported_because;
    ErrorCause::failed("not-offered", &OperationError::Unsupported(reason.into()), false)
}

/// An approach that does not exist.
pub fn unknown_approach() -> ErrorCause {
    ErrorCause::rejected("unknown-approach", Rejection::new(StatusCode::NOT_FOUND, no_such_approach("nonsense")))
}

fn sent(headers: &[(&'static str, &'static str)]) -> HeaderMap {
    headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

/// The error responses of an operation, by status.
pub fn responses(causes: &[ErrorCause]) -> Map<String, Value> {
    let mut causes = causes.to_vec();
    causes.sort_by_key(|cause| cause.status);
    let by_status = causes.chunk_by(|one, other| one.status == other.status);
    by_status.map(|causes| (causes[0].status.as_u16().to_string(), response(causes[0].status, causes))).collect()
}

fn response(status: StatusCode, causes: &[ErrorCause]) -> Value {
    let problems = causes
        .iter()
        .map(|cause| (cause.name, json!(Problem::of(status, cause.refusal, Some(&cause.error), EXAMPLE_ID))));
    let plain = causes.iter().map(|cause| (cause.name, json!({ "error": cause.error })));
    let mut headers = match status {
        StatusCode::SERVICE_UNAVAILABLE => vec!["Retry-After", "Server-Timing"],
        StatusCode::CONFLICT | StatusCode::GATEWAY_TIMEOUT => vec!["Server-Timing"],
        _ => vec![],
    };
    if causes.iter().any(|cause| cause.refusal.is_some()) {
        headers.push("Lab-Refusal");
    }
    json!({
        "description": Problem::of(status, None, None, EXAMPLE_ID).title,
        "headers": with_those_of_every_answer(&headers),
        "content": {
            "application/json": { "schema": error_schema(causes), "examples": named(plain) },
            PROBLEM_JSON: { "schema": reference("schemas", "Problem"), "examples": named(problems) },
        },
    })
}

/// The schema of `error`. If all texts are fixed, it allows only these.
fn error_schema(causes: &[ErrorCause]) -> Value {
    if !causes.iter().all(|cause| cause.fixed) {
        return reference("schemas", "Error");
    }
    let texts = causes.iter().map(|cause| cause.error.as_str()).collect::<Vec<_>>();
    json!({
        "type": "object",
        "required": ["error"],
        "properties": { "error": { "enum": texts } },
        "additionalProperties": false,
    })
}

fn named(examples: impl Iterator<Item = (&'static str, Value)>) -> Map<String, Value> {
    examples.map(|(name, value)| (name.to_owned(), json!({ "value": value }))).collect()
}
