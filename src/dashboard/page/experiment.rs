//! The experiment under way: `GET /lab/experiment`, and the requests that start and stop one.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use maud::html;
use serde_json::{Map, Value, json};

use super::extractors::{JsonBody, Permitted};
use crate::dashboard::model::experiment_request::ExperimentRequest;
use crate::dashboard::model::permission::ExperimentPermission;
use crate::dashboard::model::snapshot::ExperimentState;
use crate::dashboard::service::experiment_slot::ExperimentSlot;
use crate::dashboard::view::frame::{NavigationItem, Page};
use crate::dashboard::view::snapshot_parts::{self, PHASE, RESULTS, SnapshotMarkup};
use crate::dashboard::view::{experiment_forms, links};
use crate::http::answer;
use crate::http::answer::Rejection;

/// `POST /lab/experiments`.
pub async fn start(
    _: Permitted,
    State(slot): State<ExperimentSlot>,
    JsonBody(body): JsonBody<Map<String, Value>>,
) -> Result<Response, Rejection> {
    slot.start(ExperimentRequest::read(body)?)?;
    Ok(answer::json(StatusCode::CREATED, &json!({ "url": links::LIVE })))
}

/// `POST /lab/experiment/stop`.
pub async fn stop(_: Permitted, State(slot): State<ExperimentSlot>) -> Result<Response, Rejection> {
    slot.stop()?;
    Ok(answer::json(StatusCode::ACCEPTED, &json!({ "url": links::LIVE })))
}

/// `GET /lab/experiment`.
pub async fn page(
    State(permission): State<ExperimentPermission>,
    State(slot): State<ExperimentSlot>,
    State(markup): State<SnapshotMarkup>,
) -> Response {
    let snapshot = slot.snapshot();
    let is_over = snapshot.experiment.as_ref().is_none_or(ExperimentState::is_over);
    let parts = snapshot_parts::parts(&snapshot, &markup);
    let body = html! {
        div.experiment data-version=(snapshot.version) {
            @for (id, part) in parts.with_ids() {
                @if id == RESULTS {
                    // Wider than a telephone, so it scrolls, by keyboard too.
                    div.wide id=(id) role="region" aria-label="Results so far" tabindex="0" { (part) }
                } @else {
                    // A screen reader announces changes of the phase. The figures change too often for that.
                    div id=(id) role=[(id == PHASE).then_some("status")] { (part) }
                }
                @if id == PHASE && permission != ExperimentPermission::Closed {
                    // Outside of the parts that are replaced, so that the button keeps the keyboard's focus.
                    p.stop-controls {
                        button #experiment-stop type="button" aria-disabled=(is_over) { "Stop the experiment" }
                        " " span #experiment-message.message role="alert" {}
                    }
                }
            }
        }
        section aria-labelledby="start-heading" {
            h2 #start-heading { "Start an experiment" }
            (experiment_forms::forms(&permission, slot.under_way().as_deref()))
        }
    };
    Page { title: "Live experiment", item: Some(NavigationItem::Experiment), body, scripts: &["experiment.js"] }
        .answer(&permission)
}
