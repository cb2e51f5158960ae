//! The exploration of a variant: its interleavings, what limits the verdict, and what the file expects.

use super::ScriptExecution;
use crate::explore::error::ExploreError;
use crate::explore::exploration::{ExplorationCounter, ProgressCallback};
use crate::explore::explorer_database::ExplorerDatabase;
use crate::explore::file::expect::ExpectedVerdict;
use crate::explore::file::invariants::never_read;
use crate::explore::file::limits;
use crate::explore::file::script::{Script, ScriptVariant};
use crate::explore::findings::{Exploration, ExplorationVerdict, Subject};
use crate::explore::search::SearchPlan;

/// What a report says of a variant of a file.
#[must_use]
pub fn subject(script: &Script, variant: &ScriptVariant, path: &str) -> Subject {
    let claim = variant.expect.verdict.claim();
    Subject::of_file(&script.title, variant.to_string(), path, variant.sessions.len(), claim)
}

/// Explores a variant of a file, and compares the result with the expectations in the file.
///
/// # Errors
/// [`ExploreError`]; [`ExploreError::Script`] if its statements cannot be run, or one of them never succeeds.
pub async fn explore(
    database: &mut ExplorerDatabase,
    script: &Script,
    variant: &ScriptVariant,
    subject: Subject,
    mut plan: SearchPlan,
    go_on: ProgressCallback<'_>,
) -> Result<Exploration, ExploreError> {
    let (partial, wants_reduce) = (plan.limit.is_some() || plan.after.is_some(), plan.reduce);
    let mut execution = ScriptExecution::open(database, script, variant).await?;
    let irreducible = limits::irreducible(&execution.sessions, &execution.catalog);
    plan.reduce &= irreducible.is_none();
    let reduced = plan.reduce;
    let mut counter = ExplorationCounter::new();
    let explored = execution.explore(&mut counter, plan, &variant.schedules, go_on).await;
    // A spec may show an error on purpose.
    let mistake = execution.log.mistake(&execution.sessions).filter(|_| variant.expect.verdict != ExpectedVerdict::Any);
    let is_judged = execution.unjudged().is_none();
    let unread = never_read(&script.invariants, &execution.read);
    let (waited, mut limits, time) = (execution.waited.clone(), execution.limits(), execution.by_the_clock());
    let closed = execution.close().await;
    let missed = explored?;
    closed?;
    if let Some(mistake) = mistake {
        return Err(ExploreError::Script(mistake));
    }
    limits.extend(irreducible.filter(|_| wants_reduce).map(|why| format!("--reduce left nothing out: {why}")));
    limits.extend(time.iter().map(|what| format!("it depends on time: {what}")));
    let mut exploration = counter.finish(subject);
    // A part may lack the interleavings in which it is read.
    if let Some(unread) = unread.filter(|_| exploration.complete) {
        return Err(ExploreError::Script(unread));
    }
    exploration.limits = limits;
    exploration.verdict = match exploration.verdict {
        ExplorationVerdict::Broken => ExplorationVerdict::Broken,
        _ if !time.is_empty() => ExplorationVerdict::DependsOnTime,
        ExplorationVerdict::Proved | ExplorationVerdict::HeldSoFar if !is_judged => ExplorationVerdict::NotJudged,
        verdict => verdict,
    };
    // Expectations are about all interleavings, so they are not checked for a part.
    if !partial && exploration.complete && exploration.verdict != ExplorationVerdict::DependsOnTime {
        let expect = if reduced { variant.expect.of_a_reduced_search() } else { variant.expect.clone() };
        exploration.missed = expect.misses(&exploration, &waited);
    }
    exploration.missed.extend(missed);
    Ok(exploration)
}
