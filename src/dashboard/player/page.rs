//! `GET /lab/player`: what is around a position: the choice, the controls, and ideas of where to begin.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use strum::{IntoEnumIterator as _, VariantNames as _};

use super::choice::{CLIENTS, ChoiceQuery, PlayerChoice};
use crate::dashboard::Dashboard;
use crate::dashboard::page::{NavigationItem, Page};
use crate::explore::catalog::{READ_DECIDE_WRITE, test_cases};
use crate::explore::classify::change_text;
use crate::explore::findings::Servers;
use crate::explore::scenario::ExploreScenario;
use crate::session::statement::Isolation;
use crate::strategy::Approach;

/// `GET /lab/player`. With a schedule in its query, however short, the script plays it at once.
pub async fn page(State(dashboard): State<Arc<Dashboard>>, Query(query): Query<HashMap<String, String>>) -> Response {
    let (chosen, choice) = read(&query);
    let (status, body) = match &choice {
        Ok(choice) => (StatusCode::OK, stage(&query, &chosen, choice)),
        Err(error) => (
            StatusCode::UNPROCESSABLE_ENTITY,
            html! {
                p.warning role="alert" { "This cannot be played. " (error) "." }
                p { "Choose something else above, or " a href="/lab/player" { "begin anew" } "." }
            },
        ),
    };
    let body = html! {
        p {
            "Two or three clients, one statement at a time, on a real PostgreSQL: step through a race, or choose yourself who goes next. \
             The address of this page holds the whole schedule."
        }
        (form(&chosen, choice.as_ref().ok()))
        (body)
    };
    Page { title: "Interleavings", place: Some(NavigationItem::Player), body, scripts: &["player.js"] }
        .answer_with(status, &dashboard)
}

fn read(query: &HashMap<String, String>) -> (ChoiceQuery, Result<PlayerChoice, String>) {
    let given = |name: &str| query.get(name).filter(|value| !value.is_empty()).cloned();
    let by_default = ChoiceQuery::default();
    let mut chosen = ChoiceQuery {
        approach: given("approach").unwrap_or(by_default.approach),
        scenario: given("scenario").unwrap_or(by_default.scenario),
        servers: given("servers"),
        isolation: given("isolation"),
        schedule: given("schedule").unwrap_or_default(),
        ..by_default
    };
    if let Some(clients) = given("clients") {
        let Ok(number) = clients.parse() else {
            let error = format!("clients: {clients:?} is not from {} to {}", CLIENTS.start(), CLIENTS.end());
            return (chosen, Err(error));
        };
        chosen.clients = number;
    }
    // Left over from an approach for which it matters.
    let alone =
        |choice: &PlayerChoice| test_cases(choice.approach, choice.piece.scenario, choice.piece.clients).len() == 1;
    let without = ChoiceQuery { servers: None, ..chosen.clone() };
    if chosen.servers.is_some() && without.read().is_ok_and(|choice| alone(&choice)) {
        chosen.servers = None;
    }
    let choice = chosen.read();
    (chosen, choice)
}

