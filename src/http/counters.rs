//! The routes of a counter: count one more, look.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::answer::Rejection;
use super::desk::{Asked, Desk};
use super::segment::Segment;
use super::{answer, body, headers};
use crate::domain::{Counter, Increment};
use crate::engine::operation::CounterRead;

#[derive(Serialize)]
struct Value {
    value: i64,
}

/// `POST /counters/{id}/increment` → `{"value":2}`.
pub async fn increment(
    State(desk): State<Desk>,
    Segment(counter): Segment,
    request: Request,
) -> Result<Response, Rejection> {
    let asked = desk.read_increment(request, &counter).await?;
    let id = asked.operation.counter;
    let outcome = desk.carry_out(asked).await;
    Ok(answer::outcome(&outcome, |&Counter { value, version }| {
        let response = answer::with_etag(answer::json(StatusCode::OK, &Value { value }), version);
        answer::with_versions(response, format_args!("counters/{id}={version}"))
    }))
}

/// `GET /counters/{id}` → `{"value":2}`.
pub async fn read(
    State(desk): State<Desk>,
    Segment(counter): Segment,
    request: Request,
) -> Result<Response, Rejection> {
    let counter = body::id(body::COUNTER_ID, &counter)?;
    let asked = desk.asked(&request.into_parts().0, CounterRead { counter })?;
    let outcome = desk.carry_out(asked).await;
    Ok(answer::outcome(&outcome, |&Counter { value, version }| {
        answer::with_etag(answer::json(StatusCode::OK, &Value { value }), version)
    }))
}

impl Desk {
    async fn read_increment(&self, request: Request, counter: &str) -> Result<Asked<Increment>, Rejection> {
        let (parts, body) = request.into_parts();
        let counter = body::id(body::COUNTER_ID, counter)?;
        body::nothing(&parts.headers, body, self.app.engine.limits()).await?;
        let if_version = headers::if_version(&parts.headers, self.approach)?;
        self.asked(&parts, Increment { counter, if_version })
    }
}
