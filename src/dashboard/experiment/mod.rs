//! The one experiment that may be under way: started, watched, stopped.
//!
//! - [`order`]: what a page may ask for
//! - [`mod@bench`]: the one place, and who follows what is in it; [`process`]: the process that an experiment is; [`hold`]: that nobody else
//!   works on its database
//! - [`snapshot`]: all that there is to see at one moment; [`course`]: of it, the slices of a round
//! - [`parts`]: a snapshot as pieces of a page; [`race`], [`search`]: those of a run and of an exploration
//! - [`stream`]: those pieces as server-sent events
//! - [`mod@forms`]: the forms that start an experiment

mod bench;
mod course;
mod forms;
mod hold;
mod order;
mod parts;
mod process;
mod race;
mod search;
mod snapshot;
mod stream;

pub use bench::Bench;
pub use forms::{forms, progress};
pub use order::Order;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use maud::html;
use serde_json::{Map, Value, json};

use super::Dashboard;
use super::asked::Asked;
use super::page::{Page, Place};
use super::permission::{Permission, Permitted};
use crate::http::answer;
use crate::http::answer::Rejection;

/// Where the experiment is watched.
pub const PATH: &str = "/lab/experiment";

/// The routes.
pub fn routes() -> Router<Arc<Dashboard>> {
    Router::new()
        .route("/lab/experiments", post(start))
        .route(PATH, get(page))
        .route("/lab/experiment/events", get(stream::events))
        .route("/lab/experiment/stop", post(stop))
}

/// `POST /lab/experiments`.
async fn start(
    _: Permitted,
    State(dashboard): State<Arc<Dashboard>>,
    Asked(asked): Asked<Map<String, Value>>,
) -> Result<Response, Rejection> {
    dashboard.bench.start(&dashboard, Order::read(asked)?)?;
    Ok(answer::json(StatusCode::CREATED, &json!({ "url": PATH })))
}

/// `POST /lab/experiment/stop`.
async fn stop(_: Permitted, State(dashboard): State<Arc<Dashboard>>) -> Result<Response, Rejection> {
    dashboard.bench.stop()?;
    Ok(answer::json(StatusCode::ACCEPTED, &json!({ "url": PATH })))
}

/// `GET /lab/experiment`.
async fn page(State(dashboard): State<Arc<Dashboard>>) -> Response {
    let snapshot = dashboard.bench.snapshot();
    let is_over = snapshot.experiment.as_ref().is_none_or(snapshot::State::is_over);
    let body = html! {
        div.experiment data-version=(snapshot.version) {
            @for (id, part) in snapshot.parts().with_ids() {
                // What is said aloud when it changes; the figures change too often for that.
                @if id == parts::DONE {
                    // Wider than a telephone, so it scrolls, also by keyboard.
                    div.wide id=(id) role="region" aria-label="What was found" tabindex="0" { (part) }
                } @else {
                    div id=(id) role=[(id == parts::PHASE).then_some("status")] { (part) }
                }
                @if id == parts::PHASE {
                    // Outside of what is replaced, so that whoever has tabbed to it stays there.
                    @if dashboard.permission != Permission::Nobody {
                        p.bench-controls {
                            button #experiment-stop type="button" aria-disabled=(is_over) { "Stop the experiment" }
                            " " span #experiment-said.said role="alert" {}
                        }
                    }
                }
            }
        }
        section aria-labelledby="start-heading" {
            h2 #start-heading { "Start an experiment" }
            (forms(&dashboard))
        }
    };
    Page { title: "Live experiment", place: Some(Place::Experiment), body, scripts: &["experiment.js"] }
        .answer(&dashboard)
}
