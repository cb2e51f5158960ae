//! One approach's routes, and the two steps that they share: reading a request, and running its operation in the engine.

use std::sync::Arc;

use axum::Router;
use axum::http::request::Parts;
use axum::routing::{delete, get, patch, post};
use uuid::Uuid;

use super::answer::Rejection;
use super::guard::SessionId;
use super::metrics::RequestCounter;
use super::{AppState, RouteList, at, balances, bookings, counters, headers, reset, transfers};
use crate::engine::operation::Operation;
use crate::engine::{Instrumentation, OperationOutcome};
use crate::strategy::Approach;
use domain::Workload::{Balance, Booking, Counter, Transfer};

/// The routes of every approach.
pub const ROUTES: &RouteList<ApproachRoutes> = &[
    ("/balance", |counter| {
        patch(counter.count(Balance, balances::change)).get(counter.count(Balance, balances::read_by_query))
    }),
    ("/balance/{userId}", |counter| get(counter.count(Balance, balances::read_by_path))),
    ("/deposit", |counter| post(counter.count(Balance, balances::deposit))),
    ("/withdraw", |counter| post(counter.count(Balance, balances::withdraw))),
    ("/transfer", |counter| post(counter.count(Transfer, transfers::transfer))),
    ("/bookings", |counter| post(counter.count(Booking, bookings::book))),
    ("/bookings/{bookingId}", |counter| delete(counter.count(Booking, bookings::cancel))),
    ("/events/{eventId}", |counter| get(counter.count(Booking, bookings::read_event))),
    ("/counters/{counterId}", |counter| get(counter.count(Counter, counters::read))),
    ("/counters/{counterId}/increment", |counter| post(counter.count(Counter, counters::increment))),
    ("/reset", |_| post(reset::reset)),
];

/// The state of one approach's routes.
#[derive(Debug, Clone)]
pub struct ApproachRoutes {
    /// The state of all routes.
    pub app: Arc<AppState>,
    /// The approach.
    pub approach: Approach,
}

/// The operation that a request asks for, without the request itself: its headers would keep the connection's read buffer in
/// use, which is 8 KB for each request that waits.
#[derive(Debug)]
pub struct ParsedRequest<O> {
    id: Uuid,
    /// The operation.
    pub operation: O,
    instrumentation: Instrumentation,
    key: Option<Uuid>,
}

impl ApproachRoutes {
    /// All routes of the approach.
    pub fn routes(&self, prefix: &str) -> Router {
        let metrics = self.app.engine.server().metrics().clone();
        at(ROUTES, prefix, &RequestCounter { metrics, approach: Some(self.approach.metric_index()) })
            .with_state(self.clone())
    }

    /// Reads the headers of a request for this operation.
    ///
    /// # Errors
    /// 422 for a bad experiment header or a bad idempotency key; 501 for a key that this approach cannot store.
    pub fn parsed<O: Operation>(&self, parts: &Parts, operation: O) -> Result<ParsedRequest<O>, Rejection> {
        let instrumentation = headers::instrumentation(&parts.headers, self.app.lab_headers)?;
        let key = match operation.change() {
            Some(_) => headers::idempotency_key(&parts.headers, self.approach)?,
            None => None,
        };
        Ok(ParsedRequest { id: SessionId::of(&parts.extensions).0, operation, instrumentation, key })
    }

    /// Runs the operation to its end.
    pub async fn execute<O: Operation>(&self, request: ParsedRequest<O>) -> OperationOutcome<O::Done> {
        let ParsedRequest { id, operation, instrumentation, key } = request;
        self.app.engine.run(id, self.approach, operation, instrumentation, key).await
    }
}
