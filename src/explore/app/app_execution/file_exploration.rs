//! The exploration of a file of an application: its interleavings, what limits the verdict, and what the file expects.

use std::collections::BTreeSet;

use super::AppExecution;
use crate::explore::app::app_file::AppFile;
use crate::explore::error::ExploreError;
use crate::explore::exploration::{ExplorationCounter, ProgressCallback};
use crate::explore::explorer_database::ExplorerDatabase;
use crate::explore::file::script::SerialCheck;
use crate::explore::findings::{Exploration, ExplorationVerdict, Subject};
use crate::explore::search::SearchPlan;

/// What a report says of a file of an application.
#[must_use]
pub fn subject(file: &AppFile, path: &str) -> Subject {
    Subject::of_file(&file.title, String::new(), path, file.actors.len(), file.expect.verdict.claim())
}

/// Explores a file of an application, and compares the result with its expectations.
///
/// # Errors
/// [`ExploreError`]; [`ExploreError::Script`] if its database cannot be prepared, or a program cannot be started.
pub async fn explore(
    database: &mut ExplorerDatabase,
    file: &AppFile,
    subject: Subject,
    mut plan: SearchPlan,
    go_on: ProgressCallback<'_>,
) -> Result<Exploration, ExploreError> {
    let (partial, wants_reduce) = (plan.limit.is_some() || plan.after.is_some(), plan.reduce);
    plan.reduce = false;
    let mut execution = AppExecution::open(database, file).await?;
    let mut counter = ExplorationCounter::new();
    let explored = execution.explore(&mut counter, plan, go_on).await;
    let (alone, mut limits, observed) = (execution.known_of_each(), execution.limits(), execution.observed.clone());
    let depends_on_time = !observed.by_time.is_empty();
    let closed = execution.close().await;
    let begun = explored?;
    closed?;
    if wants_reduce {
        let why = "what statements of a program do beyond their words is not known";
        limits.push(format!("--reduce left nothing out: {why}"));
    }
    let unexpected = observed.unexpected();
    for surprise in observed.surprises.into_iter().chain(unexpected) {
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
        // What rests on an inferred wait is no proof.
        ExplorationVerdict::Proved if !observed.inferred.is_empty() => ExplorationVerdict::HeldSoFar,
        verdict => verdict,
    };
    // Expectations are about all interleavings, so they are not checked for a part.
    let is_decided = !matches!(
        exploration.verdict,
        ExplorationVerdict::DependsOnTime | ExplorationVerdict::Undecided | ExplorationVerdict::HeldSoFar
    );
    if !partial && exploration.complete && is_decided {
        exploration.missed = file.expect.misses(&exploration, &BTreeSet::new());
    }
    Ok(exploration)
}

impl AppExecution<'_> {
    /// Runs the serial orders and the interleavings. Returns whether interleavings were run at all.
    async fn explore(
        &mut self,
        counter: &mut ExplorationCounter,
        plan: SearchPlan,
        go_on: ProgressCallback<'_>,
    ) -> Result<bool, ExploreError> {
        match self.run_serial_orders().await? {
            Ok(()) => counter.explore(self, plan, go_on).await.map(|()| true),
            Err(why) => {
                counter.add_undecided(why);
                Ok(false)
            }
        }
    }
}
