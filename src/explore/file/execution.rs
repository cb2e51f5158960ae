//! A variant of a file on the stage: its sessions played by [`super::runner`], each behind a gate on a connection of its own, in a
//! schema that is set back before each interleaving.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::expect::{ExpectedVerdict, StatementRef};
use super::runner::{self, ScriptError, SessionEnd, StatementBarrier, said};
use super::{NOT_SERIALIZABLE, Script, ScriptVariant};
use crate::database::schema::{claim_schema, create_schema_sql};
use crate::explore::ExploreError;
use crate::explore::exploration::{ExplorationCounter, ProgressCallback};
use crate::explore::explorer_database::ExplorerDatabase;
use crate::explore::findings::{Exploration, Subject};
use crate::explore::gate::{Gate, GateEvent};
use crate::explore::interleaving_runner::InterleavingRunner;
use crate::explore::named_ids;
use crate::explore::observations::{Observations, Unsettled};
use crate::explore::schedule::Actor;
use crate::explore::search::{Execution, JudgedInterleaving, SearchPlan};
use crate::explore::transcript::{Participant, Transcript};
use referee::history::ClaimedSafety;

/// The schema of a file's own tables, first in the `search_path` of its sessions.
pub const SCHEMA: &str = "concurrency_lab_explore_file";

/// How long setting back may wait for what a session that was cut still holds.
const SET_BACK_MAX: &str = "10s";

/// What it is called when a session waits for one that keeps its locks although its work is done.
const WAITS_FOR_EVER: &str = "waits for ever";

/// What a report says of a variant of a file.
#[must_use]
pub fn subject(script: &Script, variant: &ScriptVariant, path: &str) -> Subject {
    Subject {
        scenario: script.title.clone(),
        approach: variant.to_string(),
        file: Some(path.to_owned()),
        clients: u32::try_from(variant.sessions.len()).unwrap_or(u32::MAX),
        servers: None,
        isolation: None,
        without: None,
        crash: None,
        claim: match variant.expect.verdict {
            ExpectedVerdict::Holds => ClaimedSafety::Safe,
            ExpectedVerdict::Broken => ClaimedSafety::Broken,
        },
    }
}

/// Explores a variant of a file, and compares what it finds with what its author expects.
///
/// # Errors
/// [`ExploreError`]; [`ExploreError::Script`] when its statements cannot be played.
pub async fn explore(
    world: &mut ExplorerDatabase,
    script: &Script,
    variant: &ScriptVariant,
    subject: Subject,
    plan: SearchPlan,
    go_on: ProgressCallback<'_>,
) -> Result<Exploration, ExploreError> {
    let (partial, reduced) = (plan.limit.is_some() || plan.after.is_some(), plan.reduce);
    let mut stage = ScriptExecution::open(world, script, variant).await?;
    let mut tally = ExplorationCounter::new();
    let explored = match stage.find_serial_ends().await {
        Ok(()) => tally.explore(&mut stage, plan, go_on).await,
        Err(error) => Err(error),
    };
    let waited = std::mem::take(&mut stage.waited);
    stage.close().await?;
    explored?;
    let mut exploration = tally.told(subject);
    // Of a part, the whole cannot be expected.
    if !partial && exploration.complete {
        let expect = if reduced { variant.expect.of_a_reduced_search() } else { variant.expect.clone() };
        exploration.missed = expect.misses(&exploration, &waited);
    }
    Ok(exploration)
}

/// A variant on the stage.
pub struct ScriptExecution<'w> {
    world: &'w mut ExplorerDatabase,
    script: &'w Script,
    variant: &'w ScriptVariant,
    /// For setting back and looking.
    admin: PgConnection,
    /// Connections that sessions have left, kept from play to play.
    idle: BTreeMap<Actor, PgConnection>,
    sessions: JoinSet<(Actor, Result<SessionEnd, ScriptError>)>,
    /// The ends that serial orders have, where they matter.
    serial: Option<BTreeSet<Vec<String>>>,
    waited: BTreeSet<StatementRef>,
}

impl<'w> ScriptExecution<'w> {
    /// Sets up.
    ///
    /// # Errors
    /// [`ExploreError`].
    pub async fn open(
        world: &'w mut ExplorerDatabase,
        script: &'w Script,
        variant: &'w ScriptVariant,
    ) -> Result<Self, ExploreError> {
        let options = world.plain_options_of(Actor::Writer(0), SCHEMA).application_name("concurrency-lab explore");
        let mut admin = options.options([("lock_timeout", SET_BACK_MAX)]).connect().await?;
        claim_schema(&mut admin, SCHEMA).await?;
        let mut stage = Self {
            world,
            script,
            variant,
            admin,
            idle: BTreeMap::new(),
            sessions: JoinSet::new(),
            serial: None,
            waited: BTreeSet::new(),
        };
        match stage.set_up().await {
            Ok(()) => Ok(stage),
            Err(error) => {
                stage.close().await?;
                Err(error)
            }
        }
    }

