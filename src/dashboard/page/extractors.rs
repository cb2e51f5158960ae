//! What handlers extract besides services: a JSON body, and the permission to start and stop experiments.

use axum::body::{Body, to_bytes};
use axum::extract::{FromRef, FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::dashboard::model::permission::ExperimentPermission;
use crate::http::answer::Rejection;

/// Longest body, in bytes: the longest schedule of the player has a few hundred.
const BODY_MAX: usize = 16 * 1024;

/// A JSON body of this type.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Rejection;

    async fn from_request(request: Request<Body>, _: &S) -> Result<Self, Rejection> {
        let bytes = to_bytes(request.into_body(), BODY_MAX).await;
        let bytes = bytes.map_err(|_| {
            Rejection::new(StatusCode::PAYLOAD_TOO_LARGE, format!("body: longer than {BODY_MAX} bytes, or incomplete"))
        })?;
        // The message names the field and what was expected.
        serde_json::from_slice(&bytes).map(Self).map_err(|error| Rejection::invalid(format!("body: {error}")))
    }
}

/// The request may start and stop experiments. Extracted first, before a handler does anything.
#[derive(Debug)]
pub struct Permitted;

impl<S: Send + Sync> FromRequestParts<S> for Permitted
where
    ExperimentPermission: FromRef<S>,
{
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        ExperimentPermission::from_ref(state).check(&parts.headers).map(|()| Self)
    }
}
