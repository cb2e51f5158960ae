//! `GET /environment`: the conditions that a report must state about the server, because its figures depend on them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::guard::SessionId;
use super::{AppState, answer, catalogue};

/// The conditions of a server of this project, as it reports them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerEnvironment {
    /// The version of the program.
    pub version: String,
    /// The commit that the program was built from, if known.
    pub commit: Option<String>,
    /// The number of cores that it may use.
    pub cores: u32,
    /// The maximum number of database connections.
    pub pool_size: u64,
    /// The maximum number of sessions on one row.
    pub row_sessions: u64,
    /// Whether it honours the experiment headers, such as `Lab-Think-Time`.
    pub lab_headers: bool,
    /// PostgreSQL's version.
    pub postgres: String,
    /// PostgreSQL's settings that matter to durability, isolation and speed, as `SHOW` gives them.
    pub settings: BTreeMap<String, String>,
}

/// The path of the route.
pub const PATH: &str = "/environment";

/// The commit that this program was built from, if the build knew it.
pub const COMMIT: Option<&str> = option_env!("LAB_COMMIT");

/// `GET /environment`: versions, limits, and the settings of PostgreSQL that affect the figures.
pub async fn environment(State(app): State<Arc<AppState>>, request: Request) -> Response {
    let limits = app.engine.limits();
    let found = catalogue::in_time(app.engine.server().database().settings()).await;
    match found {
        Ok((postgres, settings)) => {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            let environment = ServerEnvironment {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                commit: COMMIT.map(str::to_owned),
                cores: u32::try_from(cores).unwrap_or(u32::MAX),
                pool_size: app.engine.server().database().pool().size() as u64,
                row_sessions: limits.row_sessions as u64,
                lab_headers: app.lab_headers,
                postgres,
                settings,
            };
            answer::json(StatusCode::OK, &environment)
        }
        Err(unavailable) => answer::failure(SessionId::of(request.extensions()), &unavailable),
    }
}
