//! A position: one interleaving up to a step, what was seen on the way there, and who can go next.
//!
//! A schedule is all that a position needs, so nobody has to keep one: who wants to be a step further, or a step back, plays from the
//! beginning. What is between the steps is noted as well (who stood where, which rows were committed), so whoever has a
//! schedule has all positions before its end.

use std::collections::BTreeMap;

use super::ExploreError;
use super::classify;
use super::execution::ApproachExecution;
use super::interleaving_runner::InterleavingRunner;
use super::named_ids::NamedIds;
use super::observations::{Observations, Unsettled};
use super::report::timeline_events::wait_in_words;
use super::schedule::{Actor, Schedule};
use super::search::{Execution as _, REPLAYS_MAX, STEPS_MAX};
use super::transcript::{StepWait, Transcript};

/// Where an actor is, when all stand still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActorStatus {
    /// Before this step: it can go.
    Stands {
        /// The statement's name.
        name: String,
        /// What it is about to send.
        sql: String,
        /// The values of its parameters.
        values: Vec<String>,
    },
    /// In its last step, which waits for somebody.
    Waits(StepWait),
    /// At its end, with what it heard; a writer hears nothing.
    Ended(Option<String>),
}

/// Between two steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionStop {
    /// Where everybody is.
    pub actors: BTreeMap<Actor, ActorStatus>,
    /// The rows that are committed, a line each.
    pub rows: Vec<String>,
}

impl PositionStop {
    /// Who can go next.
    pub fn next(&self) -> impl Iterator<Item = Actor> + '_ {
        let stands = |(actor, whereabouts): (&Actor, &ActorStatus)| {
            matches!(whereabouts, ActorStatus::Stands { .. }).then_some(*actor)
        };
        self.actors.iter().filter_map(stands)
    }
}

/// What an interleaving came to that was played to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterleavingJudgement {
    /// What is wrong, the gravest first; empty if a serial order explains it.
    pub anomalies: Vec<String>,
    /// What is wrong, in a sentence.
    pub explanation: String,
}

/// A position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// What has happened so far. A wait that is still on has an entry that has not come back.
    pub transcript: Transcript,
    /// Before the first step, and after each.
    pub stops: Vec<PositionStop>,
    /// Once all have ended.
    pub judgement: Option<InterleavingJudgement>,
}

impl Position {
    /// The step, from 1, with which a violation is there: the last one after which other rows are committed than before it, since from then on
    /// nothing changes any more. Where no row was changed at all, it is an answer that is wrong, and the last one was given in
    /// the last step. `None` where nothing is wrong.
    #[must_use]
    pub fn violated_at(&self) -> Option<usize> {
        self.judgement.as_ref().filter(|judgement| !judgement.anomalies.is_empty())?;
        let changed = (1..self.stops.len()).rfind(|&step| self.stops[step].rows != self.stops[step - 1].rows);
        changed.or(self.stops.len().checked_sub(1))
    }
}

/// What happens when all steps of a schedule are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterSchedule {
    /// Everybody stays where he is.
    Stays,
    /// The first who can go goes, until nobody can: as `explore --replay`.
    InOrder,
    /// The next one in the order of the columns who can go goes, until nobody can.
    ByTurns,
}

impl AfterSchedule {
    fn next(self, standing: &[Actor], last: Option<Actor>) -> Option<Actor> {
        match self {
            Self::Stays => None,
            Self::InOrder => standing.first().copied(),
            Self::ByTurns => standing.iter().find(|actor| Some(**actor) > last).or(standing.first()).copied(),
        }
    }
}

