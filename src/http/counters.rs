//! The routes of a counter: increment it, read it.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::answer::Rejection;
use super::approach_routes::{ApproachRoutes, ParsedRequest};
use super::path_segment::PathSegment;
use super::{answer, body, headers};
use crate::engine::operation::CounterRead;
use domain::{Counter, Increment};

#[derive(Serialize)]
struct CounterValue {
    value: i64,
}

/// `POST /counters/{id}/increment` → `{"value":2}`.
pub async fn increment(
    State(routes): State<ApproachRoutes>,
    PathSegment(counter): PathSegment,
    request: Request,
) -> Result<Response, Rejection> {
    let parsed = routes.read_increment(request, &counter).await?;
    let id = parsed.operation.counter;
    let outcome = routes.execute(parsed).await;
    Ok(answer::outcome(&outcome, |&Counter { value, version }| {
        let response = answer::with_etag(answer::json(StatusCode::OK, &CounterValue { value }), version);
        answer::with_versions(response, format_args!("counters/{id}={version}"))
    }))
}

/// `GET /counters/{id}` → `{"value":2}`.
pub async fn read(
    State(routes): State<ApproachRoutes>,
    PathSegment(counter): PathSegment,
    request: Request,
) -> Result<Response, Rejection> {
    let counter = body::id(body::COUNTER_ID, &counter)?;
    let parsed = routes.parsed(&request.into_parts().0, CounterRead { counter })?;
    let outcome = routes.execute(parsed).await;
    Ok(answer::outcome(&outcome, |&Counter { value, version }| {
        answer::with_etag(answer::json(StatusCode::OK, &CounterValue { value }), version)
    }))
}

impl ApproachRoutes {
    async fn read_increment(&self, request: Request, counter: &str) -> Result<ParsedRequest<Increment>, Rejection> {
        let (parts, body) = request.into_parts();
        let counter = body::id(body::COUNTER_ID, counter)?;
        body::nothing(&parts.headers, body, self.app.engine.limits()).await?;
        let if_version = headers::if_version(&parts.headers, self.approach)?;
        self.parsed(&parts, Increment { counter, if_version })
    }
}
