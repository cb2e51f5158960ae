//! The one experiment that may be under way: started, watched, stopped.
//!
//! - [`request`]: what a page may ask for
//! - [`slot`]: the one place, and who follows what is in it; [`process`]: the process that an experiment is; [`exclusive_lease`]: that nobody else
//!   works on its database
//! - [`snapshot`]: all that there is to see at one moment; [`live_round`]: of it, the slices of a round
//! - [`parts`]: a snapshot as pieces of a page; [`race`], [`search`]: those of a run and of an exploration
//! - [`stream`]: those pieces as server-sent events
//! - [`mod@forms`]: the forms that start an experiment

mod exclusive_lease;
mod forms;
mod live_round;
mod parts;
mod process;
mod race;
mod request;
mod search;
mod slot;
mod snapshot;
mod stream;

pub use forms::{forms, progress};
pub use request::ExperimentRequest;
pub use slot::ExperimentSlot;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use maud::html;
use serde_json::{Map, Value, json};

use super::Dashboard;
use super::json_body::JsonBody;
use super::page::{NavigationItem, Page};
use super::permission::{ExperimentPermission, Permitted};
use crate::explore::findings::{Exploration, Subject};
use crate::feed::FeedEvent;
use crate::http::answer;
use crate::http::answer::Rejection;
use crate::lab::results::Round;
use referee::history::RoundTitle;

/// What the process of an experiment writes, and this server reads.
pub type ExperimentEvent = FeedEvent<RoundTitle, Round, Subject, Exploration>;

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
    JsonBody(asked): JsonBody<Map<String, Value>>,
) -> Result<Response, Rejection> {
    dashboard.bench.start(&dashboard, ExperimentRequest::read(asked)?)?;
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
    let is_over = snapshot.experiment.as_ref().is_none_or(snapshot::ExperimentState::is_over);
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
                    @if dashboard.permission != ExperimentPermission::Nobody {
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
    Page { title: "Live experiment", place: Some(NavigationItem::Experiment), body, scripts: &["experiment.js"] }
        .answer(&dashboard)
}
