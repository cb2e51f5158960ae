//! `GET /lab/runs/compare?one=&other=`: two runs, as `concurrency-lab compare` compares them.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use crate::dashboard::model::archive::{Archive, OpenedExperiment, ReadingTurn};
use crate::dashboard::model::permission::ExperimentPermission;
use crate::dashboard::view::frame::{NavigationItem, Page};
use crate::dashboard::view::links::experiment;
use crate::lab::reports::compare::compare;
use crate::lab::results::Run;
use crate::report::html::wide;

/// The two runs, by id.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComparedRuns {
    one: Option<String>,
    other: Option<String>,
}

/// The page.
pub async fn page(
    State(permission): State<ExperimentPermission>,
    State(archive): State<Archive>,
    pair: Result<Query<ComparedRuns>, QueryRejection>,
) -> Response {
    let (status, body) = match compared(&archive, pair).await {
        Ok(body) => (StatusCode::OK, body),
        Err((status, why)) => {
            (status, html! { p.warning role="alert" #refused { (why) } p { a href="/lab/runs" { "Choose two runs" } } })
        }
    };
    Page { title: "Two runs compared", item: Some(NavigationItem::Runs), body, scripts: &[] }
        .answer_with(status, &permission)
}

async fn compared(
    archive: &Archive,
    pair: Result<Query<ComparedRuns>, QueryRejection>,
) -> Result<Markup, (StatusCode, String)> {
    let invalid = |why: String| (StatusCode::UNPROCESSABLE_ENTITY, why);
    let Query(ComparedRuns { one, other }) =
        pair.map_err(|rejection| invalid(format!("The address must end in one=ID&other=ID: {rejection}")))?;
    let (Some(one), Some(other)) = (one, other) else {
        return Err(invalid("Choose two runs: one for A, one for B.".to_owned()));
    };
    if one == other {
        return Err(invalid("A and B are the same run.".to_owned()));
    }
    let turn = archive.turn().await.map_err(|why| (StatusCode::SERVICE_UNAVAILABLE, why))?;
    let (a, b) = (run(archive, &turn, &one).await?, run(archive, &turn, &other).await?);
    match compare(&a, &b) {
        Ok(comparison) => Ok(html! {
            p { "A: " a href=(experiment(&one)) { (one) } " · B: " a href=(experiment(&other)) { (other) } }
            (comparison.to_html())
        }),
        Err(differ) => Ok(different(&one, &other, &differ.0)),
    }
}

/// The conditions that differ between two runs.
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
            "These runs were made under different conditions, so their figures cannot be compared."
        }
        (wide("Conditions that differ", &table))
        p { a href="/lab/runs" { "Choose two other runs" } }
    }
}

async fn run(archive: &Archive, turn: &ReadingTurn, id: &str) -> Result<Box<Run>, (StatusCode, String)> {
    match archive.open(turn, id).await {
        Ok(Some(OpenedExperiment::Run(run))) => Ok(run),
        Ok(Some(OpenedExperiment::Exploration(_))) => {
            Err((StatusCode::UNPROCESSABLE_ENTITY, format!("{id} is an exploration; only runs can be compared.")))
        }
        Ok(None) => Err((StatusCode::NOT_FOUND, format!("There is no run {id:?}."))),
        Err(why) => Err((StatusCode::UNPROCESSABLE_ENTITY, format!("{id} cannot be read: {why}"))),
    }
}
