//! `GET /lab/runs/{id}`: one experiment, from its files.
//!
//! It shows what the report of the command line shows, without the drawings that need inline styles, which the content security policy forbids: the
//! timeline of a run's witness is in report.html, and that of an exploration is in the player.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::file;
use crate::dashboard::model::archive::{Archive, OpenedExperiment};
use crate::dashboard::model::permission::ExperimentPermission;
use crate::dashboard::view::frame::{NavigationItem, Page, missing};
use crate::dashboard::view::links::{moment, player};
use crate::explore::findings::{Exploration, ExploreReport, ViolationWitness};
use crate::explore::report::html::{self as explored, tables};
use crate::explore::report::{matrix, table, view};
use crate::http::path_segment::PathSegment;
use crate::lab::reports::html::{conditions_section, figures};
use crate::lab::reports::view::{counted, evidence, in_rounds, name, verdict_counts};
use crate::lab::reports::{conditions, notes};
use crate::lab::results::Run;

/// The page.
pub async fn page(
    State(permission): State<ExperimentPermission>,
    State(archive): State<Archive>,
    PathSegment(id): PathSegment,
) -> Response {
    // Kept until the page is made.
    let turn = match archive.turn().await {
        Ok(turn) => turn,
        Err(why) => return unreadable(&permission, StatusCode::SERVICE_UNAVAILABLE, &why),
    };
    let (title, body) = match archive.open(&turn, &id).await {
        Ok(Some(OpenedExperiment::Run(found))) => {
            (format!("Run: {}", found.scenario), run(&id, &found, &file_links(&archive, &id).await))
        }
        Ok(Some(OpenedExperiment::Exploration(found))) => {
            (format!("Exploration: {}", explored::title(&found)), exploration(&found, &file_links(&archive, &id).await))
        }
        Ok(None) => {
            return missing(
                &permission,
                &format!("There is no experiment {id:?}. The page Runs lists all experiments."),
            );
        }
        Err(why) => return unreadable(&permission, StatusCode::UNPROCESSABLE_ENTITY, &why),
    };
    Page { title: &title, item: Some(NavigationItem::Runs), body, scripts: &[] }.answer(&permission)
}

fn unreadable(permission: &ExperimentPermission, status: StatusCode, why: &str) -> Response {
    let body = html! { p.warning role="alert" { (why) } p { a href="/lab/runs" { "All runs" } } };
    let page = Page { title: "Unreadable experiment", item: Some(NavigationItem::Runs), body, scripts: &[] };
    page.answer_with(status, permission)
}

/// Links to its files, with their sizes.
async fn file_links(archive: &Archive, id: &str) -> Markup {
    let files = file::list(archive, id).await;
    html! {
        p.files #files {
            "Files: "
            @for (index, (name, length)) in files.iter().enumerate() {
                @if index > 0 { " · " }
                a href={ "/lab/runs/" (id) "/" (name) } { (name) } " " span.soft { (file::size(*length)) }
            }
        }
    }
}

fn run(id: &str, run: &Run, files: &Markup) -> Markup {
    let found = evidence(run);
    html! {
        p.tally { (verdict_counts(&run.results.iter().map(|result| result.verdict))) }
        p { (conditions::summary(run)) "; " time datetime=(run.started) { (moment(&run.started)) } }
        p { code { (run.environment.command_line.join(" ")) } }
        (files)
        @for note in notes::warnings(run) { p.warning role="note" { (note) } }
        (figures(run))
        @if !found.is_empty() {
            section {
                h2 { "Evidence" }
                p.soft {
                    "The first example of each anomaly. " a href={ "/lab/runs/" (id) "/report.html" } { "report.html" } " shows them as timelines."
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
        p.tally { (view::verdict_counts(&report.explorations.iter().map(|one| (one.verdict, one.contradicts_claim())))) }
        p { (table::heading(report)) }
        p.soft { time datetime=(report.started) { (moment(&report.started)) } " · concurrency-lab " (report.versions.lab) }
        (files)
        @if report.interrupted { p.warning role="note" { "The exploration was interrupted; its results are incomplete." } }
        @if let Some(overview) = matrix::overview(report) { (tables::matrix(&overview)) }
        (tables::explorations(report))
        @for levels in matrix::by_isolation(report) { (tables::matrix(&levels)) }
        @if !broken.is_empty() {
            section {
                h2 { "Evidence" }
                p.soft { "The shortest violating interleaving of each broken approach." }
                div.evidence { @for (one, witness) in &broken { (article(one, witness)) } }
            }
        }
        @if !sound.is_empty() {
            section {
                h2 { "Outcomes without a violation" }
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
            p.soft { "To play it on the command line: " code { (view::replay(&one.subject, witness)) } }
            (tables::outcomes(one, None, player))
        }
    }
}
