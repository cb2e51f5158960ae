//! Who waits for whom, as PostgreSQL says.
//!
//! The manual, "System Information Functions": `pg_blocking_pids` names the sessions that hold, or wait earlier for, the lock that a
//! session waits for; `pg_safe_snapshot_blocking_pids` those that keep a read-only serializable one from its safe
//! snapshot. Row locks are waits for the transaction that holds them (`transactionid`), or in the queue before it (`tuple`).
//!
//! An error is told to its client before its transaction is rolled back and its locks are released. So who waits for a session that is still at work,
//! and does not wait itself, is about to go on, and does not count as waiting.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};

use super::ExploreError;
use super::explorer_database;
use super::schedule::Actor;
use super::transcript::StepWait;
use crate::database::within;
use domain::state::State;

/// A name for the connection of each actor, by which the server's views know it.
#[derive(Debug, Clone)]
pub struct ActorNames {
    /// Of this exploration only: several may share a server.
    prefix: String,
}

/// Longest `application_name` that PostgreSQL keeps whole, in bytes (`NAMEDATALEN` - 1).
#[cfg(test)]
const NAME_MAX: usize = 63;

impl ActorNames {
    /// Names that nobody else has.
    #[must_use]
    pub fn new() -> Self {
        Self { prefix: format!("concurrency-lab explore {} ", &uuid::Uuid::new_v4().simple().to_string()[..12]) }
    }

    /// The `application_name` of an actor's connection.
    #[must_use]
    pub fn of(&self, actor: Actor) -> String {
        format!("{}{actor}", self.prefix)
    }

    /// What all of them begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    fn actor(&self, name: &str) -> Option<Actor> {
        name.strip_prefix(&self.prefix).and_then(|letter| letter.chars().next()).and_then(Actor::of_letter)
    }
}

impl Default for ActorNames {
    fn default() -> Self {
        Self::new()
    }
}

/// Asks on a connection of its own, which waits for nobody.
#[derive(Debug)]
pub struct WaitMonitor {
    connection: PgConnection,
    names: ActorNames,
}

/// What the server said at one moment.
#[derive(Debug, Default)]
pub struct WaitReading {
    /// Who waits, and for whom; for nobody where it is a session that is none of ours.
    pub waits: BTreeMap<Actor, StepWait>,
}

/// How long one answer may take: the question waits for no lock of a table.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// How often it is looked whether sessions that were ended are gone.
const EVICTION_STEP: Duration = Duration::from_millis(5);

/// Name, pid, pids for which it waits, what for, and whether it is at work.
type BackendRow = (String, i32, Vec<i32>, Option<String>, bool);

impl WaitMonitor {
    /// Connects.
    ///
    /// # Errors
    /// [`ExploreError::Database`].
    pub async fn connect(options: &PgConnectOptions, names: ActorNames) -> Result<Self, ExploreError> {
        let options = options.clone().application_name(&format!("{}monitor", names.prefix));
        Ok(Self { connection: options.connect().await?, names })
    }

    /// Who waits for whom now.
    ///
    /// # Errors
    /// [`ExploreError::Database`].
    pub async fn read(&mut self) -> Result<WaitReading, ExploreError> {
        let rows = self.backends().await?;
        let actors: BTreeMap<i32, Actor> =
            rows.iter().filter_map(|(name, pid, ..)| Some((*pid, self.names.actor(name)?))).collect();
        let at_work = rows.iter().filter(|(_, _, blockers, _, active)| *active && blockers.is_empty());
        let at_work: Vec<i32> = at_work.map(|(_, pid, ..)| *pid).collect();
        let mut reading = WaitReading::default();
        for (_, pid, blockers, on, _) in &rows {
            let waits = !blockers.is_empty() && !blockers.iter().any(|blocker| at_work.contains(blocker));
            let Some(actor) = actors.get(pid).filter(|_| waits) else { continue };
            let mut holders: Vec<Actor> = blockers.iter().filter_map(|pid| actors.get(pid).copied()).collect();
            holders.sort_unstable();
            holders.dedup();
            reading.waits.insert(*actor, StepWait { holders, on: on.clone().unwrap_or_default() });
        }
        Ok(reading)
    }

    /// The rows that are committed now.
    ///
    /// # Errors
    /// [`ExploreError::Database`].
    pub async fn rows(&mut self) -> Result<State, ExploreError> {
        Ok(within(ANSWER_MAX, explorer_database::rows(&mut self.connection)).await?)
    }

    /// Ends the sessions of all actors, whatever they wait for, and waits until they are gone.
    ///
    /// # Errors
    /// [`ExploreError::Database`]; [`ExploreError::NeverEnds`].
    pub async fn evict(&mut self) -> Result<(), ExploreError> {
        let begun = Instant::now();
        while begun.elapsed() < ANSWER_MAX {
            let ended: Vec<(bool,)> = sqlx::query_as(
                "select pg_terminate_backend(pid) from pg_stat_activity \
                 where starts_with(application_name, $1) and pid <> pg_backend_pid()",
            )
            .bind(&self.names.prefix)
            .fetch_all(&mut self.connection)
            .await?;
            if ended.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(EVICTION_STEP).await;
        }
        Err(ExploreError::NeverEnds)
    }

    async fn backends(&mut self) -> Result<Vec<BackendRow>, ExploreError> {
        let rows = sqlx::query_as(
            "select application_name, pid, pg_blocking_pids(pid) || pg_safe_snapshot_blocking_pids(pid), wait_event, \
                    coalesce(state = 'active', false) \
             from pg_stat_activity where starts_with(application_name, $1) and pid <> pg_backend_pid()",
        )
        .bind(&self.names.prefix)
        .fetch_all(&mut self.connection);
        Ok(within(ANSWER_MAX, rows).await?)
    }

    /// Ends the connection.
    pub async fn close(self) {
        // Nothing hangs on how it ends.
        let _ = self.connection.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_tell_the_actor() {
        let names = ActorNames::new();
        for actor in [Actor::Client(0), Actor::Client(2), Actor::Writer(1)] {
            let name = names.of(actor);
            assert!(name.len() <= NAME_MAX, "{name}");
            assert_eq!(names.actor(&name), Some(actor));
            assert_eq!(ActorNames::new().actor(&name), None, "somebody else's");
        }
    }
}
