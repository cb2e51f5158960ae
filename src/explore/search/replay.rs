//! One schedule, run as it is given.

use super::execution::{Execution, JudgedInterleaving, REPLAYS_MAX, STEPS_MAX};
use crate::explore::error::ExploreError;
use crate::explore::run::actor_state::ActorStatus;
use crate::explore::run::observations::Unsettled;
use crate::explore::schedule::{Actor, Schedule};

/// Runs one schedule. Actors that then have steps left take them, one actor after the other.
///
/// # Errors
/// [`ExploreError`]; [`ExploreError::Schedule`] if the schedule names an actor that cannot go, or the interleaving does not end.
pub async fn replay(execution: &mut dyn Execution, schedule: &Schedule) -> Result<JudgedInterleaving, ExploreError> {
    replay_with(execution, schedule, StepsAfterEnd::Refused).await
}

/// What becomes of a step whose actor has ended before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepsAfterEnd {
    /// The schedule cannot be followed.
    Refused,
    /// It is left out: the actor may have failed where it did not when the schedule was written.
    LeftOut,
}

/// The same, for schedules of an earlier version of what is explored.
///
/// # Errors
/// As [`replay`].
pub async fn replay_with(
    execution: &mut dyn Execution,
    schedule: &Schedule,
    after_end: StepsAfterEnd,
) -> Result<JudgedInterleaving, ExploreError> {
    for _ in 1..REPLAYS_MAX {
        match follow(execution, schedule, after_end).await? {
            Err(why) if why.by_chance() => {}
            settled => return settled.map_err(|why| ExploreError::Schedule(why.to_string())),
        }
    }
    follow(execution, schedule, after_end).await?.map_err(|why| ExploreError::Schedule(why.to_string()))
}

async fn follow(
    execution: &mut dyn Execution,
    schedule: &Schedule,
    after_end: StepsAfterEnd,
) -> Result<Result<JudgedInterleaving, Unsettled>, ExploreError> {
    let (mut runner, mut settled) = execution.begin().await?;
    let mut given = schedule.0.iter();
    for step in 1..=STEPS_MAX {
        if let Err(why) = settled {
            return Ok(Err(why));
        }
        let ready: Vec<Actor> = runner.ready().collect();
        if after_end == StepsAfterEnd::LeftOut {
            let statuses = runner.statuses();
            let has_ended = |actor: &Actor| matches!(statuses.get(actor), Some(ActorStatus::Ended(_)));
            while given.as_slice().first().is_some_and(has_ended) {
                given.next();
            }
        }
        let Some(actor) = given.next().or(ready.first()) else {
            let seen = runner.end();
            return execution.judge(seen).await.map(Ok);
        };
        if !ready.contains(actor) {
            let waits = |status: &ActorStatus| matches!(status, ActorStatus::Waits(_));
            let others = match ready[..] {
                [] if runner.statuses().values().any(waits) => "every session waits or has ended".to_owned(),
                _ => can_go(&ready),
            };
            return Err(ExploreError::Schedule(format!("step {step}: {actor} cannot go; {others}")));
        }
        settled = runner.step(*actor).await?;
    }
    Ok(Err(Unsettled::Endless(STEPS_MAX)))
}

/// The actors that can go, in words.
#[must_use]
pub fn can_go(ready: &[Actor]) -> String {
    let names: Vec<String> = ready.iter().map(ToString::to_string).collect();
    match names.len() {
        0 => "all operations have ended".to_owned(),
        _ => format!("{} can", names.join(" or ")),
    }
}
