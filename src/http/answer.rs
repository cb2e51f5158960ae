//! The one place where the outcome of an operation becomes HTTP: status, exact body, headers.
//!
//! Bodies have no field beyond the contract's, so that equal answers have equal bodies and can be counted.

use std::any::Any;
use std::borrow::Cow;
use std::fmt::Write as _;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use tower_http::catch_panic::ResponseForPanic;

use super::guard::SessionId;
use crate::engine::{OperationError, OperationOutcome};
use crate::session::probe::TraceSpan;
use domain::Refusal;

/// The attempts of the operation, also if it was refused or not done.
pub const LAB_ATTEMPTS: HeaderName = HeaderName::from_static("lab-attempts");

/// The new version of each changed row: `users/1=12`.
pub const LAB_VERSIONS: HeaderName = HeaderName::from_static("lab-versions");

/// Which refusal an answer is: its name in kebab-case, such as `sold-out`. A program recognises a refusal by this header and
/// not by the sentence in the body.
pub const LAB_REFUSAL: HeaderName = HeaderName::from_static("lab-refusal");

/// Set on the answer to a change that was made before under the same `Idempotency-Key`.
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// About the longest `Server-Timing`, in bytes: many clients and proxies accept no more than 8 KB of headers.
const SERVER_TIMING_MAX: usize = 4_096;

/// When a client may try again after a 503, in seconds.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("1");

/// Room for the headers that most answers have.
const HEADERS: usize = 8;

/// A body of the contract, as JSON.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    let Ok(bytes) = serde_json::to_vec(body) else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, Bytes::from_static(br#"{"error":"Internal error"}"#));
    };
    plain(status, bytes.into())
}

fn plain(status: StatusCode, bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(bytes));
    // Reserved at once, so that the map does not grow twice later.
    response.headers_mut().reserve(HEADERS);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The body of every error.
#[derive(Debug, Serialize, Deserialize)]
pub struct ErrorBody<'a> {
    /// What went wrong.
    #[serde(borrow)]
    pub error: Cow<'a, str>,
}

/// `{"error":"…"}`.
#[must_use]
pub fn error(status: StatusCode, message: &str) -> Response<Body> {
    json(status, &ErrorBody { error: message.into() })
}