    /// Drops what was set up.
    ///
    /// # Errors
    /// [`ExploreError`].
    pub async fn close(mut self) -> Result<(), ExploreError> {
        self.clear(false).await?;
        for (_, connection) in std::mem::take(&mut self.idle) {
            connection.close().await?;
        }
        self.run(&format!("drop schema {SCHEMA} cascade")).await?;
        Ok(self.admin.close().await?)
    }

    async fn set_up(&mut self) -> Result<(), ExploreError> {
        let script = self.script;
        self.run(&format!("drop schema {SCHEMA} cascade; {}", create_schema_sql(SCHEMA))).await?;
        self.run_theirs("setup", &script.setup).await
    }

    async fn set_back(&mut self) -> Result<(), ExploreError> {
        let script = self.script;
        match &script.reset {
            Some(reset) => self.run_theirs("reset", reset).await,
            None => self.set_up().await,
        }
    }

    async fn run(&mut self, sql: &str) -> Result<(), ExploreError> {
        self.admin.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await?;
        Ok(())
    }

    /// Runs SQL of the file.
    async fn run_theirs(&mut self, field: &str, sql: &str) -> Result<(), ExploreError> {
        let ran = self.admin.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await;
        ran.map(drop).map_err(|error| ExploreError::Script(format!("{field}: {}", said(&error))))
    }

    /// A connection for a session, as new.
    async fn connection(&mut self, actor: Actor) -> Result<PgConnection, ExploreError> {
        let Some(mut connection) = self.idle.remove(&actor) else {
            let options: PgConnectOptions = self.world.plain_options_of(actor, SCHEMA);
            return Ok(options.connect().await?);
        };
        // Whatever it still held, a transaction or a lock of its session, is given up.
        connection.execute(sqlx::raw_sql("rollback")).await?;
        connection.execute(sqlx::raw_sql("discard all")).await?;
        Ok(connection)
    }

    /// Waits until the sessions of the play before have ended, however it was left. Those that wait for ever are ended.
    async fn clear(&mut self, waits_for_ever: bool) -> Result<(), ExploreError> {
        let (ended, evicted) = self.world.clear(&mut self.sessions, waits_for_ever).await?;
        if evicted {
            self.idle.clear();
            return Ok(());
        }
        for (actor, ended) in ended {
            let ended = ended.map_err(|error| ExploreError::Script(format!("session {actor}: {error}")))?;
            self.idle.extend(ended.connection.map(|connection| (actor, connection)));
        }
        Ok(())
    }

    /// The ends of all serial orders: each session whole, one after the other. What is played from then on is compared with them.
    ///
    /// # Errors
    /// [`ExploreError`].
    pub async fn find_serial_ends(&mut self) -> Result<(), ExploreError> {
        if !self.script.serial {
            return Ok(());
        }
        let mut ends = BTreeSet::new();
        for order in orders(self.clients()) {
            let (mut controller, gathered) = self.begin().await?;
            let mut played = gathered;
            for client in order {
                let actor = Actor::Client(client);
                while played.is_ok() && controller.next_step(actor).is_some() {
                    played = controller.step(actor).await?;
                }
            }
            let seen = controller.end();
            if let Err(why) = played {
                return Err(ExploreError::Script(format!("a serial order cannot be played: {why}")));
            }
            ends.insert(self.judge(seen).await?.outcome);
        }
        self.serial = Some(ends);
        self.waited.clear();
        Ok(())
    }

    /// The names of the invariants that do not hold.
    async fn broken_invariants(&mut self) -> Result<Vec<String>, ExploreError> {
        let mut broken = Vec::new();
        for invariant in &self.script.invariants {
            let query = sqlx::query_scalar(AssertSqlSafe(invariant.query.clone()));
            let holds: Result<Option<bool>, sqlx::Error> = query.fetch_one(&mut self.admin).await;
            let holds = holds
                .map_err(|error| ExploreError::Script(format!("invariant {:?}: {}", invariant.name, said(&error))))?;
            if holds != Some(true) {
                broken.push(invariant.name.clone());
            }
        }
        Ok(broken)
    }

    async fn final_rows(&mut self) -> Result<Vec<String>, ExploreError> {
        let Some(query) = &self.script.outcome else { return Ok(Vec::new()) };
        let rows = self.admin.fetch_all(sqlx::raw_sql(AssertSqlSafe(query.clone()))).await;
        let rows = rows.map_err(|error| ExploreError::Script(format!("outcome: {}", said(&error))))?;
        Ok(rows.iter().map(|row| named_ids::columns(row).join(", ")).collect())
    }
}

