//! Crash points: what if the first client's connection is cut, or the client gone, after its first statement, its second …
//!
//! Cutting the connection after COMMIT swallows the answer of COMMIT: the client cannot know, and is told so. Whatever happens, the
//! change must be whole or absent, which is the oracle's rule for unknown outcomes; no lock may be left; and where an approach can
//! store an idempotency key, whoever asks again under the same one must find the change made once. Each crash point is
//! explored in every interleaving with the other clients.

use super::ExploreError;
use super::exploration::{GoOn, Tally};
use super::findings::{CrashKind, Exploration, Subject};
use super::play::{ApproachPlay, Piece};
use super::schedule::Actor;
use super::search::{Found, Plan, Search};
use super::world::World;

/// A session holds a lock although everybody has ended.
pub const LOCK_LEFT: &str = "lock-left";

/// Asking again under the same idempotency key did not settle it.
pub const NOT_ONCE: &str = "not-once";

/// A crash of the first client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crash {
    /// What happens.
    pub kind: CrashKind,
    /// After which of its statements, from 1; after each in turn if `None`.
    pub after: Option<u32>,
}

/// Explores a piece with a crash after each statement in turn.
///
/// # Errors
/// [`ExploreError`].
pub async fn explore(
    world: &mut World,
    piece: &Piece,
    crash: Crash,
    subject: Subject,
    plan: &Plan,
    go_on: GoOn<'_>,
) -> Result<Exploration, ExploreError> {
    let with = |after| Piece { crash: Some(Crash { after: Some(after), ..crash }), ..piece.clone() };
    let points = match crash.after {
        Some(after) => after..=after,
        None => 1..=statements(world, with(u32::MAX)).await?,
    };
    let mut tally = Tally::new();
    for after in points {
        tally.explore(&mut ApproachPlay::new(world, with(after)), plan.clone(), go_on).await?;
    }
    Ok(tally.told(subject))
}

/// How many statements the victim sends when nobody is in its way.
async fn statements(world: &mut World, piece: Piece) -> Result<u32, ExploreError> {
    let victim = if piece.strategy.card().batches { Actor::Writer(0) } else { Actor::Client(0) };
    let mut play = ApproachPlay::new(world, piece);
    let found = Search::new(Plan::default()).next(&mut play).await?;
    let Some(Found::Interleaving(judged)) = found else { return Ok(0) };
    let entries = judged.transcript.entries.iter();
    let sent = entries.filter(|entry| entry.actor == victim && !entry.sql.starts_with("--"));
    Ok(u32::try_from(sent.count()).unwrap_or(u32::MAX))
}
