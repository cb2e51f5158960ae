//! The routes of events and their seats: book a seat, cancel a booking, read an event.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::answer::Rejection;
use super::approach_routes::{ApproachRoutes, ParsedRequest};
use super::body::{self, Field, NumberBody};
use super::path_segment::PathSegment;
use super::{answer, headers};
use crate::engine::operation::EventRead;
use crate::strategy::BookingRow;
use domain::{Booked, Booking, Cancellation, Cancelled};

/// The body of a booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BookingBody {
    /// The event.
    pub event_id: i64,
    /// The user who wants a seat.
    pub user_id: i64,
}

impl BookingBody {
    /// The fields of the body.
    pub const FIELDS: [Field; 2] = [body::EVENT_ID, body::USER_ID];
}

impl NumberBody for BookingBody {
    type Values = [i64; 2];

    fn values(&self) -> [i64; 2] {
        [self.event_id, self.user_id]
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BookingCreated {
    booking_id: Uuid,
    event_id: i64,
    seats_left: i64,
}

/// `POST /bookings`: `{"eventId":1,"userId":7}` → 201 with the booking's id.
pub async fn book(State(routes): State<ApproachRoutes>, request: Request) -> Result<Response, Rejection> {
    let parsed = routes.read_booking(request).await?;
    let event_id = parsed.operation.event;
    let outcome = routes.execute(parsed).await;
    Ok(answer::outcome(&outcome, |&Booked { booking_id, seats_left, version }| {
        let response = answer::json(StatusCode::CREATED, &BookingCreated { booking_id, event_id, seats_left });
        answer::with_versions(response, format_args!("events/{event_id}={version}"))
    }))
}

/// `DELETE /bookings/{id}` → 204; the seat is free again.
pub async fn cancel(
    State(routes): State<ApproachRoutes>,
    PathSegment(booking): PathSegment,
    request: Request,
) -> Result<Response, Rejection> {
    let parsed = routes.read_cancellation(request, &booking).await?;
    let outcome = routes.execute(parsed).await;
    Ok(answer::outcome(&outcome, |Cancelled { event_id, version }| {
        answer::with_versions(StatusCode::NO_CONTENT.into_response(), format_args!("events/{event_id}={version}"))
    }))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventBody<'a> {
    event_id: i64,
    capacity: i64,
    booked: i64,
    is_booked: bool,
    bookings: &'a [BookingRow],
}

/// `GET /events/{id}`: the event and its bookings. `isBooked` is true when no seat is left.
pub async fn read_event(
    State(routes): State<ApproachRoutes>,
    PathSegment(event): PathSegment,
    request: Request,
) -> Result<Response, Rejection> {
    let event_id = body::id(body::EVENT_ID, &event)?;
    let parsed = routes.parsed(&request.into_parts().0, EventRead { event: event_id })?;
    let outcome = routes.execute(parsed).await;
    Ok(answer::outcome(&outcome, |(event, bookings)| {
        let (capacity, booked) = (event.capacity, event.booked);
        let shown = EventBody { event_id, capacity, booked, is_booked: booked >= capacity, bookings };
        answer::with_etag(answer::json(StatusCode::OK, &shown), event.version)
    }))
}

impl ApproachRoutes {
    async fn read_booking(&self, request: Request) -> Result<ParsedRequest<Booking>, Rejection> {
        let (parts, body) = request.into_parts();
        let BookingBody { event_id, user_id } =
            body::numbers(&parts.headers, body, &BookingBody::FIELDS, self.app.engine.limits()).await?;
        headers::no_version(&parts.headers)?;
        self.parsed(&parts, Booking { event: event_id, user: user_id })
    }

    async fn read_cancellation(
        &self,
        request: Request,
        booking: &str,
    ) -> Result<ParsedRequest<Cancellation>, Rejection> {
        let (parts, body) = request.into_parts();
        let booking = body::booking_id(booking)?;
        body::nothing(&parts.headers, body, self.app.engine.limits()).await?;
        headers::no_version(&parts.headers)?;
        self.parsed(&parts, Cancellation { booking })
    }
}
