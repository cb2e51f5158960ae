//! Crash points: the first client's connection is cut after its first statement, its second …; or the client hangs up during its
//! first step, its second …
//!
//! If the connection is cut after COMMIT was sent, its answer is lost, and the client gets "outcome unknown". The change
//! must be whole or absent, which is the oracle's rule for unknown outcomes. No lock may be left. If the approach stores idempotency
//! keys, a repeated request with the same key must find the change made once. Each crash point is explored in every interleaving
//! with the other clients.

use super::error::ExploreError;
use super::execution::ApproachExecution;
use super::exploration::{ExplorationCounter, ProgressCallback};
use super::explorer_database::ExplorerDatabase;
use super::findings::{Exploration, Subject};
use super::search::SearchPlan;
use super::test_case::{Crash, TestCase};

/// The highest crash point that is tried. Retries are bounded, and no operation has as many statements.
const POINTS_MAX: u32 = 100;

/// Explores a test case with a crash after each statement in turn, until no interleaving reaches the crash point.
///
/// # Errors
/// [`ExploreError`].
pub async fn explore(
    database: &mut ExplorerDatabase,
    case: &TestCase,
    crash: Crash,
    subject: Subject,
    plan: &SearchPlan,
    go_on: ProgressCallback<'_>,
) -> Result<Exploration, ExploreError> {
    let points = crash.after.map_or(1..=POINTS_MAX, |after| after..=after);
    let mut counter = ExplorationCounter::new();
    for after in points {
        let (before, crash) = (counter.interleavings(), Crash { after: Some(after), ..crash });
        let case = TestCase { crash: Some(crash), ..case.clone() };
        counter.explore(&mut ApproachExecution::new(database, case), plan.clone(), go_on).await?;
        if counter.interleavings() == before {
            break;
        }
    }
    if let (Some(after), 0) = (crash.after, counter.interleavings()) {
        counter.add_undecided(format!("{} never happens: no interleaving gets so far", crash.kind.at(after)));
    }
    Ok(counter.finish(subject))
}
