//! The access log: one line per request, with the target [`TARGET`], at the level INFO.
//!
//! It is off unless the log's filter asks for it. When it is off it costs nothing: the server reads no clock and
//! records nothing.

use std::time::Instant;

use axum::body::HttpBody as _;
use axum::http::{Method, Request};
use axum::response::Response;

use super::guard::REQUEST_ID;

/// The target of its lines. The log's filter turns it on by this name: `LAB_LOG=warn,concurrency_lab::access=info`.
pub const TARGET: &str = "concurrency_lab::access";

/// Longest path that a line shows, in characters. The log's buffer holds a bounded number of lines, so lines are
/// bounded too.
const PATH_MAX: usize = 256;

/// The line of one request. It is written when the request is answered, or when it is dropped without an answer.
#[derive(Debug)]
#[must_use]
pub struct AccessLogEntry(Option<LoggedRequest>);

/// The part of a request that the line needs. The request itself no longer exists when it is answered.
#[derive(Debug)]
struct LoggedRequest {
    started: Instant,
    method: Method,
    path: String,
}

impl AccessLogEntry {
    /// Starts the line of this request, if the log is on.
    pub fn of<B>(request: &Request<B>) -> Self {
        let wanted = tracing::enabled!(target: TARGET, tracing::Level::INFO);
        Self(wanted.then(|| LoggedRequest {
            started: Instant::now(),
            method: request.method().clone(),
            // Without the query: the line does not need it, and a user may not want it stored.
            path: request.uri().path().chars().take(PATH_MAX).collect(),
        }))
    }

    /// Writes the line about this answer, and returns the answer.
    pub fn answered(mut self, response: Response) -> Response {
        if let Some(LoggedRequest { started, method, path }) = self.0.take() {
            let id = response.headers().get(&REQUEST_ID).map(tracing::field::debug);
            let status = response.status().as_u16();
            let bytes = response.body().size_hint().exact();
            let duration_us = micros(started);
            // Ids and paths come from clients. The Debug format escapes line breaks, so they cannot end the line.
            tracing::info!(target: TARGET, id, %method, ?path, status, duration_us, bytes);
        }
        response
    }
}

impl Drop for AccessLogEntry {
    fn drop(&mut self) {
        if let Some(LoggedRequest { started, method, path }) = self.0.take() {
            let duration_us = micros(started);
            tracing::info!(target: TARGET, %method, ?path, duration_us, "the connection was reset before the answer; the operation runs to its end");
        }
    }
}

fn micros(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX)
}
