//! `GET /lab/runs/compare?one=&other=`: what `concurrency-lab compare` says of two runs.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::super::Dashboard;
use super::super::archive::OpenedExperiment;
use super::super::evidence::experiment;
use super::super::page::{NavigationItem, Page};
use crate::lab::reports::compare::compare;
use crate::lab::results::Run;
use crate::report::html::wide;

/// Which two.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComparedRuns {
    one: Option<String>,
    other: Option<String>,
}

/// The page.
pub async fn page(
    State(dashboard): State<Arc<Dashboard>>,
    pair: Result<Query<ComparedRuns>, QueryRejection>,
) -> Response {
    let (status, body) = match compared(&dashboard, pair).await {
        Ok(body) => (StatusCode::OK, body),
        Err((status, why)) => {
            (status, html! { p.warning role="alert" #refused { (why) } p { a href="/lab/runs" { "Choose two runs" } } })
        }
    };
    Page { title: "Two runs compared", place: Some(NavigationItem::Runs), body, scripts: &[] }
        .answer_with(status, &dashboard)
}

async fn compared(
    dashboard: &Dashboard,
    pair: Result<Query<ComparedRuns>, QueryRejection>,
) -> Result<Markup, (StatusCode, String)> {
    let invalid = |why: String| (StatusCode::UNPROCESSABLE_ENTITY, why);
    let Query(ComparedRuns { one, other }) =
        pair.map_err(|rejection| invalid(format!("Expected one=ID&other=ID: {rejection}")))?;
    let (Some(one), Some(other)) = (one, other) else {
        return Err(invalid("Two runs are compared: one for A, one for B.".to_owned()));
    };
    if one == other {
        return Err(invalid("A and B are the same run.".to_owned()));
    }
    let (a, b) = (run(dashboard, &one).await?, run(dashboard, &other).await?);
    match compare(&a, &b) {
        Ok(comparison) => Ok(html! {
            p { "A: " a href=(experiment(&one)) { (one) } " · B: " a href=(experiment(&other)) { (other) } }
            (comparison.to_html())
        }),
        Err(differ) => Ok(different(&one, &other, &differ.0)),
    }
}

/// What stands between two runs.
fn different(one: &str, other: &str, differences: &[(String, String, String)]) -> Markup {
    let table = html! {
        table {
            thead {
                tr {
                    th.name scope="col" { "condition" }
                    th scope="col" { "A: " a href=(experiment(one)) { (one) } }
                    th scope="col" { "B: " a href=(experiment(other)) { (other) } }
                }
            }
            tbody {
                @for (name, a, b) in differences { tr { th.name scope="row" { (name) } td { (a) } td { (b) } } }
            }
        }
    };
    html! {
        p.warning role="alert" #refused {
            "These runs were made under different conditions, so no figure of one says anything about the other."
        }
        (wide("What differs", &table))
        p { a href="/lab/runs" { "Choose two others" } }
    }
}

async fn run(dashboard: &Dashboard, id: &str) -> Result<Box<Run>, (StatusCode, String)> {
    match dashboard.archive.open(id).await {
        Ok(Some(OpenedExperiment::Run(run))) => Ok(run),
        Ok(Some(OpenedExperiment::Exploration(_))) => Err((
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("{id} is an exploration: only runs have figures that can be compared."),
        )),
        Ok(None) => Err((StatusCode::NOT_FOUND, format!("There is no run {id:?}."))),
        Err(why) => Err((StatusCode::UNPROCESSABLE_ENTITY, format!("{id} cannot be read: {why}"))),
    }
}
