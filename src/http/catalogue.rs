//! The catalogue: all approaches with their claims, one approach with its SQL, and the health of the server.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use strum::IntoEnumIterator;

use super::approach_routes::ApproachRoutes;
use super::guard::SessionId;
use super::{AppState, answer};
use crate::engine::OperationError;
use crate::session::statement::Statement;
use crate::strategy::{Approach, Claims};

/// How long `/readyz` and `/environment` wait for the database.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// An entry of the list of approaches.
#[derive(Debug, Serialize)]
pub struct CatalogueEntry {
    name: &'static str,
    aliases: &'static [&'static str],
    idea: &'static str,
    claims: Claims,
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sql: Option<&'static [Statement]>,
}

impl CatalogueEntry {
    fn of(approach: Approach) -> Self {
        let info = approach.info();
        let name = approach.name();
        Self {
            name,
            aliases: info.aliases,
            idea: info.idea,
            claims: info.claims,
            url: format!("/approach/{name}"),
            sql: None,
        }
    }
}

/// The names of all approaches.
pub fn names() -> Vec<&'static str> {
    Approach::iter().map(Approach::name).collect()
}

/// The list of approaches.
#[derive(Debug, Serialize)]
pub struct ApproachCatalogue {
    approaches: Vec<CatalogueEntry>,
}

/// The answer of `GET /approaches`.
pub fn all() -> ApproachCatalogue {
    ApproachCatalogue { approaches: Approach::iter().map(CatalogueEntry::of).collect() }
}

/// The answer of `GET /approach/{approach}`.
pub fn whole(approach: Approach) -> CatalogueEntry {
    CatalogueEntry { sql: Some(approach.info().statements), ..CatalogueEntry::of(approach) }
}

/// `GET /approaches`.
pub async fn approaches() -> Response {
    answer::json(StatusCode::OK, &all())
}

/// `GET /approach/{approach}`: its entry, with the SQL.
pub async fn approach(State(routes): State<ApproachRoutes>) -> Response {
    answer::json(StatusCode::OK, &whole(routes.approach))
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// `GET /healthz`: the process answers.
pub async fn healthz() -> Response {
    answer::json(StatusCode::OK, &Health { status: "ok" })
}

/// `GET /readyz`: the process and its database answer, and the database accepts changes.
pub async fn readyz(State(app): State<Arc<AppState>>, request: Request) -> Response {
    match in_time(app.engine.server().database().check()).await {
        Ok(()) => answer::json(StatusCode::OK, &Health { status: "ready" }),
        Err(unavailable) => answer::failure(SessionId::of(request.extensions()), &unavailable),
    }
}

/// Waits for the database's answer, for a bounded time.
///
/// # Errors
/// The reason, as a 503.
pub async fn in_time<T, E: Display>(answer: impl Future<Output = Result<T, E>>) -> Result<T, OperationError> {
    let reason = match tokio::time::timeout(READY_TIMEOUT, answer).await {
        Ok(Ok(answer)) => return Ok(answer),
        Ok(Err(error)) => error.to_string(),
        Err(_elapsed) => format!("no answer within {} s", READY_TIMEOUT.as_secs()),
    };
    Err(OperationError::NotDone(format!("Database unavailable: {reason}").into()))
}
