//! A parameter of a route's path.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use super::answer::Rejection;

/// The only parameter of a path, decoded. A segment that cannot be decoded gets an answer in the same form as every
/// other error; axum's own extractor would answer in another form.
#[derive(Debug)]
pub struct PathSegment(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathSegment {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(text)) => Ok(Self(text)),
            Err(rejection) => Err(Rejection::new(rejection.status(), format!("path: {}", rejection.body_text()))),
        }
    }
}
