//! One interleaving, step by step, on the real database.
//!
//! A position is a schedule, and nothing else: the server keeps nothing of a viewer. Whoever steps on, or goes another way, asks for
//! another position, which is played from its beginning; so a link that holds the schedule shows anybody the same race.
//!
//! - [`service`]: where they are played; [`choice`]: what a viewer has chosen
//! - [`board`]: how a position is drawn; [`page`]: what is around it

mod board;
mod choice;
mod page;
mod service;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Serialize;

use super::Dashboard;
use super::json_body::JsonBody;
use super::permission::Permitted;
use crate::explore::ExploreError;
use crate::explore::catalog::subject;
use crate::explore::position::{AfterSchedule, Position, PositionError};
use crate::explore::schedule::Actor;
use crate::http::answer::{Rejection, json};
use crate::report::figures::counted;
use choice::{ChoiceQuery, PlayerChoice};
pub use service::PlayerService;
use service::{HuntResult, PlayerBlocked, PlayerError};

/// The routes.
pub fn routes() -> Router<Arc<Dashboard>> {
    Router::new()
        .route("/lab/player", get(page::page))
        .route("/lab/player/positions", post(position))
        .route("/lab/player/violation", post(violation))
}

/// A position, for the script.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PositionResponse {
    /// The whole of it, drawn.
    html: String,
    /// A letter a step.
    schedule: String,
    steps: usize,
    /// Who can go next.
    next: Vec<Actor>,
    /// All have ended.
    ended: bool,
    /// What is wrong, once all have ended.
    anomalies: Vec<String>,
    /// The step with which it is there.
    violation: Option<usize>,
    /// What happened with each step; first, before any.
    said: Vec<String>,
}

impl PositionResponse {
    fn of(position: &Position, choice: &PlayerChoice) -> Self {
        let subject = subject(choice.approach, &choice.piece);
        Self {
            html: board::board(position, &subject).into_string(),
            schedule: position.transcript.schedule.to_string(),
            steps: position.transcript.entries.len(),
            next: position.stops.last().map(|stop| stop.next().collect()).unwrap_or_default(),
            ended: position.judgement.is_some(),
            anomalies: position.judgement.as_ref().map(|judgement| judgement.anomalies.clone()).unwrap_or_default(),
            violation: position.violated_at(),
            said: board::said(position),
        }
    }
}

/// `POST /lab/player/positions`.
async fn position(
    _: Permitted,
    State(dashboard): State<Arc<Dashboard>>,
    JsonBody(chosen): JsonBody<ChoiceQuery>,
) -> Result<Response, Rejection> {
    let choice = chosen.read().map_err(Rejection::invalid)?;
    let rest = match (chosen.to_end, chosen.by_turns) {
        (false, _) => AfterSchedule::Stays,
        (true, false) => AfterSchedule::InOrder,
        (true, true) => AfterSchedule::ByTurns,
    };
    let (piece, schedule) = (choice.piece.clone(), choice.schedule.clone());
    let position =
        dashboard.stage.position(piece, schedule, rest, obstacle(&dashboard)).await.map_err(|error| refused(&error))?;
    Ok(json(StatusCode::OK, &PositionResponse::of(&position, &choice)))
}

/// What a hunt has found, for the script.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct HuntResponse {
    /// The shortest violating schedule.
    schedule: Option<String>,
    anomalies: Vec<String>,
    interleavings: u64,
    /// These are all.
    complete: bool,
    /// All this in a sentence.
    said: String,
}

/// `POST /lab/player/violation`.
async fn violation(
    _: Permitted,
    State(dashboard): State<Arc<Dashboard>>,
    JsonBody(chosen): JsonBody<ChoiceQuery>,
) -> Result<Response, Rejection> {
    let choice = chosen.read().map_err(Rejection::invalid)?;
    let hunted = dashboard.stage.hunt(choice.piece, obstacle(&dashboard)).await.map_err(|error| refused(&error))?;
    let said = in_words(&hunted);
    let answer = HuntResponse {
        schedule: hunted.violation.as_ref().map(|judged| judged.transcript.schedule.to_string()),
        anomalies: hunted.violation.map(|judged| judged.anomalies).unwrap_or_default(),
        interleavings: hunted.interleavings,
        complete: hunted.complete,
        said,
    };
    Ok(json(StatusCode::OK, &answer))
}

fn in_words(hunted: &HuntResult) -> String {
    let run = counted(hunted.interleavings, "interleaving");
    let share = if hunted.complete { "all there are".to_owned() } else { format!("of about {:.0}", hunted.estimate) };
    let undecided = match hunted.undecided {
        0 => String::new(),
        count => format!("; {count} could not be decided"),
    };
    match &hunted.violation {
        None => format!("No violation in {run} ({share}{undecided})."),
        Some(judged) => format!(
            "{}: the shortest of {run} ({share}{undecided}) is {}.",
            judged.anomalies.join(", "),
            judged.transcript.schedule
        ),
    }
}

/// Nothing is played beside an experiment, whose figures would suffer.
fn obstacle(dashboard: &Arc<Dashboard>) -> PlayerBlocked {
    let dashboard = Arc::clone(dashboard);
    Arc::new(move || {
        if dashboard.closing.is_cancelled() {
            return Some(PlayerError::Closing);
        }
        let under_way = dashboard.bench.under_way()?;
        Some(PlayerError::Obstacle(format!(
            "an experiment is under way ({under_way}), and its figures would suffer; wait for its end, or stop it under Live"
        )))
    })
}

fn refused(error: &PlayerError) -> Rejection {
    let status = match error {
        PlayerError::Obstacle(_) | PlayerError::Explore(ExploreError::Busy) => StatusCode::CONFLICT,
        PlayerError::Position(PositionError::Impossible { .. }) => {
            return Rejection::invalid(format!("schedule: {error}"));
        }
        PlayerError::Full(_)
        | PlayerError::Position(_)
        | PlayerError::Laboratory(_)
        | PlayerError::Explore(_)
        | PlayerError::Closing => StatusCode::SERVICE_UNAVAILABLE,
    };
    Rejection::new(status, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_hunted_is_told_with_its_share() {
        let hunted = |complete, undecided| HuntResult {
            violation: None,
            interleavings: 70,
            complete,
            estimate: 1234.4,
            undecided,
        };
        assert_eq!(in_words(&hunted(true, 0)), "No violation in 70 interleavings (all there are).");
        assert_eq!(
            in_words(&hunted(false, 2)),
            "No violation in 70 interleavings (of about 1234; 2 could not be decided)."
        );
    }
}
