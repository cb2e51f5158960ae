//! The monitor: asks PostgreSQL which session waits for which.
//!
//! The manual, "System Information Functions": `pg_blocking_pids` names the sessions that hold the lock that a session waits for, or
//! wait for it ahead of that session; `pg_safe_snapshot_blocking_pids` names those that keep a read-only serializable session
//! from its safe snapshot. A wait for a row is a wait for the transaction that holds it (`transactionid`), or in the queue for
//! the row (`tuple`).
//!
//! PostgreSQL reports an error to the client before it rolls the transaction back and releases its locks. So a session that is
//! blocked by one that is still at work, and does not wait itself, is about to continue. It does not count as waiting.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use crate::database::{connect, within};
use crate::explore::error::ExploreError;
use crate::explore::schedule::Actor;
use crate::explore::table_rows;
use crate::explore::transcript::StepWait;
use domain::state::State;

/// The name of each actor's connection in PostgreSQL's views (`application_name`).
#[derive(Debug, Clone)]
pub struct ActorNames {
    /// Of this exploration only: several explorations may share a server.
    prefix: String,
}

/// Longest `application_name` that PostgreSQL keeps whole, in bytes (`NAMEDATALEN` - 1).
#[cfg(test)]
const NAME_MAX: usize = 63;

impl ActorNames {
    /// Names that no other exploration has.
    #[must_use]
    pub fn new() -> Self {
        Self { prefix: format!("concurrency-lab explore {} ", &uuid::Uuid::new_v4().simple().to_string()[..12]) }
    }

    /// The `application_name` of an actor's connection.
    #[must_use]
    pub fn of(&self, actor: Actor) -> String {
        format!("{}{actor}", self.prefix)
    }

    /// The prefix of all these names.
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

/// The server processes of actors whose `application_name` belongs to an application: one actor can have several.
#[derive(Debug, Clone, Default)]
pub struct ActorBackends(Arc<Mutex<BTreeMap<i32, Actor>>>);

impl ActorBackends {
    /// A connection of this actor was opened.
    pub fn insert(&self, pid: i32, actor: Actor) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(pid, actor);
    }

    /// A connection has ended.
    pub fn remove(&self, pid: i32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&pid);
    }

    fn all(&self) -> BTreeMap<i32, Actor> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Asks on a connection of its own, which waits for no lock.
#[derive(Debug)]
pub struct WaitMonitor {
    connection: PgConnection,
    names: ActorNames,
    backends: ActorBackends,
}

/// What PostgreSQL reported at one moment.
#[derive(Debug, Default)]
pub struct WaitReading {
    /// The actors that wait, and for whom. The list of holders is empty if another program's session blocks the actor.
    pub waits: BTreeMap<Actor, StepWait>,
}

/// The limit for one answer. The query waits for no lock, so it is quick.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// The pause between two checks whether terminated sessions are gone.
const TERMINATION_POLL: Duration = Duration::from_millis(5);

/// A session: `application_name`, pid, pids that block it, `wait_event`, and whether its state is `active`.
type BackendRow = (String, i32, Vec<i32>, Option<String>, bool);

impl WaitMonitor {
    /// Connects.
    ///
    /// # Errors
    /// [`ExploreError::Database`].
    pub async fn connect(options: &PgConnectOptions, names: ActorNames) -> Result<Self, ExploreError> {
        let options = options.clone().application_name(&format!("{}monitor", names.prefix));
        Ok(Self { connection: connect(&options).await?, names, backends: ActorBackends::default() })
    }

    /// The server processes that belong to actors whatever their `application_name` is.
    #[must_use]
    pub fn backends_of_applications(&self) -> ActorBackends {
        self.backends.clone()
    }

    /// The actors that wait now.
    ///
    /// # Errors
    /// [`ExploreError::Database`].
    pub async fn read(&mut self) -> Result<WaitReading, ExploreError> {
        let known = self.backends.all();
        let rows = self.backends(known.keys().copied().collect()).await?;
        let actor = |name: &str, pid| known.get(pid).copied().or_else(|| self.names.actor(name));
        let actors: BTreeMap<i32, Actor> =
            rows.iter().filter_map(|(name, pid, ..)| Some((*pid, actor(name, pid)?))).collect();
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

    /// All rows that are committed now.
    ///
    /// # Errors
    /// [`ExploreError::Database`].
    pub async fn rows(&mut self) -> Result<State, ExploreError> {
        Ok(within(ANSWER_MAX, table_rows::read(&mut self.connection)).await?)
    }

    /// Terminates the sessions of all actors, and waits until they are gone.
    ///
    /// # Errors
    /// [`ExploreError::Database`]; [`ExploreError::NeverEnds`].
    pub async fn terminate_sessions(&mut self) -> Result<(), ExploreError> {
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
            tokio::time::sleep(TERMINATION_POLL).await;
        }
        Err(ExploreError::NeverEnds)
    }

    /// The sessions with names of this exploration, and those with these pids.
    async fn backends(&mut self, pids: Vec<i32>) -> Result<Vec<BackendRow>, ExploreError> {
        let rows = sqlx::query_as(
            "select coalesce(application_name, ''), pid, pg_blocking_pids(pid) || pg_safe_snapshot_blocking_pids(pid), wait_event, \
                    coalesce(state = 'active', false) \
             from pg_stat_activity where (starts_with(application_name, $1) or pid = any($2)) and pid <> pg_backend_pid()",
        )
        .bind(&self.names.prefix)
        .bind(pids)
        .fetch_all(&mut self.connection);
        Ok(within(ANSWER_MAX, rows).await?)
    }

    /// Closes the connection.
    pub async fn close(self) {
        // An error while closing changes nothing.
        let _ = self.connection.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_name_is_not_truncated_and_identifies_its_actor() {
        let names = ActorNames::new();
        for actor in [Actor::Client(0), Actor::Client(2), Actor::Writer(1)] {
            let name = names.of(actor);
            assert!(name.len() <= NAME_MAX, "{name}");
            assert_eq!(names.actor(&name), Some(actor));
            assert_eq!(ActorNames::new().actor(&name), None, "a name of another exploration");
        }
    }
}
