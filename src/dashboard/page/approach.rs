//! `GET /lab/approaches/{name}`: one approach: its claims beside the evidence, its chapter, its SQL, a request to try, its interleavings,
//! and its throughput beside the others'.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::{Markup, html};
use strum::{IntoEnumIterator as _, VariantNames as _};

use crate::dashboard::model::archive::evidence::Evidence;
use crate::dashboard::model::archive::{Archive, ArchiveListing};
use crate::dashboard::model::permission::ExperimentPermission;
use crate::dashboard::view::frame::{Page, missing};
use crate::dashboard::view::{approach_interleavings, chapter, evidence_cell, links, sample_requests};
use crate::http::path_segment::PathSegment;
use crate::lab::reports::html::charts;
use crate::lab::results::Run;
use crate::report::html::wide;
use crate::session::statement::{Effect, Statement};
use crate::strategy::{Approach, ApproachInfo};
use domain::Workload;

/// Whether the server honours the experiment headers (`Lab-Trace`, `Lab-Think-Time`, `Lab-Fault`).
#[derive(Debug, Clone, Copy)]
pub struct LabHeadersHonoured(pub bool);

/// `GET /lab/approaches/{name}`.
pub async fn page(
    State(permission): State<ExperimentPermission>,
    State(archive): State<Archive>,
    State(LabHeadersHonoured(lab_headers)): State<LabHeadersHonoured>,
    PathSegment(name): PathSegment,
    headers: HeaderMap,
) -> Response {
    let Some(approach) = Approach::find(&name) else {
        let known = Approach::VARIANTS.join(", ");
        return missing(&permission, &format!("There is no approach {name:?}. There are {known}."));
    };
    if name != approach.name() {
        // An alias leads to the one address of the page.
        return Redirect::permanent(&links::approach(approach)).into_response();
    }
    let listing = archive.list().await;
    // The turn is kept until the page is made.
    let turn = archive.turn().await.ok();
    let newest = match &turn {
        Some(turn) => archive.newest_run_of(turn, &listing, approach.name()).await,
        None => None,
    };
    let info = approach.info();
    let body = html! {
        p.idea { (info.idea) }
        @if !info.aliases.is_empty() { p.soft { "Also called " (info.aliases.join(", ")) "." } }
        nav.contents aria-label="On this page" {
            @for (id, title) in SECTIONS { a href={ "#" (id) } { (title) } }
        }
        (claims(&listing, approach, info))
        div.columns {
            div {
                article.chapter #chapter { (chapter::chapter(info.source)) }
                (sample_requests::curl(approach, &links::host(&headers)))
            }
            div {
                (sample_requests::try_it(approach, lab_headers))
                (sql(info))
            }
        }
        (approach_interleavings::section(&listing, approach))
        (throughput(approach, newest.as_ref().map(|(id, run)| (id.as_str(), &**run))))
    };
    Page { title: approach.name(), item: None, body, scripts: &["approach.js"] }.answer(&permission)
}

/// The sections of the page, in their order.
const SECTIONS: [(&str, &str); 7] = [
    ("claims", "Claims"),
    ("chapter", "Chapter"),
    ("curl", "curl"),
    ("try", "Try it"),
    ("sql", "SQL"),
    ("interleavings", "Interleavings"),
    ("throughput", "Throughput"),
];

fn claims(listing: &ArchiveListing, approach: Approach, info: &ApproachInfo) -> Markup {
    let table = html! {
        table.matrix {
            thead { tr { @for workload in Workload::iter() { th scope="col" { (workload) } } } }
            tbody {
                tr {
                    @for workload in Workload::iter() {
                        @let evidence = Evidence::of(&listing.entries, approach, workload);
                        td class=[(!evidence.contradictions().is_empty()).then_some("contradiction")] data-workload=(workload) {
                            (evidence_cell::cell(info.claims.of(workload), info.unsupported_because, &evidence))
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
                @if info.crash_atomic { "Crash-atomic: a change is made completely or not at all, wherever its connection is cut. " }
                @else { "Not crash-atomic: a change can stay half-done if its connection is cut. " }
                @if info.honours_if_match { "It honours " code { "If-Match" } " headers." }
            }
        }
    }
}

fn sql(info: &ApproachInfo) -> Markup {
    html! {
        section #sql {
            h2 { "SQL" }
            p.soft { "Every statement that the approach sends except BEGIN, COMMIT and ROLLBACK, in the order of its protocol." }
            ol.statements {
                @for statement in info.statements {
                    li {
                        p { strong { (statement.name) } " " span.effect data-effect=(effect(statement)) { (effect(statement)) } }
                        pre tabindex="0" role="group" aria-label={ "SQL of " (statement.name) } {
                            code { (split_clauses(statement.sql)) }
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

/// A statement with each clause on its own line. The server sends it as one line, with the indentation as spaces.
fn split_clauses(sql: &str) -> String {
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
            h2 { "Throughput beside the other approaches" }
            @match newest {
                None => p.soft { "No run with this approach yet. " a href="/" { "Start one" } " on the overview." },
                Some((id, run)) => {
                    p {
                        a href=(links::experiment(id)) { (run.scenario) ", " (links::moment(&run.started)) }
                        span.soft {
                            " · " (run.settings.concurrency) " concurrent clients"
                            @if let Some(ms) = run.settings.think_time_ms { ", " (ms) " ms pause before each write" }
                            @if run.results.len() == 1 { ", without other approaches" }
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
    fn statements_are_split_at_their_clauses_but_not_within_parentheses() {
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
            assert_eq!(split_clauses(sql), expected);
        }
    }

    #[test]
    fn splitting_loses_nothing_of_a_statement() {
        for approach in Approach::iter() {
            for statement in approach.info().statements {
                let words = |sql: &str| sql.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
                assert_eq!(words(&split_clauses(statement.sql)), words(statement.sql), "{approach}");
            }
        }
    }
}
