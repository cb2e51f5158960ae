//! One approach's routes, and what they share: from a request to what it asks for, and from there to the engine.

use std::sync::Arc;

use axum::Router;
use axum::http::request::Parts;
use axum::routing::{delete, get, patch, post};
use uuid::Uuid;

use super::answer::Rejection;
use super::guard::SessionId;
use super::{App, Routes, at, balances, bookings, counters, headers, reset, transfers};
use crate::engine::operation::Operation;
use crate::engine::{Experiment, Outcome};
use crate::strategy::Approach;

/// The routes of every approach.
pub const ROUTES: &Routes<Desk> = &[
    ("/balance", || patch(balances::change).get(balances::read_by_query)),
    ("/balance/{userId}", || get(balances::read_by_path)),
    ("/deposit", || post(balances::deposit)),
    ("/withdraw", || post(balances::withdraw)),
    ("/transfer", || post(transfers::transfer)),
    ("/bookings", || post(bookings::book)),
    ("/bookings/{bookingId}", || delete(bookings::cancel)),
    ("/events/{eventId}", || get(bookings::read_event)),
    ("/counters/{counterId}", || get(counters::read)),
    ("/counters/{counterId}/increment", || post(counters::increment)),
    ("/reset", || post(reset::reset)),
];

/// The state of one approach's routes.
#[derive(Debug, Clone)]
pub struct Desk {
    /// What all routes share.
    pub app: Arc<App>,
    /// Whose routes they are.
    pub approach: Approach,
}

/// What a request asks for, without the request: its headers keep the connection's read buffer from being used again,
/// which is 8 KB for each request that waits.
#[derive(Debug)]
pub struct Asked<O> {
    id: Uuid,
    /// What to do.
    pub operation: O,
    experiment: Experiment,
    key: Option<Uuid>,
}

impl Desk {
    /// All routes of the approach.
    pub fn routes(&self, prefix: &str) -> Router {
        at(ROUTES, prefix).with_state(self.clone())
    }

    /// What a request with these headers asks for.
    ///
    /// # Errors
    /// The 422 to answer to a bad experiment header, or a bad key of a change; the 501 to a key that cannot be stored.
    pub fn asked<O: Operation>(&self, parts: &Parts, operation: O) -> Result<Asked<O>, Rejection> {
        let experiment = headers::experiment(&parts.headers, self.app.lab_headers)?;
        let key = match operation.change() {
            Some(_) => headers::idempotency_key(&parts.headers, self.approach)?,
            None => None,
        };
        Ok(Asked { id: SessionId::of(&parts.extensions).0, operation, experiment, key })
    }

    /// Does it.
    pub async fn carry_out<O: Operation>(&self, asked: Asked<O>) -> Outcome<O::Done> {
        let Asked { id, operation, experiment, key } = asked;
        self.app.engine.run(id, self.approach, operation, experiment, key).await
    }
}
