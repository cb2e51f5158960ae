//! One schedule, run as it is given.

use super::execution::{Execution, JudgedInterleaving, REPLAYS_MAX, STEPS_MAX};
use crate::explore::error::ExploreError;
use crate::explore::run::observations::Unsettled;
use crate::explore::schedule::{Actor, Schedule};

/// Runs one schedule. Actors that then have steps left take them, one actor after the other.
///
/// # Errors
/// [`ExploreError`]; [`ExploreError::Schedule`] if the schedule names an actor that cannot go, or the interleaving does not end.
pub async fn replay(execution: &mut dyn Execution, schedule: &Schedule) -> Result<JudgedInterleaving, ExploreError> {
    for _ in 1..REPLAYS_MAX {
        match follow(execution, schedule).await? {
            Err(why) if why.by_chance() => {}
            settled => return settled.map_err(|why| ExploreError::Schedule(why.to_string())),
        }
    }
    follow(execution, schedule).await?.map_err(|why| ExploreError::Schedule(why.to_string()))
}

async fn follow(
    execution: &mut dyn Execution,
    schedule: &Schedule,
) -> Result<Result<JudgedInterleaving, Unsettled>, ExploreError> {
    let (mut runner, mut settled) = execution.begin().await?;
    let mut given = schedule.0.iter();
    for step in 1..=STEPS_MAX {
        if let Err(why) = settled {
            return Ok(Err(why));
        }
        let ready: Vec<Actor> = runner.ready().collect();
        let Some(actor) = given.next().or(ready.first()) else {
            let seen = runner.end();
            return execution.judge(seen).await.map(Ok);
        };
        if !ready.contains(actor) {
            return Err(ExploreError::Schedule(format!("step {step}: {actor} cannot go; {}", can_go(&ready))));
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
