//! What handlers extract besides services: a JSON body, and the permission to start and stop experiments.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRef, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;

use crate::config::Limits;
use crate::dashboard::model::permission::ExperimentPermission;
use crate::http::answer::Rejection;
use crate::http::body::{collect, require_json};

/// A JSON body of this type. It has the limits of every other body.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Rejection;

    async fn from_request(request: Request<Body>, _: &S) -> Result<Self, Rejection> {
        require_json(request.headers())?;
        // The longest schedule of the player has a few hundred bytes.
        let bytes = collect(request.into_body(), &Limits::default()).await?;
        // The message names the field and what was expected.
        serde_json::from_slice(&bytes).map(Self).map_err(|error| Rejection::invalid(format!("body: {error}")))
    }
}

/// The pause before the answer to a wrong token, so that one connection makes one guess a second.
const WRONG_TOKEN_PAUSE: Duration = Duration::from_secs(1);

/// The request may start and stop experiments. Extracted first, before a handler does anything.
#[derive(Debug)]
pub struct Permitted;

impl<S: Send + Sync> FromRequestParts<S> for Permitted
where
    ExperimentPermission: FromRef<S>,
{
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        let refused = match ExperimentPermission::from_ref(state).check(&parts.headers) {
            Ok(()) => return Ok(Self),
            Err(refused) => refused,
        };
        if refused.status == StatusCode::UNAUTHORIZED && parts.headers.contains_key(header::AUTHORIZATION) {
            tracing::warn!(path = %parts.uri.path(), "a request had a wrong admin token");
            tokio::time::sleep(WRONG_TOKEN_PAUSE).await;
        }
        Err(refused)
    }
}
