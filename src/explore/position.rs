//! A position: one interleaving up to a step, what was observed so far, and which actors can go next.
//!
//! A schedule determines a position, so positions are not stored: to go a step forward or back, the interleaving is run from the
//! beginning. The run also records what is true between its steps (where each actor is, which rows are committed), so one run
//! gives all positions before its end.

use std::collections::BTreeMap;

use super::classify;
use super::error::ExploreError;
use super::execution::ApproachExecution;
use super::named_ids::NamedIds;
use super::report::timeline_events::wait_in_words;
use super::run::actor_state::ActorStatus;
use super::run::interleaving_runner::InterleavingRunner;
use super::run::observations::{Observations, Unsettled};
use super::schedule::{Actor, Schedule};
use super::search::replay::can_go;
use super::search::{Execution as _, REPLAYS_MAX, STEPS_MAX};
use super::transcript::Transcript;

/// What is true between two steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionStop {
    /// Where each actor is.
    pub actors: BTreeMap<Actor, ActorStatus>,
    /// The rows that are committed, a line each.
    pub rows: Vec<String>,
}

impl PositionStop {
    /// The actors that can go next.
    pub fn next(&self) -> impl Iterator<Item = Actor> + '_ {
        let ready =
            |(actor, status): (&Actor, &ActorStatus)| matches!(status, ActorStatus::Ready { .. }).then_some(*actor);
        self.actors.iter().filter_map(ready)
    }
}

/// The judgement of an interleaving that was run to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterleavingJudgement {
    /// The names of what is wrong, the gravest first; empty if a serial order explains the interleaving.
    pub anomalies: Vec<String>,
    /// What is wrong, in a sentence.
    pub explanation: String,
}

/// A position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// What has happened so far. A step that still waits has not returned.
    pub transcript: Transcript,
    /// What is true before the first step, and after each step.
    pub stops: Vec<PositionStop>,
    /// The judgement, once all operations have ended.
    pub judgement: Option<InterleavingJudgement>,
}

impl Position {
    /// The step, from 1, with which the violation is complete: the last step that changed committed rows. If no step changed a row, an
    /// answer is wrong, and the last answer was given in the last step. `None` if nothing is wrong.
    #[must_use]
    pub fn violated_at(&self) -> Option<usize> {
        self.judgement.as_ref().filter(|judgement| !judgement.anomalies.is_empty())?;
        let changed = (1..self.stops.len()).rfind(|&step| self.stops[step].rows != self.stops[step - 1].rows);
        changed.or(self.stops.len().checked_sub(1))
    }
}

/// What happens after the last step of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterSchedule {
    /// Nothing: all actors stay where they are.
    Stays,
    /// The first actor that can go goes, until all operations have ended, as with `explore --replay`.
    InOrder,
    /// The actors go in turn, in the order of the columns, until all operations have ended.
    ByTurns,
}

impl AfterSchedule {
    fn next(self, ready: &[Actor], last: Option<Actor>) -> Option<Actor> {
        match self {
            Self::Stays => None,
            Self::InOrder => ready.first().copied(),
            Self::ByTurns => ready.iter().find(|actor| Some(**actor) > last).or(ready.first()).copied(),
        }
    }
}

/// Why a position cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum PositionError {
    /// The schedule names an actor that cannot go.
    #[error("step {step}: {actor} cannot go: {why}; {}", can_go(next))]
    Impossible {
        /// The step, from 1.
        step: usize,
        /// The actor.
        actor: Actor,
        /// Why not.
        why: String,
        /// The actors that can go.
        next: Vec<Actor>,
    },
    /// The runner could not find out where all actors are.
    #[error("this interleaving could not be decided: {0}")]
    Undecided(Unsettled),
    /// The exploration failed.
    #[error(transparent)]
    Failed(#[from] ExploreError),
}

