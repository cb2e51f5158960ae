//! `GET /`: the matrix of approaches and workloads.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use strum::IntoEnumIterator as _;

use super::Dashboard;
use super::archive::ArchiveListing;
use super::archive::evidence::Evidence;
use super::page::{NavigationItem, Page};
use super::{approach, evidence, experiment, runs};
use crate::report::html::wide;
use crate::strategy::Approach;
use domain::Workload;

/// `GET /`.
pub async fn page(State(dashboard): State<Arc<Dashboard>>) -> Response {
    let shelf = dashboard.archive.list().await;
    let rows: Vec<MatrixRow<'_>> = Approach::iter().map(|approach| row(&shelf, approach)).collect();
    let body = html! {
        (experiment::forms(&dashboard))
        (experiment::progress(&dashboard))
        (contradictions(&rows))
        @if shelf.entries.is_empty() { (nothing_yet()) }
        (matrix(&rows))
        (legend())
        (runs::left_out(&shelf))
    };
    Page { title: "Approaches and workloads", place: Some(NavigationItem::Overview), body, scripts: &["experiment.js"] }
        .answer(&dashboard)
}

/// An approach, and what was found of it under each workload.
type MatrixRow<'a> = (Approach, Vec<(Workload, Evidence<'a>)>);

fn row(shelf: &ArchiveListing, approach: Approach) -> MatrixRow<'_> {
    let of = |workload| (workload, Evidence::of(&shelf.entries, approach, workload));
    (approach, Workload::iter().map(of).collect())
}

/// What nobody may overlook.
fn contradictions(rows: &[MatrixRow<'_>]) -> Markup {
    let cells = rows.iter().flat_map(|(approach, cells)| cells.iter().map(move |cell| (*approach, cell)));
    let failed: Vec<_> = cells
        .flat_map(|(approach, (workload, evidence))| {
            evidence.contradictions().into_iter().map(move |(id, how)| (approach, *workload, id, how))
        })
        .collect();
    html! {
        @if !failed.is_empty() {
            section.alarm #contradictions {
                h2 { "Claims that failed" }
                ul {
                    @for (approach, workload, id, how) in failed {
                        li { a href=(approach::address(approach)) { (approach) } ", " (workload) ": " a href=(evidence::experiment(id)) { (how) } }
                    }
                }
            }
        }
    }
}

fn nothing_yet() -> Markup {
    html! {
        p.notice #nothing-yet {
            "Nothing was found yet, so the cells below show claims only. Press " strong { "Explore" }
            " to run every interleaving of two clients (well under a minute), or " strong { "Run" }
            " to race the approaches under load. What they find stands beside the claims then. "
            "A run of the command line is shown as well, if its " code { "--out" } " is this server's " code { "--runs" } "."
        }
    }
}

fn matrix(rows: &[MatrixRow<'_>]) -> Markup {
    let table = html! {
        table.matrix #matrix {
            thead {
                tr {
                    th.name scope="col" { "approach" }
                    @for workload in Workload::iter() { th scope="col" { (workload) } }
                }
            }
            tbody {
                @for (approach, cells) in rows {
                    tr {
                        th.name scope="row" { a href=(approach::address(*approach)) { (approach) } }
                        @for (workload, evidence) in cells { (cell(*approach, *workload, evidence)) }
                    }
                }
            }
        }
    };
    wide("Claims and evidence", &table)
}

fn cell(approach: Approach, workload: Workload, evidence: &Evidence<'_>) -> Markup {
    let info = approach.info();
    let failed = !evidence.contradictions().is_empty();
    html! {
        td class=[failed.then_some("contradiction")] data-approach=(approach) data-workload=(workload) {
            (evidence::cell(info.claims.of(workload), info.unsupported_because, evidence))
        }
    }
}

fn legend() -> Markup {
    html! {
        p.soft {
            "Proved: every interleaving of the clients' statements was run, and each is explained by a serial order. Witness: the shortest \
             interleaving that is not; follow it to see it step by step. Held, broken: what the referee said about runs under load. "
            "Cost: medians of one run for a whole column, the newest of those with the most approaches, for figures that were taken under different \
             conditions say nothing about each other; never of what is broken or claimed to be, since a wrong answer that comes fast is no merit."
        }
    }
}
