//! `GET /`: the matrix of approaches and workloads.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::html;

use super::Dashboard;
use super::page::{Page, Place};

/// `GET /`.
pub async fn page(State(dashboard): State<Arc<Dashboard>>) -> Response {
    Page { title: "Overview", place: Some(Place::Overview), body: html! {}, scripts: &[] }.answer(&dashboard)
}
