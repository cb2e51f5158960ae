//! HTTP: routes, exact bodies, headers, and the limits that protect the server.
//!
//! Every approach has the same routes under `/approach/<name>` (and under each of its aliases), and one of them at the
//! root as well. So a client written for a plain `/balance, /deposit, /withdraw, /reset` service needs only another base
//! URL.
//!
//! - [`approach_routes`]: the routes of one approach: [`balances`], [`transfers`], [`bookings`], [`counters`], [`mod@reset`]
//! - [`catalogue`]: the list of approaches, one approach, health
//! - [`body`], [`path_segment`], [`headers`]: from bytes to valid input, or an error that names the field
//! - [`answer`]: the one place where the outcome of an operation becomes HTTP
//! - [`access_log`]: one line for each request, if the access log is on
//! - [`environment`]: the facts about the server that a report needs
//! - [`guard`]: request ids, and the check of Origin and Host
//! - [`metrics`]: `/metrics`, and the wrapper that counts
//! - [`problem`]: errors as problem documents, for clients that ask for them
//! - [`mod@openapi`], [`docs`]: the description of the interface, for programs and for people
//! - [`listener`]: connections, their limits, and the graceful stop
//! - [`client_stream`]: clients that stop sending before they have their answer

pub mod access_log;
pub mod answer;
mod approach_routes;
mod balances;
pub(crate) mod body;
mod bookings;
mod catalogue;
mod client_stream;
mod counters;
mod docs;
pub mod environment;
mod guard;
mod headers;
pub mod listener;
mod metrics;
mod openapi;
pub mod path_segment;
mod problem;
mod reset;
mod transfers;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, Request, StatusCode, Uri};
use axum::response::Response;
use axum::routing::{MethodRouter, get, patch};
use strum::IntoEnumIterator;
use tower::{Layer as _, ServiceExt as _};
use tower_http::catch_panic::{CatchPanic, CatchPanicLayer};

use crate::database::seed::Seed;
use crate::engine::Engine;
use crate::strategy::Approach;
use domain::Workload;

use approach_routes::ApproachRoutes;
use metrics::RequestCounter;
use problem::ErrorForm;

/// The state that all routes share.
#[derive(Debug)]
pub struct AppState {
    /// Runs the operations.
    pub engine: Engine,
    /// The seed of a bare `/reset`.
    pub seed: Seed,
    /// The approach that the root's routes use.
    pub root_approach: Approach,
    /// Host names, beside IP addresses and localhost, under which requests are accepted.
    pub allowed_hosts: Vec<String>,
    /// Whether the experiment headers (`Lab-Trace`, `Lab-Think-Time`, `Lab-Fault`) have an effect.
    pub lab_headers: bool,
}

