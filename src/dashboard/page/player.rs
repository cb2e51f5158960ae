//! The requests of the player's script: play a schedule, or search for a violation.
//!
//! A position is defined by its schedule alone, and the server keeps nothing of a viewer. For each further step, or for another continuation, the
//! script requests another position, which is played from its beginning. So a link with the schedule shows every viewer the same interleaving.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::extractors::{JsonBody, Permitted};
use crate::dashboard::model::player_choice::{ChoiceQuery, PlayerChoice};
use crate::dashboard::service::experiment_slot::ExperimentSlot;
use crate::dashboard::service::player::{PlayerError, PlayerService, ViolationSearchResult};
use crate::dashboard::view::position_board;
use crate::explore::ExploreError;
use crate::explore::catalog::subject;
use crate::explore::position::{AfterSchedule, Position, PositionError};
use crate::explore::schedule::Actor;
use crate::http::answer::{Rejection, json};
use crate::report::figures::counted;

/// A position, for the script.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PositionResponse {
    /// The board.
    html: String,
    /// The actor of each step, a letter each.
    schedule: String,
    steps: usize,
    /// The actors that can take the next step.
    next: Vec<Actor>,
    /// Whether every actor has ended.
    ended: bool,
    /// The anomalies, once every actor has ended.
    anomalies: Vec<String>,
    /// The step from which on the violation is there.
    violation: Option<usize>,
    /// What happened at each step; the first text is for the position before any step.
    step_texts: Vec<String>,
}

impl PositionResponse {
    fn of(position: &Position, choice: &PlayerChoice) -> Self {
        let subject = subject(choice.approach, &choice.test_case);
        Self {
            html: position_board::board(position, &subject).into_string(),
            schedule: position.transcript.schedule.to_string(),
            steps: position.transcript.entries.len(),
            next: position.stops.last().map(|stop| stop.next().collect()).unwrap_or_default(),
            ended: position.judgement.is_some(),
            anomalies: position.judgement.as_ref().map(|judgement| judgement.anomalies.clone()).unwrap_or_default(),
            violation: position.violated_at(),
            step_texts: position_board::step_texts(position),
        }
    }
}

/// `POST /lab/player/positions`.
pub async fn position(
    _: Permitted,
    State(player): State<PlayerService>,
    State(slot): State<ExperimentSlot>,
    JsonBody(chosen): JsonBody<ChoiceQuery>,
) -> Result<Response, Rejection> {
    let choice = chosen.read().map_err(Rejection::invalid)?;
    let rest = match (chosen.to_end, chosen.by_turns) {
        (false, _) => AfterSchedule::Stays,
        (true, false) => AfterSchedule::InOrder,
        (true, true) => AfterSchedule::ByTurns,
    };
    let (test_case, schedule) = (choice.test_case.clone(), choice.schedule.clone());
    let position = player.position(test_case, schedule, rest, slot.player_blocked()).await;
    let position = position.map_err(|error| refused(&error))?;
    Ok(json(StatusCode::OK, &PositionResponse::of(&position, &choice)))
}

/// The result of a search, for the script.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ViolationResponse {
    /// The shortest violating schedule.
    schedule: Option<String>,
    anomalies: Vec<String>,
    interleavings: u64,
    /// Whether these are all interleavings.
    complete: bool,
    /// All of this in a sentence.
    message: String,
}

/// `POST /lab/player/violation`.
pub async fn violation(
    _: Permitted,
    State(player): State<PlayerService>,
    State(slot): State<ExperimentSlot>,
    JsonBody(chosen): JsonBody<ChoiceQuery>,
) -> Result<Response, Rejection> {
    let choice = chosen.read().map_err(Rejection::invalid)?;
    let found = player.find_violation(choice.test_case, slot.player_blocked()).await;
    let found = found.map_err(|error| refused(&error))?;
    let message = in_words(&found);
    let answer = ViolationResponse {
        schedule: found.violation.as_ref().map(|judged| judged.transcript.schedule.to_string()),
        anomalies: found.violation.map(|judged| judged.anomalies).unwrap_or_default(),
        interleavings: found.interleavings,
        complete: found.complete,
        message,
    };
    Ok(json(StatusCode::OK, &answer))
}

fn in_words(found: &ViolationSearchResult) -> String {
    let run = counted(found.interleavings, "interleaving");
    let share = if found.complete { "all of them".to_owned() } else { format!("of about {:.0}", found.estimate) };
    let undecided = match found.undecided {
        0 => String::new(),
        count => format!("; {count} undecided"),
    };
    match &found.violation {
        None => format!("No violation in {run} ({share}{undecided})."),
        Some(judged) => format!(
            "Found {} in {run} ({share}{undecided}). The shortest violating schedule is {}.",
            judged.anomalies.join(", "),
            judged.transcript.schedule
        ),
    }
}

fn refused(error: &PlayerError) -> Rejection {
    let status = match error {
        PlayerError::Blocked(_) | PlayerError::Explore(ExploreError::Busy) => StatusCode::CONFLICT,
        PlayerError::Position(PositionError::Impossible { .. }) => {
            return Rejection::invalid(format!("schedule: {error}"));
        }
        PlayerError::Full(_)
        | PlayerError::Position(_)
        | PlayerError::Database(_)
        | PlayerError::Explore(_)
        | PlayerError::Closing => StatusCode::SERVICE_UNAVAILABLE,
    };
    Rejection::new(status, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_says_how_many_interleavings_were_run() {
        let found = |complete, undecided| ViolationSearchResult {
            violation: None,
            interleavings: 70,
            complete,
            estimate: 1234.4,
            undecided,
        };
        assert_eq!(in_words(&found(true, 0)), "No violation in 70 interleavings (all of them).");
        assert_eq!(in_words(&found(false, 2)), "No violation in 70 interleavings (of about 1234; 2 undecided).");
    }
}
