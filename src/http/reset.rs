//! `POST /reset`: replaces all data with the data of a seed.

use std::str::FromStr;

use axum::body::Bytes;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use strum::VariantNames;

use super::answer::{self, Rejection};
use super::approach_routes::ApproachRoutes;
use super::body;
use super::guard::SessionId;
use super::headers;
use crate::database::seed::Seed;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResetBody {
    seed: Option<String>,
}

/// `POST /reset`: no body, an empty one, `{"seed":"mixed"}` or `?seed=mixed` → `{"seed":"mixed"}`.
pub async fn reset(State(routes): State<ApproachRoutes>, request: Request) -> Result<Response, Rejection> {
    let app = &routes.app;
    let (parts, body) = request.into_parts();
    let id = SessionId::of(&parts.extensions);
    headers::none_on_a_reset(&parts.headers)?;
    let bytes = body::collect(body, app.engine.limits()).await?;
    let seed = chosen_seed(&parts.uri, &parts.headers, &bytes)?.unwrap_or(app.seed);
    Ok(match app.engine.reset(seed).await {
        Ok(()) => answer::json(StatusCode::OK, &ResetDone { seed: seed.into() }),
        Err(error) => answer::failure(id, &error),
    })
}

#[derive(Serialize)]
struct ResetDone {
    seed: &'static str,
}

/// The seed that a request names, if any.
///
/// # Errors
/// 400 or 415 for a body that cannot be read, 422 for an unknown seed or for two different ones.
pub fn chosen_seed(uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Result<Option<Seed>, Rejection> {
    let Query(query) = Query::<ResetBody>::try_from_uri(uri)
        .map_err(|error| Rejection::invalid(format!("query: {}", error.body_text())))?;
    let in_body = if body.trim_ascii().is_empty() {
        None
    } else {
        body::require_json(headers)?;
        let body: ResetBody = body::from_object(body).map_err(|error| {
            let status = if error.is_data() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
            Rejection::new(status, format!("body: expected no body or {{\"seed\":\"…\"}}: {error}"))
        })?;
        body.seed
    };
    let name = match (query.seed, in_body) {
        (Some(query), Some(body)) if query != body => {
            return Err(Rejection::invalid(format!(
                "seed: expected one seed, found {query:?} in the query and {body:?} in the body"
            )));
        }
        (query, body) => query.or(body),
    };
    let unknown =
        |name: &str| Rejection::invalid(format!("seed: expected one of {}, found {name:?}", Seed::VARIANTS.join(", ")));
    name.map(|name| Seed::from_str(&name).map_err(|_| unknown(&name))).transpose()
}