/// The status of an error.
#[must_use]
pub fn status(error: &OperationError) -> StatusCode {
    match error {
        OperationError::Refused(refusal) => status_of_refusal(*refusal),
        OperationError::NotDone(_) => StatusCode::SERVICE_UNAVAILABLE,
        OperationError::OutcomeUnknown(_) => StatusCode::GATEWAY_TIMEOUT,
        OperationError::Unsupported(_) => StatusCode::NOT_IMPLEMENTED,
        OperationError::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
        OperationError::Bug(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The status of a refusal.
#[must_use]
pub const fn status_of_refusal(refusal: Refusal) -> StatusCode {
    match refusal {
        Refusal::UserNotFound | Refusal::EventNotFound | Refusal::BookingNotFound | Refusal::CounterNotFound => {
            StatusCode::NOT_FOUND
        }
        Refusal::VersionMismatch => StatusCode::PRECONDITION_FAILED,
        Refusal::AlreadyBooked
        | Refusal::SoldOut
        | Refusal::InsufficientFunds
        | Refusal::BalanceOutOfRange
        | Refusal::CounterOutOfRange => StatusCode::CONFLICT,
    }
}

/// The answer to an operation that failed. Unless that is the fault of the request, it is logged here.
pub fn failure(session: SessionId, failure: &OperationError) -> Response<Body> {
    let session = session.0;
    match failure {
        OperationError::Bug(reason) => tracing::error!(%session, %reason, "internal error"),
        OperationError::OutcomeUnknown(reason) => tracing::warn!(%session, %reason, "outcome unknown"),
        OperationError::NotDone(reason) => tracing::info!(%session, %reason, "not done"),
        OperationError::Refused(_) | OperationError::Unsupported(_) | OperationError::KeyReused => {}
    }
    let mut response = error(status(failure), &failure.to_string());
    match failure {
        OperationError::Refused(refusal) => {
            response.headers_mut().insert(LAB_REFUSAL, HeaderValue::from_static(refusal.into()));
        }
        OperationError::NotDone(_) => {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_S);
        }
        _ => {}
    }
    response
}

/// The answer to an operation. `done` makes the answer to a success.
pub fn outcome<T>(outcome: &OperationOutcome<T>, done: impl FnOnce(&T) -> Response<Body>) -> Response<Body> {
    let mut response = match &outcome.result {
        Ok(result) => done(result),
        Err(error) => failure(SessionId(outcome.session), error),
    };
    response.headers_mut().insert(LAB_ATTEMPTS, HeaderValue::from(outcome.attempts));
    if outcome.replayed {
        response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    if !outcome.trace.is_empty() {
        insert(response.headers_mut(), SERVER_TIMING, format_args!("{}", server_timing(&outcome.trace)));
    }
    response
}

/// Adds the version of the one row that was addressed, as `ETag`.
pub fn with_etag(mut response: Response<Body>, version: i64) -> Response<Body> {
    insert(response.headers_mut(), header::ETAG, format_args!("\"{version}\""));
    response
}

/// Adds the new version of each changed row, as `Lab-Versions`.
pub fn with_versions(mut response: Response<Body>, versions: std::fmt::Arguments<'_>) -> Response<Body> {
    insert(response.headers_mut(), LAB_VERSIONS, versions);
    response
}

/// A request that never became an operation, because it could not be read or asks for something that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The status of the answer.
    pub status: StatusCode,
    /// What is wrong: the field, the value, and what is allowed.
    pub message: String,
}

impl Rejection {
    /// A rejection with this status.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// A value that is not allowed.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response<Body> {
        error(self.status, &self.message)
    }
}

/// The answer after a handler panicked, which is a bug in this program.
#[derive(Debug, Clone, Copy)]
pub struct Panicked;

impl ResponseForPanic for Panicked {
    type ResponseBody = Body;

    fn response_for_panic(&mut self, panic: Box<dyn Any + Send + 'static>) -> Response<Body> {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        tracing::error!(panic = text.unwrap_or("no message"), "a handler panicked");
        error(StatusCode::INTERNAL_SERVER_ERROR, "Internal error")
    }
}

fn insert(headers: &mut axum::http::HeaderMap, name: HeaderName, value: std::fmt::Arguments<'_>) {
    // Longer than all values here but a trace, so there is one allocation instead of several.
    let mut text = String::with_capacity(48);
    if text.write_fmt(value).is_ok()
        && let Ok(value) = HeaderValue::try_from(text)
    {
        headers.insert(name, value);
    }
}

/// A trace as `Server-Timing` (W3C): one metric for each statement, in order, durations in ms. The wait for the row and the
/// connection is a metric of its own before the statement that had to wait.
fn server_timing(trace: &[TraceSpan]) -> String {
    let mut metrics: Vec<String> = Vec::with_capacity(trace.len() * 2);
    for span in trace {
        if metrics.iter().map(String::len).sum::<usize>() > SERVER_TIMING_MAX {
            metrics.push("more;desc=\"the rest is left out\"".to_owned());
            break;
        }
        let waits = [
            (span.waited_for_row, "row-queue", "queued for the row"),
            (span.waited_for_connection, "connection", "waiting for a connection"),
        ];
        for (waited, name, description) in waits.into_iter().filter(|(waited, ..)| !waited.is_zero()) {
            metrics.push(format!("{name};dur={:.3};desc=\"{description}\"", waited.as_secs_f64() * 1e3));
        }
        let sql = span.statement.sql.split_whitespace().collect::<Vec<_>>().join(" ").replace('"', "'");
        metrics.push(format!("{};dur={:.3};desc=\"{sql}\"", span.statement.name, span.took.as_secs_f64() * 1e3));
    }
    metrics.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_status_and_only_a_change_that_was_not_made_may_be_retried() {
        let table = [
            (OperationError::Refused(Refusal::UserNotFound), 404, false),
            (OperationError::Refused(Refusal::EventNotFound), 404, false),
            (OperationError::Refused(Refusal::BookingNotFound), 404, false),
            (OperationError::Refused(Refusal::CounterNotFound), 404, false),
            (OperationError::Refused(Refusal::VersionMismatch), 412, false),
            (OperationError::Refused(Refusal::AlreadyBooked), 409, false),
            (OperationError::Refused(Refusal::SoldOut), 409, false),
            (OperationError::Refused(Refusal::CounterOutOfRange), 409, false),
            (OperationError::Refused(Refusal::InsufficientFunds), 409, false),
            (OperationError::Refused(Refusal::BalanceOutOfRange), 409, false),
            (OperationError::NotDone("full".into()), 503, true),
            (OperationError::OutcomeUnknown("lost answer".into()), 504, false),
            (OperationError::Unsupported("cannot".into()), 501, false),
            (OperationError::KeyReused, 422, false),
            (OperationError::Bug("oops".into()), 500, false),
        ];
        for (error, status, retry) in table {
            let response = failure(SessionId(uuid::Uuid::nil()), &error);
            assert_eq!(response.status(), status, "{error:?}");
            assert_eq!(response.headers().contains_key(header::RETRY_AFTER), retry, "{error:?}");
            let refusal = response.headers().get(LAB_REFUSAL).map(|name| name.to_str().expect("a name").to_owned());
            let expected = if let OperationError::Refused(refusal) = &error { Some(refusal.into()) } else { None };
            assert_eq!(refusal.as_deref(), expected, "{error:?}");
        }
    }
}
