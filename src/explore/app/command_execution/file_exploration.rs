//! The exploration of a file of commands: its interleavings, what limits the verdict, and what the file expects.

use std::collections::BTreeSet;

use super::CommandExecution;
use crate::explore::app::command_file::CommandFile;
use crate::explore::error::ExploreError;
use crate::explore::exploration::{ExplorationCounter, ProgressCallback};
use crate::explore::explorer_database::ExplorerDatabase;
use crate::explore::file::script::SerialCheck;
use crate::explore::findings::{Exploration, ExplorationVerdict, Subject};
use crate::explore::search::SearchPlan;

/// What a report says of a file of commands.
#[must_use]
pub fn subject(file: &CommandFile, path: &str) -> Subject {
    Subject::of_file(&file.title, String::new(), path, file.commands.len(), file.expect.verdict.claim())
}

/// Explores a file of commands, and compares the result with its expectations.
///
/// # Errors
/// [`ExploreError`]; [`ExploreError::Script`] if its database cannot be prepared, or a command cannot be started.
pub async fn explore(
    database: &mut ExplorerDatabase,
    file: &CommandFile,
    subject: Subject,
    mut plan: SearchPlan,
    go_on: ProgressCallback<'_>,
) -> Result<Exploration, ExploreError> {
    let (partial, wants_reduce) = (plan.limit.is_some() || plan.after.is_some(), plan.reduce);
    plan.reduce = false;
    let mut execution = CommandExecution::open(database, file).await?;
    let mut counter = ExplorationCounter::new();
    let explored = execution.explore(&mut counter, plan, go_on).await;
    let (alone, mut limits, surprises) = (execution.alone.clone(), execution.limits(), execution.surprises.clone());
    let depends_on_time = !execution.by_time.is_empty();
    let closed = execution.close().await;
    let begun = explored?;
    closed?;
    if wants_reduce {
        let why = "what statements of a program do beyond their words is not known";
        limits.push(format!("--reduce left nothing out: {why}"));
    }
    for surprise in surprises {
        counter.add_undecided(surprise);
    }
    let is_judged = file.serial != SerialCheck::Off || !file.invariants.is_empty();
    let mut exploration = counter.finish(subject);
    (exploration.limits, exploration.alone) = (limits, alone);
    exploration.complete &= begun;
    exploration.verdict = match exploration.verdict {
        ExplorationVerdict::Proved | ExplorationVerdict::HeldSoFar if depends_on_time => {
            ExplorationVerdict::DependsOnTime
        }
        ExplorationVerdict::Proved | ExplorationVerdict::HeldSoFar if !is_judged => ExplorationVerdict::NotJudged,
        verdict => verdict,
    };
    // Expectations are about all interleavings, so they are not checked for a part.
    let is_decided = !matches!(exploration.verdict, ExplorationVerdict::DependsOnTime | ExplorationVerdict::Undecided);
    if !partial && exploration.complete && is_decided {
        exploration.missed = file.expect.misses(&exploration, &BTreeSet::new());
    }
    Ok(exploration)
}
