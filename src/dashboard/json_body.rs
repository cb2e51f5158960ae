//! What a script of ours asks for: a small JSON body.

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;

use crate::http::answer::Rejection;

/// Longest body, in bytes: the longest schedule of a player is a few hundred.
const BODY_MAX: usize = 16 * 1024;

/// A JSON body of this type.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Rejection;

    async fn from_request(request: Request<Body>, _: &S) -> Result<Self, Rejection> {
        let bytes = to_bytes(request.into_body(), BODY_MAX).await;
        let bytes = bytes.map_err(|_| {
            Rejection::new(StatusCode::PAYLOAD_TOO_LARGE, format!("body: longer than {BODY_MAX} bytes, or cut off"))
        })?;
        // The message names the field, and what was expected.
        serde_json::from_slice(&bytes).map(Self).map_err(|error| Rejection::invalid(format!("body: {error}")))
    }
}
