//! `GET /lab/player`: the choice of what to play, the controls, and the place for the board. The script loads the positions.

use std::collections::HashMap;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use strum::{IntoEnumIterator as _, VariantNames as _};

use crate::dashboard::model::permission::ExperimentPermission;
use crate::dashboard::model::player_choice::{CLIENTS, ChoiceQuery, PlayerChoice};
use crate::dashboard::view::frame::{NavigationItem, Page};
use crate::dashboard::view::links;
use crate::explore::catalog::pieces;
use crate::explore::classify::asked;
use crate::explore::findings::Servers;
use crate::explore::scenario::ExploreScenario;
use crate::session::statement::Isolation;
use crate::strategy::Approach;

/// `GET /lab/player`. If the query has a schedule, even an empty one, the script plays it at once.
pub async fn page(
    State(permission): State<ExperimentPermission>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let (chosen, choice) = read(&query);
    let (status, body) = match &choice {
        Ok(choice) => (StatusCode::OK, player(&query, &chosen, choice)),
        Err(error) => (
            StatusCode::UNPROCESSABLE_ENTITY,
            html! {
                p.warning role="alert" { "This choice cannot be played. " (error) "." }
                p { "Choose something else above, or " a href="/lab/player" { "start over" } "." }
            },
        ),
    };
    let body = html! {
        p {
            "Step through the SQL statements of two or three concurrent clients on a real PostgreSQL. You choose which client takes the next step. \
             The address of this page contains the schedule, so it can be shared."
        }
        (form(&chosen, choice.as_ref().ok()))
        (body)
    };
    Page { title: "Interleavings", item: Some(NavigationItem::Player), body, scripts: &["player.js"] }
        .answer_with(status, &permission)
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
    // A value left from another approach: here the number of servers makes no difference.
    let has_no_choice =
        |choice: &PlayerChoice| pieces(choice.approach, choice.test_case.scenario, choice.test_case.clients).len() == 1;
    let without = ChoiceQuery { servers: None, ..chosen.clone() };
    if chosen.servers.is_some() && without.read().is_ok_and(|choice| has_no_choice(&choice)) {
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
    let level = choice.is_none_or(|choice| choice.approach.info().read_decide_write) || chosen.isolation.is_some();
    let servers = choice
        .is_none_or(|choice| pieces(choice.approach, choice.test_case.scenario, choice.test_case.clients).len() > 1);
    html! {
        form.fields #choice method="get" action="/lab/player" {
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
                        @for (value, text) in [("one", "one for all clients"), ("each", "one per client")] {
                            option value=(value) selected[chosen.servers.as_deref() == Some(value)] { (text) }
                        }
                    }
                }
            }
            @if level {
                label { "Isolation level"
                    select name="isolation" {
                        option value="" selected[chosen.isolation.is_none()] { "the approach's own" }
                        @for level in Isolation::VARIANTS {
                            option value=(level) selected[chosen.isolation.as_deref() == Some(level)] { (level) }
                        }
                    }
                }
            }
            input type="hidden" name="schedule" value="";
            button type="submit" { "Load" }
            p.message #choice-message role="status" {}
        }
    }
}

fn select<'a>(name: &str, values: impl Iterator<Item = &'a str>, chosen: &str) -> Markup {
    html! {
        select name=(name) { @for value in values { option value=(value) selected[value == chosen] { (value) } } }
    }
}

fn player(query: &HashMap<String, String>, chosen: &ChoiceQuery, choice: &PlayerChoice) -> Markup {
    let test_case = &choice.test_case;
    let servers = match test_case.servers {
        Servers::One => "one",
        Servers::Each => "each",
    };
    let operations: Vec<String> = (0..test_case.clients)
        .map(|client| format!("{}: {}", char::from(b'A' + client), asked(&test_case.scenario.wish(client))))
        .collect();
    html! {
        section #player data-approach=(choice.approach.name()) data-scenario=(test_case.scenario) data-clients=(test_case.clients)
            data-servers=(servers) data-isolation=[chosen.isolation.as_deref()]
            data-schedule=[query.get("schedule").map(|_| choice.schedule.to_string())] data-at=[query.get("at")] {
            h2 {
                (choice.approach.name()) ", " (test_case.scenario) @if let Some(level) = &chosen.isolation { ", isolation level " (level) } " "
                span.soft { (operations.join(" · ")) " · " a href=(links::approach(choice.approach)) { "About this approach" } }
            }
            p.starts role="group" aria-label="How to start" {
                button type="button" data-start="empty" { "Choose every step yourself" }
                button type="button" data-start="serial" { "Run one client after the other" }
                button type="button" data-start="turns" { "Alternate between the clients" }
                button.main type="button" data-start="violation" { "Find a violation" }
            }
            p.message #player-message role="status" {}
            noscript { p.warning { "This page needs JavaScript. All scripts come from this server." } }
            p.soft #player-empty {
                "Press one of the buttons above. The first use starts a PostgreSQL for experiments, which takes a few seconds."
            }
            div #player-view hidden {
                div.controls role="group" aria-label="Steps" {
                    button type="button" data-control="first" aria-label="To the beginning" title="To the beginning (Home)" { "|◀" }
                    button type="button" data-control="back" aria-label="One step back" title="One step back (←)" { "◀" }
                    button type="button" data-control="play" aria-pressed="false" title="Play the steps one after the other (space)" { "▶ Play" }
                    button type="button" data-control="forward" aria-label="One step forward" title="One step forward (→)" { "▶" }
                    button type="button" data-control="last" aria-label="To the end" title="To the end (End)" { "▶|" }
                    button type="button" data-control="violation" { "Jump to the violation" }
                    button type="button" data-control="link" { "Copy link" }
                }
                p #player-step aria-live="polite" {}
                div #player-board {}
                p.soft {
                    "Keys: ← and → go one step, Home and End go to the ends, space plays; A, B … let that client take the next step. Beyond the schedule, the first \
                     client that can go takes the next step. A hatched cell is a statement that was sent and waits. Continuing from an earlier step discards the \
                     later ones."
                }
            }
        }
    }
}
