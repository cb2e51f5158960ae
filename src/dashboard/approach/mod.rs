//! `GET /lab/approaches/{name}`: one approach: its claims beside the evidence, its chapter, its SQL, a request to try, its interleavings,
//! and its throughput against the others.

mod interleavings;
pub(super) mod requests;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use maud::{Markup, html};
use strum::{IntoEnumIterator as _, VariantNames as _};

use super::archive::ArchiveListing;
use super::archive::evidence::Evidence;
use super::page::{Page, missing};
use super::{Dashboard, PREFIX, chapter, evidence};
use crate::http::path_segment::PathSegment;
use crate::lab::reports::html::charts;
use crate::lab::results::Run;
use crate::report::html::wide;
use crate::session::statement::{Effect, Statement};
use crate::strategy::{Approach, ApproachInfo};
use domain::Workload;

/// The routes.
pub fn routes() -> Router<Arc<Dashboard>> {
    Router::new().route("/lab/approaches/{name}", get(page))
}

/// The address of an approach's page.
#[must_use]
pub fn address(approach: Approach) -> String {
    format!("{PREFIX}/approaches/{approach}")
}

async fn page(State(dashboard): State<Arc<Dashboard>>, PathSegment(name): PathSegment, headers: HeaderMap) -> Response {
    let Some(approach) = Approach::find(&name) else {
        let there = Approach::VARIANTS.join(", ");
        return missing(&dashboard, &format!("There is no approach {name:?}. There are {there}."));
    };
    if name != approach.name() {
        // One page, one address.
        return Redirect::permanent(&address(approach)).into_response();
    }
    let shelf = dashboard.archive.list().await;
    let newest = dashboard.archive.newest_run_of(&shelf, approach.name()).await;
    let info = approach.info();
    let body = html! {
        p.idea { (info.idea) }
        @if !info.aliases.is_empty() { p.soft { "Also called " (info.aliases.join(", ")) "." } }
        nav.contents aria-label="On this page" {
            @for (id, title) in SECTIONS { a href={ "#" (id) } { (title) } }
        }
        (claims(&shelf, approach, info))
        div.columns {
            div {
                article.chapter #chapter { (chapter::chapter(info.source)) }
                (requests::curl(approach, &requests::host(&headers)))
            }
            div {
                (requests::try_it(approach, dashboard.app.lab_headers))
                (sql(info))
            }
        }
        (interleavings::section(&shelf, approach))
        (throughput(approach, newest.as_ref().map(|(id, run)| (id.as_str(), &**run))))
    };
    Page { title: approach.name(), place: None, body, scripts: &["approach.js"] }.answer(&dashboard)
}

/// The parts of the page, in their order.
const SECTIONS: [(&str, &str); 7] = [
    ("claims", "Claims"),
    ("chapter", "Chapter"),
    ("curl", "curl"),
    ("try", "Try it"),
    ("sql", "SQL"),
    ("interleavings", "Interleavings"),
    ("throughput", "Throughput"),
];

fn claims(shelf: &ArchiveListing, approach: Approach, info: &ApproachInfo) -> Markup {
    let table = html! {
        table.matrix {
            thead { tr { @for workload in Workload::iter() { th scope="col" { (workload) } } } }
            tbody {
                tr {
                    @for workload in Workload::iter() {
                        @let evidence = Evidence::of(&shelf.entries, approach, workload);
                        td class=[(!evidence.contradictions().is_empty()).then_some("contradiction")] data-workload=(workload) {
                            (evidence::cell(info.claims.of(workload), info.unsupported_because, &evidence))
                        }
                    }
                }
            }
        }
    };
    html! {
        section #claims {
            h2 { "Claims and evidence" }
            (wide("Claims and evidence", &table))
            p.soft {
                @if info.crash_atomic { "A change is whole or absent wherever its connection is cut. " }
                @else { "A change may be left half-done where its connection is cut. " }
                @if info.honours_if_match { "It honours " code { "If-Match" } "." }
            }
        }
    }
}

fn sql(info: &ApproachInfo) -> Markup {
    html! {
        section #sql {
            h2 { "SQL" }
            p.soft { "Every statement that it sends, beside BEGIN, COMMIT and ROLLBACK, in the order of its protocols." }
            ol.statements {
                @for statement in info.statements {
                    li {
                        p { strong { (statement.name) } " " span.effect data-effect=(effect(statement)) { (effect(statement)) } }
                        pre tabindex="0" role="group" aria-label={ "SQL of " (statement.name) } {
                            code { (broken_into_lines(statement.sql)) }
                        }
                    }
                }
            }
        }
    }
}

fn effect(statement: &Statement) -> &'static str {
    match statement.effect {
        Effect::Reads => "reads",
        Effect::Writes => "writes",
        Effect::Controls => "controls",
    }
}

/// A statement with its clauses on lines of their own. It is sent as one line with the gaps of its indentation.
fn broken_into_lines(sql: &str) -> String {
    const CLAUSES: [&str; 12] =
        ["from", "where", "returning", "set", "values", "order", "group", "on", "for", "with", "select", "union"];
    let mut text = String::new();
    let mut depth = 0_usize;
    for word in sql.split_whitespace() {
        let clause = depth == 0 && CLAUSES.contains(&word);
        match text.is_empty() {
            true => {}
            false if clause => text.push('\n'),
            false => text.push(' '),
        }
        text.push_str(word);
        let count = |letter| word.matches(letter).count();
        depth = (depth + count('(')).saturating_sub(count(')'));
    }
    text
}

fn throughput(approach: Approach, newest: Option<(&str, &Run)>) -> Markup {
    html! {
        section #throughput {
            h2 { "Throughput against the others" }
            @match newest {
                None => p.soft { "No run with it yet: " a href="/" { "start one" } "." },
                Some((id, run)) => {
                    p {
                        a href=(evidence::experiment(id)) { (run.scenario) ", " (super::runs::moment(&run.started)) }
                        span.soft {
                            " · " (run.settings.concurrency) " clients"
                            @if let Some(ms) = run.settings.think_time_ms { ", " (ms) " ms of think time" }
                            @if run.results.len() == 1 { ", no other approach in it" }
                        }
                    }
                    div.figures { (charts::throughput(run, Some(approach.name()))) }
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_broken_at_their_clauses_and_not_within_parentheses() {
        let table = [
            ("select balance, version from users where id = $1", "select balance, version\nfrom users\nwhere id = $1"),
            (
                "select exists(select from users where id = $2) as exists",
                "select exists(select from users where id = $2) as exists",
            ),
            ("commit", "commit"),
            ("", ""),
        ];
        for (sql, expected) in table {
            assert_eq!(broken_into_lines(sql), expected);
        }
    }

    #[test]
    fn nothing_of_a_statement_is_lost() {
        for approach in Approach::iter() {
            for statement in approach.info().statements {
                let words = |sql: &str| sql.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
                assert_eq!(words(&broken_into_lines(statement.sql)), words(statement.sql), "{approach}");
            }
        }
    }
}