/// Why there is no such position.
#[derive(Debug, thiserror::Error)]
pub enum PositionError {
    /// Somebody is to go who cannot.
    #[error("step {step}: {actor} cannot go: {why}; {}", those_who_can(next))]
    Impossible {
        /// The step, from 1.
        step: usize,
        /// Who.
        actor: Actor,
        /// Why not.
        why: String,
        /// Who can.
        next: Vec<Actor>,
    },
    /// It cannot be told where all stand.
    #[error("this interleaving could not be decided: {0}")]
    Undecided(Unsettled),
    /// Nobody can be told anything.
    #[error(transparent)]
    Failed(#[from] ExploreError),
}

fn those_who_can(next: &[Actor]) -> String {
    let names: Vec<String> = next.iter().map(ToString::to_string).collect();
    match names.len() {
        0 => "nobody can any more".to_owned(),
        _ => format!("{} can", names.join(" or ")),
    }
}

/// That an actor cannot go from where everybody is.
fn impossible(step: usize, actor: Actor, stop: &PositionStop) -> PositionError {
    let why = match (stop.actors.get(&actor), actor) {
        (Some(ActorStatus::Waits(wait)), _) => format!("it {}", wait_in_words(wait)),
        (Some(_), _) => "it has ended".to_owned(),
        (None, Actor::Client(_)) => "there is no such client".to_owned(),
        (None, Actor::Writer(_)) => "no such writer is at work".to_owned(),
    };
    PositionError::Impossible { step, actor, why, next: stop.next().collect() }
}

/// Plays a schedule from the beginning, and what the rest asks for. Those who are not at their end then are let go, and waited for.
///
/// # Errors
/// [`PositionError`].
pub async fn reach(
    play: &mut ApproachExecution<'_>,
    schedule: &Schedule,
    rest: AfterSchedule,
) -> Result<Position, PositionError> {
    for _ in 1..REPLAYS_MAX {
        match walk(play, schedule, rest).await {
            Err(PositionError::Undecided(why)) if why.by_chance() => play.leave().await?,
            reached => return left(play, reached).await,
        }
    }
    let reached = walk(play, schedule, rest).await;
    left(play, reached).await
}

/// Nobody is at work any more when somebody hears of it.
async fn left(
    play: &mut ApproachExecution<'_>,
    reached: Result<Position, PositionError>,
) -> Result<Position, PositionError> {
    play.leave().await?;
    reached
}

async fn walk(
    play: &mut ApproachExecution<'_>,
    schedule: &Schedule,
    rest: AfterSchedule,
) -> Result<Position, PositionError> {
    let (mut controller, mut played) = play.begin().await?;
    let mut stops = Vec::new();
    let mut asked = schedule.0.iter().copied();
    let mut last = None;
    let seen = loop {
        played.map_err(PositionError::Undecided)?;
        let stop = stop(&mut controller).await?;
        let standing: Vec<Actor> = stop.next().collect();
        let next = asked.next();
        if let Some(actor) = next.filter(|actor| !standing.contains(actor)) {
            return Err(impossible(stops.len() + 1, actor, &stop));
        }
        stops.push(stop);
        let Some(actor) = next.or_else(|| rest.next(&standing, last)) else { break controller.end() };
        if stops.len() > STEPS_MAX {
            return Err(PositionError::Undecided(Unsettled::Endless(STEPS_MAX)));
        }
        last = Some(actor);
        played = controller.step(actor).await?;
    };
    Ok(told(play, stops, seen).await?)
}

async fn stop(controller: &mut InterleavingRunner<'_>) -> Result<PositionStop, ExploreError> {
    let rows = classify::rows(&controller.rows().await?);
    Ok(PositionStop { actors: controller.whereabouts(), rows })
}

async fn told(
    play: &mut ApproachExecution<'_>,
    mut stops: Vec<PositionStop>,
    mut seen: Observations,
) -> Result<Position, ExploreError> {
    let mut ids = NamedIds::default();
    ids.rename_in(&mut seen.entries);
    for whereabouts in stops.iter_mut().flat_map(|stop| stop.actors.values_mut()) {
        if let ActorStatus::Stands { values, .. } = whereabouts {
            for value in values {
                ids.rename(value);
            }
        }
    }
    if stops.last().is_some_and(|stop| stop.next().next().is_none()) {
        let judged = play.judge(seen).await?;
        let judgement = Some(InterleavingJudgement { anomalies: judged.anomalies, explanation: judged.explanation });
        return Ok(Position { transcript: judged.transcript, stops, judgement });
    }
    let (before, wishes) = play.wishes();
    let heard = |client: usize| seen.heard.get(&Actor::Client(u8::try_from(client).ok()?)).cloned();
    let clients = wishes.iter().enumerate().map(|(client, change)| (change, heard(client)));
    let come = stops.iter().flat_map(|stop| stop.actors.keys().copied());
    let transcript = Transcript {
        parts: classify::parts(clients, come),
        before: classify::rows(before),
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

    const A: Actor = Actor::Client(0);
    const B: Actor = Actor::Client(1);
    const W: Actor = Actor::Writer(0);

    fn stands() -> ActorStatus {
        ActorStatus::Stands { name: "read".to_owned(), sql: "select 1".to_owned(), values: Vec::new() }
    }

    fn at(actors: impl IntoIterator<Item = (Actor, ActorStatus)>) -> PositionStop {
        PositionStop { actors: actors.into_iter().collect(), rows: Vec::new() }
    }

    #[test]
    fn who_cannot_go_is_told_why_and_who_can() {
        let waits = ActorStatus::Waits(StepWait { holders: vec![A], on: "transactionid".to_owned() });
        let ended = || ActorStatus::Ended(Some("done".to_owned()));
        let table = [
            (at([(A, stands()), (B, waits)]), B, "step 3: B cannot go: it waits for A (transactionid); A can"),
            (at([(A, ended()), (B, stands())]), A, "step 3: A cannot go: it has ended; B can"),
            (at([(A, ended()), (B, ended())]), B, "step 3: B cannot go: it has ended; nobody can any more"),
            (
                at([(A, stands()), (B, stands())]),
                Actor::Client(2),
                "step 3: C cannot go: there is no such client; A or B can",
            ),
            (at([(A, stands()), (B, stands())]), W, "step 3: w cannot go: no such writer is at work; A or B can"),
        ];
        for (stop, actor, expected) in table {
            assert_eq!(impossible(3, actor, &stop).to_string(), expected);
        }
    }

    #[test]
    fn what_comes_after_a_schedule_is_as_asked() {
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
        assert_eq!(AfterSchedule::ByTurns.next(&[A], Some(A)), Some(A), "the only one who can");
        assert_eq!(AfterSchedule::ByTurns.next(&[], Some(A)), None);
    }

    #[test]
    fn a_violation_is_there_with_the_last_step_that_changed_a_row() {
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