/// Why an actor cannot go at this stop.
fn impossible(step: usize, actor: Actor, stop: &PositionStop) -> PositionError {
    let why = match (stop.actors.get(&actor), actor) {
        (Some(ActorStatus::Waits(wait)), _) => format!("it {}", wait_in_words(wait)),
        (Some(_), _) => "it has ended".to_owned(),
        (None, Actor::Client(_)) => "there is no such client".to_owned(),
        (None, Actor::Writer(_)) => "there is no such writer, or it has not started".to_owned(),
    };
    PositionError::Impossible { step, actor, why, next: stop.next().collect() }
}

/// Runs a schedule from the beginning, and then what `rest` says. Operations that have not ended then run to their end before the
/// function returns.
///
/// # Errors
/// [`PositionError`].
pub async fn reach(
    execution: &mut ApproachExecution<'_>,
    schedule: &Schedule,
    rest: AfterSchedule,
) -> Result<Position, PositionError> {
    for _ in 1..REPLAYS_MAX {
        match walk(execution, schedule, rest).await {
            Err(PositionError::Undecided(why)) if why.by_chance() => execution.leave().await?,
            reached => return leave(execution, reached).await,
        }
    }
    let reached = walk(execution, schedule, rest).await;
    leave(execution, reached).await
}

/// Waits until all operations have ended, and then returns what was reached.
async fn leave(
    execution: &mut ApproachExecution<'_>,
    reached: Result<Position, PositionError>,
) -> Result<Position, PositionError> {
    execution.leave().await?;
    reached
}

async fn walk(
    execution: &mut ApproachExecution<'_>,
    schedule: &Schedule,
    rest: AfterSchedule,
) -> Result<Position, PositionError> {
    let (mut runner, mut settled) = execution.begin().await?;
    let mut stops = Vec::new();
    let mut given = schedule.0.iter().copied();
    let mut last = None;
    let seen = loop {
        settled.map_err(PositionError::Undecided)?;
        let stop = stop(&mut runner).await?;
        let ready: Vec<Actor> = stop.next().collect();
        let next = given.next();
        if let Some(actor) = next.filter(|actor| !ready.contains(actor)) {
            return Err(impossible(stops.len() + 1, actor, &stop));
        }
        stops.push(stop);
        let Some(actor) = next.or_else(|| rest.next(&ready, last)) else { break runner.end() };
        if stops.len() > STEPS_MAX {
            return Err(PositionError::Undecided(Unsettled::Endless(STEPS_MAX)));
        }
        last = Some(actor);
        settled = runner.step(actor).await?;
    };
    Ok(position(execution, stops, seen).await?)
}

async fn stop(runner: &mut InterleavingRunner<'_>) -> Result<PositionStop, ExploreError> {
    let rows = classify::row_lines(&runner.rows().await?);
    Ok(PositionStop { actors: runner.statuses(), rows })
}

