//! One approach's routes, and what they share: from a request to what it asks for, and from there to the engine.

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
    ("/balance", |tally| {
        patch(tally.count(Balance, balances::change)).get(tally.count(Balance, balances::read_by_query))
    }),
    ("/balance/{userId}", |tally| get(tally.count(Balance, balances::read_by_path))),
    ("/deposit", |tally| post(tally.count(Balance, balances::deposit))),
    ("/withdraw", |tally| post(tally.count(Balance, balances::withdraw))),
    ("/transfer", |tally| post(tally.count(Transfer, transfers::transfer))),
    ("/bookings", |tally| post(tally.count(Booking, bookings::book))),
    ("/bookings/{bookingId}", |tally| delete(tally.count(Booking, bookings::cancel))),
    ("/events/{eventId}", |tally| get(tally.count(Booking, bookings::read_event))),
    ("/counters/{counterId}", |tally| get(tally.count(Counter, counters::read))),
    ("/counters/{counterId}/increment", |tally| post(tally.count(Counter, counters::increment))),
    ("/reset", |_| post(reset::reset)),
];

/// The state of one approach's routes.
#[derive(Debug, Clone)]
pub struct ApproachRoutes {
    /// What all routes share.
    pub app: Arc<AppState>,
    /// Whose routes they are.
    pub approach: Approach,
}

/// What a request asks for, without the request: its headers keep the connection's read buffer from being used again,
/// which is 8 KB for each request that waits.
#[derive(Debug)]
pub struct ParsedRequest<O> {
    id: Uuid,
    /// What to do.
    pub operation: O,
    experiment: Instrumentation,
    key: Option<Uuid>,
}

impl ApproachRoutes {
    /// All routes of the approach.
    pub fn routes(&self, prefix: &str) -> Router {
        let metrics = self.app.engine.database().metrics().clone();
        at(ROUTES, prefix, &RequestCounter { metrics, approach: Some(self.approach) }).with_state(self.clone())
    }

    /// What a request with these headers asks for.
    ///
    /// # Errors
    /// The 422 to answer to a bad experiment header, or a bad key of a change; the 501 to a key that cannot be stored.
    pub fn asked<O: Operation>(&self, parts: &Parts, operation: O) -> Result<ParsedRequest<O>, Rejection> {
        let experiment = headers::experiment(&parts.headers, self.app.lab_headers)?;
        let key = match operation.change() {
            Some(_) => headers::idempotency_key(&parts.headers, self.approach)?,
            None => None,
        };
        Ok(ParsedRequest { id: SessionId::of(&parts.extensions).0, operation, experiment, key })
    }

    /// Does it.
    pub async fn execute<O: Operation>(&self, asked: ParsedRequest<O>) -> OperationOutcome<O::Done> {
        let ParsedRequest { id, operation, experiment, key } = asked;
        self.app.engine.run(id, self.approach, operation, experiment, key).await
    }
}
