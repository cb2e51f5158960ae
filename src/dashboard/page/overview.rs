//! `GET /`: the matrix of approaches and workloads.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use strum::IntoEnumIterator as _;

use crate::dashboard::model::archive::evidence::Evidence;
use crate::dashboard::model::archive::{Archive, ArchiveListing};
use crate::dashboard::model::permission::ExperimentPermission;
use crate::dashboard::service::experiment_slot::ExperimentSlot;
use crate::dashboard::view::frame::{NavigationItem, Page};
use crate::dashboard::view::snapshot_parts::{self, SnapshotMarkup};
use crate::dashboard::view::{archive_notes, evidence_cell, experiment_forms, links};
use crate::report::html::wide;
use crate::strategy::Approach;
use domain::Workload;

/// `GET /`.
pub async fn page(
    State(permission): State<ExperimentPermission>,
    State(archive): State<Archive>,
    State(slot): State<ExperimentSlot>,
    State(markup): State<SnapshotMarkup>,
) -> Response {
    let listing = archive.list().await;
    let rows: Vec<MatrixRow<'_>> = Approach::iter().map(|approach| row(&listing, approach)).collect();
    let body = html! {
        (experiment_forms::forms(&permission, slot.under_way().as_deref()))
        (snapshot_parts::progress(&slot.snapshot(), &markup))
        (contradictions(&rows))
        @if listing.entries.is_empty() { (nothing_yet()) }
        (matrix(&rows))
        (legend())
        (archive_notes::left_out(&listing))
    };
    Page { title: "Approaches and workloads", item: Some(NavigationItem::Overview), body, scripts: &["experiment.js"] }
        .answer(&permission)
}

/// An approach, and the evidence about it under each workload.
type MatrixRow<'a> = (Approach, Vec<(Workload, Evidence<'a>)>);

fn row(listing: &ArchiveListing, approach: Approach) -> MatrixRow<'_> {
    let of = |workload| (workload, Evidence::of(&listing.entries, approach, workload));
    (approach, Workload::iter().map(of).collect())
}

/// A box with every claim that failed.
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
                        li { a href=(links::approach(approach)) { (approach) } ", " (workload) ": " a href=(links::experiment(id)) { (how) } }
                    }
                }
            }
        }
    }
}

fn nothing_yet() -> Markup {
    html! {
        p.notice #nothing-yet {
            "There are no results yet, so the cells below show only claims. Press " strong { "Explore" }
            " to run every interleaving of two clients (two to five minutes), or " strong { "Run" }
            " to put the approaches under load. The results then appear beside the claims. "
            "Runs of the command line appear too if their folder (" code { "--out" } ") is this server's run folder (" code { "--runs" } ")."
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
                        th.name scope="row" { a href=(links::approach(*approach)) { (approach) } }
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
            (evidence_cell::cell(info.claims.of(workload), info.unsupported_because, evidence))
        }
    }
}

fn legend() -> Markup {
    html! {
        p.soft {
            "Proved: every interleaving of the clients' statements was run, and each one equals some serial order. Schedule: the shortest \
             interleaving that equals no serial order, one letter for each step; its link plays it step by step. Held and broken: the referee's verdicts on runs \
             under load. Cost: medians of a single run for the whole column, because figures from different runs are not comparable; it is the newest of the \
             runs with the most approaches. Broken approaches, and those claimed broken, are not ranked and have no cost."
        }
    }
}