fn form(chosen: &ChoiceQuery, choice: Option<&PlayerChoice>) -> Markup {
    let approach: &str = match Approach::find(&chosen.approach) {
        Some(approach) => approach.name(),
        None => &chosen.approach,
    };
    let level = choice.is_none_or(|choice| READ_DECIDE_WRITE.contains(&choice.approach)) || chosen.isolation.is_some();
    let servers =
        choice.is_none_or(|choice| test_cases(choice.approach, choice.piece.scenario, choice.piece.clients).len() > 1);
    html! {
        form.order #choice method="get" action="/lab/player" {
            label { "Approach" (select("approach", Approach::iter().map(Approach::name), approach)) }
            label { "Scenario"
                select name="scenario" {
                    @for scenario in ExploreScenario::iter() {
                        @let name: &str = scenario.into();
                        option value=(name) selected[name == chosen.scenario] { (name) " (" (scenario.workload()) ")" }
                    }
                }
            }
            label { "Clients"
                select name="clients" {
                    @for clients in CLIENTS { option value=(clients) selected[clients == chosen.clients] { (clients) } }
                }
            }
            @if servers {
                label { "Servers"
                    select name="servers" {
                        @for (value, text) in [("one", "one for all"), ("each", "one each")] {
                            option value=(value) selected[chosen.servers.as_deref() == Some(value)] { (text) }
                        }
                    }
                }
            }
            @if level {
                label { "Isolation"
                    select name="isolation" {
                        option value="" selected[chosen.isolation.is_none()] { "the approach's own" }
                        @for level in Isolation::VARIANTS {
                            option value=(level) selected[chosen.isolation.as_deref() == Some(level)] { (level) }
                        }
                    }
                }
            }
            input type="hidden" name="schedule" value="";
            button type="submit" { "Set the stage" }
            p.said #choice-said role="status" {}
        }
    }
}

fn select<'a>(name: &str, values: impl Iterator<Item = &'a str>, chosen: &str) -> Markup {
    html! {
        select name=(name) { @for value in values { option value=(value) selected[value == chosen] { (value) } } }
    }
}

fn stage(query: &HashMap<String, String>, chosen: &ChoiceQuery, choice: &PlayerChoice) -> Markup {
    let piece = &choice.piece;
    let servers = match piece.servers {
        Servers::One => "one",
        Servers::Each => "each",
    };
    let wishes: Vec<String> = (0..piece.clients)
        .map(|client| format!("{} {}", char::from(b'A' + client), change_text(&piece.scenario.change(client))))
        .collect();
    html! {
        section #player data-approach=(choice.approach.name()) data-scenario=(piece.scenario) data-clients=(piece.clients)
            data-servers=(servers) data-isolation=[chosen.isolation.as_deref()]
            data-schedule=[query.get("schedule").map(|_| choice.schedule.to_string())] data-at=[query.get("at")] {
            h2 {
                (choice.approach.name()) ", " (piece.scenario) @if let Some(level) = &chosen.isolation { ", at " (level) } " "
                span.soft { (wishes.join(" · ")) " · " a href={ "/lab/approaches/" (choice.approach.name()) } { "about the approach" } }
            }
            p.ideas role="group" aria-label="Where to begin" {
                button type="button" data-idea="yourself" { "Drive it yourself" }
                button type="button" data-idea="serial" { "One after the other" }
                button type="button" data-idea="turns" { "By turns" }
                button.main type="button" data-idea="violation" { "Find a violation" }
            }
            p.said #player-said role="status" {}
            noscript { p.warning { "This page needs JavaScript, which it loads from this server only." } }
            p.soft #player-empty {
                "Nothing is played yet: the buttons above begin. The first one starts a PostgreSQL for experiments, which takes a few seconds."
            }
            div #player-stage hidden {
                div.controls role="group" aria-label="Steps" {
                    button type="button" data-control="first" aria-label="To the beginning" title="To the beginning (Home)" { "|◀" }
                    button type="button" data-control="back" aria-label="A step back" title="A step back (←)" { "◀" }
                    button type="button" data-control="play" aria-pressed="false" title="Plays a step at a time (space)" { "▶ Play" }
                    button type="button" data-control="forward" aria-label="A step forward" title="A step forward (→)" { "▶" }
                    button type="button" data-control="last" aria-label="To the end" title="To the end (End)" { "▶|" }
                    button type="button" data-control="violation" { "Jump to the violation" }
                    button type="button" data-control="link" { "Copy link" }
                }
                p #player-step aria-live="polite" {}
                div #player-board {}
                p.soft {
                    "Keys: ← → a step, Home and End, space plays; A, B … lets that client go next. Beyond the schedule the first who can go goes. \
                     A hatched cell: the statement is sent, and waits. Whoever goes on from a step earlier takes another way, and what came after is gone."
                }
            }
        }
    }
}