/// Paths and their handlers, whose requests are counted. The OpenAPI document ([`openapi`]) must describe each path.
type RouteList<S> = [(&'static str, fn(&RequestCounter) -> MethodRouter<S>)];

/// The routes at the root that belong to no approach.
const ROUTES: &RouteList<Arc<AppState>> = &[
    ("/approaches", |_| get(catalogue::approaches)),
    ("/healthz", |_| get(catalogue::healthz)),
    ("/readyz", |_| get(catalogue::readyz)),
    ("/ceiling/balance", |counter| patch(counter.count(Workload::Balance, balances::ceiling))),
    (environment::PATH, |_| get(environment::environment)),
    ("/metrics", |_| get(metrics::metrics)),
    (openapi::PATH, |_| get(openapi::document)),
    ("/docs", |_| get(docs::page)),
    ("/docs/{file}", |_| get(docs::file)),
    (problem::PAGE, |_| get(problem::page)),
];

/// A router of these routes, under a prefix.
fn at<S: Clone + Send + Sync + 'static>(routes: &RouteList<S>, prefix: &str, counter: &RequestCounter) -> Router<S> {
    routes
        .iter()
        .fold(Router::new(), |router, (path, methods)| router.route(&format!("{prefix}{path}"), methods(counter)))
}

/// All routes and these pages, without the layers around them.
fn router(app: &Arc<AppState>, pages: Router) -> Router {
    let ceiling = RequestCounter { metrics: app.engine.server().metrics().clone(), approach: None };
    let mut router = at(ROUTES, "", &ceiling)
        .route("/approach/{unknown}", axum::routing::any(unknown_approach))
        .route("/approach/{unknown}/{*rest}", axum::routing::any(unknown_approach))
        .with_state(Arc::clone(app))
        .merge(ApproachRoutes { app: Arc::clone(app), approach: app.root_approach }.routes(""))
        .merge(pages);
    for approach in Approach::iter() {
        for name in std::iter::once(approach.name()).chain(approach.info().aliases.iter().copied()) {
            let prefix = format!("/approach/{name}");
            let state = ApproachRoutes { app: Arc::clone(app), approach };
            router = router
                .merge(Router::new().route(&prefix, get(catalogue::approach)).with_state(state.clone()))
                .merge(state.routes(&prefix));
        }
    }
    router.fallback(no_such_route).method_not_allowed_fallback(method_not_allowed)
}

/// All routes behind the [`guard`], for the [`listener`]. The layers are called directly and not by `Router::layer`, which would
/// box and clone every layer once more for each request.
#[derive(Debug, Clone)]
pub struct HttpService {
    app: Arc<AppState>,
    routes: CatchPanic<Router, answer::Panicked>,
}

impl HttpService {
    /// The HTTP service of an application.
    #[must_use]
    pub fn new(app: Arc<AppState>) -> Self {
        Self::with_pages(app, Router::new())
    }

    /// The same, with these pages beside it, which are behind the guard too.
    #[must_use]
    pub fn with_pages(app: Arc<AppState>, pages: Router) -> Self {
        let routes = CatchPanicLayer::custom(answer::Panicked).layer(router(&app, pages));
        Self { app, routes }
    }

    /// Answers one request.
    pub async fn answer(&self, mut request: Request<Body>) -> Response {
        let entry = access_log::AccessLogEntry::of(&request);
        let admitted = guard::admit(&self.app, &mut request);
        let errors = ErrorForm::wanted(&request);
        let response = match admitted {
            Ok(id) => {
                let routed = self.routes.clone().oneshot(request).await;
                let mut response = routed.unwrap_or_else(|impossible| match impossible {}).map(Body::new);
                guard::sign(&mut response, id);
                response
            }
            Err(refused) => *refused,
        };
        entry.answered(errors.give(response).await)
    }
}

async fn unknown_approach(State(_): State<Arc<AppState>>, uri: Uri) -> Response {
    let name = uri.path().split('/').nth(2).unwrap_or_default();
    match Approach::find(name) {
        Some(approach) => no_such_route_under(approach, &uri),
        None => answer::error(StatusCode::NOT_FOUND, &no_such_approach(name)),
    }
}

fn no_such_approach(name: &str) -> String {
    format!("approach: {name:?} is unknown; there are {}", catalogue::names().join(", "))
}

fn no_such_route_under(approach: Approach, uri: &Uri) -> Response {
    let routes = approach_routes::ROUTES.iter().map(|(path, _)| *path).collect::<Vec<_>>().join(", ");
    let message = format!("{} is not a route; {} has {routes}", uri.path(), approach.name());
    answer::error(StatusCode::NOT_FOUND, &message)
}

async fn no_such_route(uri: Uri) -> Response {
    answer::error(
        StatusCode::NOT_FOUND,
        &format!("{} is not a route; GET /approaches lists the approaches", uri.path()),
    )
}

async fn method_not_allowed(method: Method, uri: Uri) -> Response {
    answer::error(
        StatusCode::METHOD_NOT_ALLOWED,
        &format!("{method} is not allowed on {}; the Allow header names what is", uri.path()),
    )
}
