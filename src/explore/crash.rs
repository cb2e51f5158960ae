//! Crash points: what if the first client's connection is cut after its first statement, its second …; or if the client hangs up
//! during its first step, its second …
//!
//! Cutting the connection after COMMIT swallows the answer of COMMIT: the client cannot know, and is told so. Whatever happens, the
//! change must be whole or absent, which is the oracle's rule for unknown outcomes; no lock may be left; and where an approach can
//! store an idempotency key, whoever asks again under the same one must find the change made once. Each crash point is
//! explored in every interleaving with the other clients.

use super::ExploreError;
use super::execution::{ApproachExecution, TestCase};
use super::exploration::{ExplorationCounter, ProgressCallback};
use super::explorer_database::ExplorerDatabase;
use super::findings::{CrashKind, Exploration, Subject};
use super::search::SearchPlan;

/// A session holds a lock although everybody has ended.
pub const LOCK_LEFT: &str = "lock-left";

/// Asking again under the same idempotency key did not settle it.
pub const NOT_ONCE: &str = "not-once";

/// A crash of the first client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crash {
    /// What happens.
    pub kind: CrashKind,
    /// After which of its statements, or during which of its steps, from 1; each in turn if `None`.
    pub after: Option<u32>,
}

/// Statements or steps after which somebody may crash: retries are bounded, and no attempt has as many.
const POINTS_MAX: u32 = 100;

/// Explores a piece with a crash after each statement in turn, until there is none in any interleaving.
///
/// # Errors
/// [`ExploreError`].
pub async fn explore(
    world: &mut ExplorerDatabase,
    piece: &TestCase,
    crash: Crash,
    subject: Subject,
    plan: &SearchPlan,
    go_on: ProgressCallback<'_>,
) -> Result<Exploration, ExploreError> {
    let points = crash.after.map_or(1..=POINTS_MAX, |after| after..=after);
    let mut tally = ExplorationCounter::new();
    for after in points {
        let (before, crash) = (tally.interleavings(), Crash { after: Some(after), ..crash });
        let piece = TestCase { crash: Some(crash), ..piece.clone() };
        tally.explore(&mut ApproachExecution::new(world, piece), plan.clone(), go_on).await?;
        if tally.interleavings() == before {
            break;
        }
    }
    if let (Some(after), 0) = (crash.after, tally.interleavings()) {
        tally.doubt(format!("{} never happens: nobody comes so far in any interleaving", crash.kind.at(after)));
    }
    Ok(tally.told(subject))
}