async fn position(
    execution: &mut ApproachExecution<'_>,
    mut stops: Vec<PositionStop>,
    mut seen: Observations,
) -> Result<Position, ExploreError> {
    let mut ids = NamedIds::default();
    ids.rename_in(&mut seen.entries);
    for status in stops.iter_mut().flat_map(|stop| stop.actors.values_mut()) {
        if let ActorStatus::Ready { values, .. } = status {
            for value in values {
                ids.rename(value);
            }
        }
    }
    if stops.last().is_some_and(|stop| stop.next().next().is_none()) {
        let judged = execution.judge(seen).await?;
        let judgement = Some(InterleavingJudgement { anomalies: judged.anomalies, explanation: judged.explanation });
        return Ok(Position { transcript: judged.transcript, stops, judgement });
    }
    let (before, changes) = execution.changes();
    let heard = |client: usize| seen.heard.get(&Actor::Client(u8::try_from(client).ok()?)).cloned();
    let clients = changes.iter().enumerate().map(|(client, change)| (change, heard(client)));
    let actors = stops.iter().flat_map(|stop| stop.actors.keys().copied());
    let transcript = Transcript {
        parts: classify::participants(clients, actors),
        before: classify::row_lines(before),
        after: stops.last().map(|stop| stop.rows.clone()).unwrap_or_default(),
        schedule: seen.schedule,
        entries: seen.entries,
    };
    Ok(Position { transcript, stops, judgement: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::report::sample::transcripts;
    use crate::explore::transcript::StepWait;

    const A: Actor = Actor::Client(0);
    const B: Actor = Actor::Client(1);
    const W: Actor = Actor::Writer(0);

    fn ready() -> ActorStatus {
        ActorStatus::Ready { name: "read".to_owned(), sql: "select 1".to_owned(), values: Vec::new() }
    }

    fn at(actors: impl IntoIterator<Item = (Actor, ActorStatus)>) -> PositionStop {
        PositionStop { actors: actors.into_iter().collect(), rows: Vec::new() }
    }

    #[test]
    fn an_impossible_step_is_refused_with_the_reason_and_the_possible_ones() {
        let waits = ActorStatus::Waits(StepWait { holders: vec![A], on: "transactionid".to_owned() });
        let ended = || ActorStatus::Ended(Some("done".to_owned()));
        let table = [
            (at([(A, ready()), (B, waits)]), B, "step 3: B cannot go: it waits for A (transactionid); A can"),
            (at([(A, ended()), (B, ready())]), A, "step 3: A cannot go: it has ended; B can"),
            (at([(A, ended()), (B, ended())]), B, "step 3: B cannot go: it has ended; all operations have ended"),
            (
                at([(A, ready()), (B, ready())]),
                Actor::Client(2),
                "step 3: C cannot go: there is no such client; A or B can",
            ),
            (
                at([(A, ready()), (B, ready())]),
                W,
                "step 3: w cannot go: there is no such writer, or it has not started; A or B can",
            ),
        ];
        for (stop, actor, expected) in table {
            assert_eq!(impossible(3, actor, &stop).to_string(), expected);
        }
    }

    #[test]
    fn after_a_schedule_the_next_actor_is_chosen_as_requested() {
        let all = [A, B, W];
        let table = [
            (AfterSchedule::Stays, Some(A), None),
            (AfterSchedule::InOrder, Some(B), Some(A)),
            (AfterSchedule::ByTurns, None, Some(A)),
            (AfterSchedule::ByTurns, Some(A), Some(B)),
            (AfterSchedule::ByTurns, Some(B), Some(W)),
            (AfterSchedule::ByTurns, Some(W), Some(A)),
        ];
        for (rest, last, expected) in table {
            assert_eq!(rest.next(&all, last), expected, "{rest:?} after {last:?}");
        }
        assert_eq!(AfterSchedule::ByTurns.next(&[A], Some(A)), Some(A), "the only one that can");
        assert_eq!(AfterSchedule::ByTurns.next(&[], Some(A)), None);
    }

    #[test]
    fn a_violation_is_complete_with_the_last_step_that_changed_a_row() {
        let rows = |balances: &[u8]| {
            let stop =
                |balance: &u8| PositionStop { actors: BTreeMap::new(), rows: vec![format!("balance {balance}")] };
            balances.iter().map(stop).collect::<Vec<_>>()
        };
        let wrong = |anomalies: &[&str]| {
            let anomalies = anomalies.iter().map(ToString::to_string).collect();
            Some(InterleavingJudgement { anomalies, explanation: String::new() })
        };
        let table = [
            (vec![10, 10, 4, 4, 3], wrong(&["lost-update"]), Some(4)),
            (vec![10, 10, 4, 4, 4], wrong(&["lost-update"]), Some(2)),
            (vec![10, 10, 10], wrong(&["stale-refusal"]), Some(2)),
            (vec![10, 4], wrong(&[]), None),
            (vec![10, 4], None, None),
        ];
        for (balances, judgement, expected) in table {
            let transcript = transcripts::lost_update();
            let position = Position { transcript, stops: rows(&balances), judgement };
            assert_eq!(position.violated_at(), expected, "{balances:?}");
        }
    }
}
