//! The access log: one line a request, with the target [`TARGET`], at the level of information.
//!
//! It is off unless the log's filter asks for it, and costs nothing then: no clock is read and nothing is written down.

use std::time::Instant;

use axum::body::HttpBody as _;
use axum::http::{Method, Request};
use axum::response::Response;

use super::guard::REQUEST_ID;

/// By this name the log's filter turns it on: `LAB_LOG=warn,concurrency_lab::access=info`.
pub const TARGET: &str = "concurrency_lab::access";

/// Longest path that is shown, in characters: the buffer of the log is bounded by its lines.
const PATH_MAX: usize = 256;

/// The line of one request; written when it has been answered, or dropped without an answer.
#[derive(Debug)]
#[must_use]
pub struct AccessLogEntry(Option<LoggedRequest>);

/// What the line needs of a request, which is gone when it is answered.
#[derive(Debug)]
struct LoggedRequest {
    started: Instant,
    method: Method,
    path: String,
}

impl AccessLogEntry {
    /// The line of this request, if there is to be one.
    pub fn of<B>(request: &Request<B>) -> Self {
        let wanted = tracing::enabled!(target: TARGET, tracing::Level::INFO);
        Self(wanted.then(|| LoggedRequest {
            started: Instant::now(),
            method: request.method().clone(),
            // Without the query, which nobody needs here and somebody may not want to keep.
            path: request.uri().path().chars().take(PATH_MAX).collect(),
        }))
    }

    /// Writes the line about this answer, which it passes on.
    pub fn answered(mut self, response: Response) -> Response {
        if let Some(LoggedRequest { started, method, path }) = self.0.take() {
            let id = response.headers().get(&REQUEST_ID).map(tracing::field::debug);
            let status = response.status().as_u16();
            let bytes = response.body().size_hint().exact();
            let duration_us = micros(started);
            // Ids and paths come from clients: as Debug they cannot end the line.
            tracing::info!(target: TARGET, id, %method, ?path, status, duration_us, bytes);
        }
        response
    }
}

impl Drop for AccessLogEntry {
    fn drop(&mut self) {
        if let Some(LoggedRequest { started, method, path }) = self.0.take() {
            let duration_us = micros(started);
            tracing::info!(target: TARGET, %method, ?path, duration_us, "the client hung up");
        }
    }
}

fn micros(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX)
}
