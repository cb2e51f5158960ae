//! `GET /lab/runs/{id}`: one experiment, from what it wrote down.
//!
//! It is the report of the command line without those drawings that need a style attribute, which the policy of pages forbids: the
//! timeline of a run's witness is in report.html, and that of an exploration is the player.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::super::Dashboard;
use super::super::archive::OpenedExperiment;
use super::super::evidence::player;
use super::super::page::{NavigationItem, Page, missing};
use super::{file, moment};
use crate::explore::findings::{Exploration, ExploreReport, ViolationWitness};
use crate::explore::report::html::{self as explored, tables};
use crate::explore::report::{matrix, table, view};
use crate::http::path_segment::PathSegment;
use crate::lab::reports::html::{conditions_section, figures};
use crate::lab::reports::view::{counted, evidence, in_rounds, name, tally};
use crate::lab::reports::{conditions, notes};
use crate::lab::results::Run;
use crate::report::INTERRUPTED;

/// The page.
pub async fn page(State(dashboard): State<Arc<Dashboard>>, PathSegment(id): PathSegment) -> Response {
    let (title, body) = match dashboard.archive.open(&id).await {
        Ok(Some(OpenedExperiment::Run(found))) => {
            (format!("Run: {}", found.scenario), run(&id, &found, &links(&dashboard, &id).await))
        }
        Ok(Some(OpenedExperiment::Exploration(found))) => {
            (format!("Exploration: {}", explored::title(&found)), exploration(&found, &links(&dashboard, &id).await))
        }
        Ok(None) => {
            return missing(&dashboard, &format!("There is no experiment {id:?}; the page of runs lists them."));
        }
        Err(why) => {
            let body = html! { p.warning role="alert" { (why) } p { a href="/lab/runs" { "All runs" } } };
            let page = Page {
                title: "An experiment that cannot be read",
                place: Some(NavigationItem::Runs),
                body,
                scripts: &[],
            };
            return page.answer_with(StatusCode::UNPROCESSABLE_ENTITY, &dashboard);
        }
    };
    Page { title: &title, place: Some(NavigationItem::Runs), body, scripts: &[] }.answer(&dashboard)
}

/// The files that are there, with their sizes.
async fn links(dashboard: &Dashboard, id: &str) -> Markup {
    let there = file::there(&dashboard.archive, id).await;
    html! {
        p.files #files {
            "Files: "
            @for (index, (name, length)) in there.iter().enumerate() {
                @if index > 0 { " · " }
                a href={ "/lab/runs/" (id) "/" (name) } { (name) } " " span.soft { (file::size(*length)) }
            }
        }
    }
}

fn run(id: &str, run: &Run, files: &Markup) -> Markup {
    let found = evidence(run);
    html! {
        p.tally { (tally(&run.results.iter().map(|result| result.verdict))) }
        p { (conditions::summary(run)) "; " time datetime=(run.started) { (moment(&run.started)) } }
        p { code { (run.environment.command_line.join(" ")) } }
        (files)
        @for note in notes::warnings(run) { p.warning role="note" { (note) } }
        (figures(run))
        @if !found.is_empty() {
            section {
                h2 { "Evidence" }
                p.soft {
                    "The first that was found of each. " a href={ "/lab/runs/" (id) "/report.html" } { "report.html" } " draws them as timelines."
                }
                ul {
                    @for (result, found) in &found {
                        li {
                            strong { (name(run, result)) ": " (counted(found.anomaly, found.count)) (in_rounds(found, result)) } ". "
                            (found.witness.explanation)
                        }
                    }
                }
            }
        }
        (conditions_section(run))
    }
}

fn exploration(report: &ExploreReport, files: &Markup) -> Markup {
    let broken: Vec<(&Exploration, &ViolationWitness)> =
        report.explorations.iter().filter_map(|one| Some((one, one.witness.as_ref()?))).collect();
    let sound: Vec<&Exploration> = report.explorations.iter().filter(|one| one.witness.is_none()).collect();
    html! {
        p.tally { (view::tally(&report.explorations.iter().map(|one| (one.verdict, one.contradicts_claim())))) }
        p { (table::heading(report)) }
        p.soft { time datetime=(report.started) { (moment(&report.started)) } " · concurrency-lab " (report.versions.lab) }
        (files)
        @if report.interrupted { p.warning role="note" { (INTERRUPTED) } }
        @if let Some(overview) = matrix::overview(report) { (tables::matrix(&overview)) }
        (tables::explorations(report))
        @for levels in matrix::by_isolation(report) { (tables::matrix(&levels)) }
        @if !broken.is_empty() {
            section {
                h2 { "Evidence" }
                p.soft { "The shortest interleaving that breaks each of them." }
                div.evidence { @for (one, witness) in &broken { (article(one, witness)) } }
            }
        }
        @if !sound.is_empty() {
            section {
                h2 { "Outcomes of the others" }
                @for (scene, all) in view::grouped(&sound) {
                    details {
                        summary { (scene) }
                        div.inner { @for one in all { (tables::outcomes(one, Some(&view::name(&one.subject)), player)) } }
                    }
                }
            }
        }
    }
}

fn article(one: &Exploration, witness: &ViolationWitness) -> Markup {
    let schedule = &witness.transcript.schedule;
    html! {
        article {
            h3 { (view::title(&one.subject)) }
            p { (view::mark(one).html(&format!("broken: {}", witness.anomalies.join(", ")))) }
            p { (witness.explanation) }
            p {
                "Schedule " code { (schedule) }
                @if let Some(link) = player(&one.subject, schedule) {
                    ": " a.play href=(link) { "play it" span.hidden { ", " (view::title(&one.subject)) } }
                }
            }
            p.soft { "In a terminal: " code { (view::replay(&one.subject, witness)) } }
            (tables::outcomes(one, None, player))
        }
    }
}