#[async_trait]
impl Execution for ScriptExecution<'_> {
    async fn begin(&mut self) -> Result<(InterleavingRunner<'_>, Result<(), Unsettled>), ExploreError> {
        self.clear(false).await?;
        let mut connections = Vec::new();
        for client in 0..self.clients() {
            connections.push(self.connection(Actor::Client(client)).await?);
        }
        self.set_back().await?;
        let (events, heard) = mpsc::unbounded_channel();
        for (client, (connection, script)) in (0..).zip(connections.into_iter().zip(&self.variant.sessions)) {
            let actor = Actor::Client(client);
            let (script, events) = (script.clone(), events.clone());
            let mut gate = Gate::new(actor, client, Uuid::new_v4(), events.clone());
            self.sessions.spawn(async move {
                let ended = runner::play(&script, connection, &mut gate).await;
                let heard = match &ended {
                    Ok(ended) => ended.heard.clone(),
                    Err(error) => error.to_string(),
                };
                let _ = events.send((actor, GateEvent::Heard(heard)));
                (actor, ended)
            });
        }
        let clients = self.clients();
        self.world.gather(heard, clients).await
    }

    async fn judge(&mut self, seen: Observations) -> Result<JudgedInterleaving, ExploreError> {
        let waits_for_ever = seen.heard.len() < self.variant.sessions.len();
        self.clear(waits_for_ever).await?;
        let waited = seen.entries.iter().filter(|entry| entry.wait.is_some());
        self.waited.extend(waited.map(|entry| (entry.actor, entry.name.clone())));
        let after = self.final_rows().await?;
        let mut anomalies = self.broken_invariants().await?;
        if waits_for_ever {
            anomalies.insert(0, WAITS_FOR_EVER.to_owned());
        }
        let parts: Vec<Participant> = (0..)
            .zip(&self.variant.sessions)
            .map(|(client, script)| {
                let actor = Actor::Client(client);
                let heard = seen.heard.get(&actor).map_or(WAITS_FOR_EVER, String::as_str).to_owned();
                Participant { actor, title: script.name.clone(), heard: Some(heard) }
            })
            .collect();
        let mut transcript =
            Transcript { schedule: seen.schedule, parts, before: Vec::new(), entries: seen.entries, after };
        named_ids::without_ids(&mut transcript);
        let outcome = transcript.outcome();
        let mut explanation = match anomalies.first() {
            Some(_) if waits_for_ever => {
                "somebody waits for a session that has done its work and keeps its locks".to_owned()
            }
            Some(_) => "in the end, what must always be true is not".to_owned(),
            None => String::new(),
        };
        if self.serial.as_ref().is_some_and(|ends| !ends.contains(&outcome)) {
            anomalies.push(NOT_SERIALIZABLE.to_owned());
            if explanation.is_empty() {
                "no order of the sessions, one after the other, ends like this".clone_into(&mut explanation);
            }
        }
        Ok(JudgedInterleaving { transcript, outcome, anomalies, explanation, spared: false, crash_after: None })
    }

    fn clients(&self) -> u8 {
        u8::try_from(self.variant.sessions.len()).unwrap_or(u8::MAX)
    }

    fn identical(&self, one: u8, other: u8) -> bool {
        let sessions = &self.variant.sessions;
        let (Some(one), Some(other)) = (sessions.get(usize::from(one)), sessions.get(usize::from(other))) else {
            return false;
        };
        (&one.statements, one.on_error, one.cut_after) == (&other.statements, other.on_error, other.cut_after)
    }
}

#[async_trait]
impl StatementBarrier for Gate {
    async fn step(&mut self, name: &str, sql: &str) {
        Self::step(self, name, sql, &[]).await;
    }

    fn returned(&mut self, outcome: Result<&[PgRow], &sqlx::Error>, rows: bool) {
        Self::returned(self, outcome, rows);
    }

    fn cut(&mut self) {
        self.was_cut();
    }
}

/// All orders of so many sessions.
fn orders(sessions: u8) -> Vec<Vec<u8>> {
    (0..sessions).fold(vec![Vec::new()], |orders, session| {
        let with = |order: Vec<u8>| {
            (0..=order.len()).map(move |at| {
                let mut longer = order.clone();
                longer.insert(at, session);
                longer
            })
        };
        orders.into_iter().flat_map(with).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_orders_as_there_are_permutations() {
        for (sessions, expected) in [(1, 1), (2, 2), (3, 6), (4, 24)] {
            let orders = orders(sessions);
            let distinct: BTreeSet<&Vec<u8>> = orders.iter().collect();
            assert_eq!((orders.len(), distinct.len()), (expected, expected));
            assert!(orders.iter().all(|order| order.iter().collect::<BTreeSet<_>>().len() == usize::from(sessions)));
        }
    }
}
