//! The execution of a variant of a file: [`super::runner`] runs its sessions, each behind a gate on a connection of its own, in a schema
//! that is reset before each interleaving.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::expect::{ExpectedVerdict, StatementRef};
use super::runner::{self, ScriptError, SessionEnd, StatementBarrier, error_text};
use super::script::{NOT_SERIALIZABLE, Script, ScriptVariant};
use crate::database::schema::{claim_schema, create_schema_sql};
use crate::explore::error::ExploreError;
use crate::explore::exploration::{ExplorationCounter, ProgressCallback};
use crate::explore::explorer_database::ExplorerDatabase;
use crate::explore::findings::{Exploration, Subject};
use crate::explore::named_ids::without_ids;
use crate::explore::row_text::columns;
use crate::explore::run::gate::{Gate, GateEvent};
use crate::explore::run::interleaving_runner::InterleavingRunner;
use crate::explore::run::observations::{Observations, Unsettled};
use crate::explore::schedule::Actor;
use crate::explore::search::{Execution, JudgedInterleaving, SearchPlan};
use crate::explore::transcript::{Participant, Transcript};
use referee::history::ClaimedSafety;

/// The schema of a file's tables, the only one in the `search_path` of its sessions.
pub const SCHEMA: &str = "concurrency_lab_explore_file";

/// How long the reset may wait for locks that a cut session still holds.
const RESET_LOCK_TIMEOUT: &str = "10s";

/// The name of an end at which a session waits for one that has ended and still holds its locks.
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

/// Explores a variant of a file, and compares the result with the expectations in the file.
///
/// # Errors
/// [`ExploreError`]; [`ExploreError::Script`] if its statements cannot be run.
pub async fn explore(
    database: &mut ExplorerDatabase,
    script: &Script,
    variant: &ScriptVariant,
    subject: Subject,
    plan: SearchPlan,
    go_on: ProgressCallback<'_>,
) -> Result<Exploration, ExploreError> {
    let (partial, reduced) = (plan.limit.is_some() || plan.after.is_some(), plan.reduce);
    let mut execution = ScriptExecution::open(database, script, variant).await?;
    let mut counter = ExplorationCounter::new();
    let explored = match execution.find_serial_ends().await {
        Ok(()) => counter.explore(&mut execution, plan, go_on).await,
        Err(error) => Err(error),
    };
    let waited = std::mem::take(&mut execution.waited);
    execution.close().await?;
    explored?;
    let mut exploration = counter.finish(subject);
    // Expectations are about all interleavings, so they are not checked for a part.
    if !partial && exploration.complete {
        let expect = if reduced { variant.expect.of_a_reduced_search() } else { variant.expect.clone() };
        exploration.missed = expect.misses(&exploration, &waited);
    }
    Ok(exploration)
}

/// Runs a variant of a file on the explorer's database.
pub struct ScriptExecution<'d> {
    database: &'d mut ExplorerDatabase,
    script: &'d Script,
    variant: &'d ScriptVariant,
    /// Resets and reads the rows.
    admin: PgConnection,
    /// The connections of ended sessions, which the next interleaving reuses.
    idle: BTreeMap<Actor, PgConnection>,
    sessions: JoinSet<(Actor, Result<SessionEnd, ScriptError>)>,
    /// The ends of all serial orders, if the file compares with them.
    serial: Option<BTreeSet<Vec<String>>>,
    waited: BTreeSet<StatementRef>,
}

impl<'d> ScriptExecution<'d> {
    /// Creates the schema of the file's tables, and runs its setup.
    ///
    /// # Errors
    /// [`ExploreError`].
    pub async fn open(
        database: &'d mut ExplorerDatabase,
        script: &'d Script,
        variant: &'d ScriptVariant,
    ) -> Result<Self, ExploreError> {
        let options = database.plain_options_of(Actor::Writer(0), SCHEMA).application_name("concurrency-lab explore");
        let mut admin = options.options([("lock_timeout", RESET_LOCK_TIMEOUT)]).connect().await?;
        claim_schema(&mut admin, SCHEMA).await?;
        let mut execution = Self {
            database,
            script,
            variant,
            admin,
            idle: BTreeMap::new(),
            sessions: JoinSet::new(),
            serial: None,
            waited: BTreeSet::new(),
        };
        match execution.set_up().await {
            Ok(()) => Ok(execution),
            Err(error) => {
                execution.close().await?;
                Err(error)
            }
        }
    }

    /// Drops the schema of the file's tables.
    ///
    /// # Errors
    /// [`ExploreError`].
    pub async fn close(mut self) -> Result<(), ExploreError> {
        self.finish(false).await?;
        for (_, connection) in std::mem::take(&mut self.idle) {
            connection.close().await?;
        }
        self.execute(&format!("drop schema {SCHEMA} cascade")).await?;
        Ok(self.admin.close().await?)
    }

    async fn set_up(&mut self) -> Result<(), ExploreError> {
        let script = self.script;
        self.execute(&format!("drop schema {SCHEMA} cascade; {}", create_schema_sql(SCHEMA))).await?;
        self.execute_field("setup", &script.setup).await
    }

    async fn reset(&mut self) -> Result<(), ExploreError> {
        let script = self.script;
        match &script.reset {
            Some(reset) => self.execute_field("reset", reset).await,
            None => self.set_up().await,
        }
    }

    async fn execute(&mut self, sql: &str) -> Result<(), ExploreError> {
        self.admin.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await?;
        Ok(())
    }

    /// Executes SQL of a field of the file.
    async fn execute_field(&mut self, field: &str, sql: &str) -> Result<(), ExploreError> {
        let result = self.admin.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await;
        result.map(drop).map_err(|error| ExploreError::Script(format!("{field}: {}", error_text(&error))))
    }

    /// A connection for a session, in the state of a new one.
    async fn connection(&mut self, actor: Actor) -> Result<PgConnection, ExploreError> {
        let Some(mut connection) = self.idle.remove(&actor) else {
            let options: PgConnectOptions = self.database.plain_options_of(actor, SCHEMA);
            return Ok(options.connect().await?);
        };
        // A transaction that is still open, and locks of the session, are given up.
        connection.execute(sqlx::raw_sql("rollback")).await?;
        connection.execute(sqlx::raw_sql("discard all")).await?;
        Ok(connection)
    }

    /// Waits until the sessions of the interleaving before have ended, wherever it was left. Sessions that wait for ever are terminated.
    async fn finish(&mut self, waits_for_ever: bool) -> Result<(), ExploreError> {
        let (ended, terminated) = self.database.finish(&mut self.sessions, waits_for_ever).await?;
        if terminated {
            self.idle.clear();
            return Ok(());
        }
        for (actor, ended) in ended {
            let ended = ended.map_err(|error| ExploreError::Script(format!("session {actor}: {error}")))?;
            self.idle.extend(ended.connection.map(|connection| (actor, connection)));
        }
        Ok(())
    }

    /// Runs all serial orders (each session whole, one after the other) and keeps their ends. Later interleavings are compared with
    /// them.
    ///
    /// # Errors
    /// [`ExploreError`].
    pub async fn find_serial_ends(&mut self) -> Result<(), ExploreError> {
        if !self.script.serial {
            return Ok(());
        }
        let mut ends = BTreeSet::new();
        for order in orders(self.clients()) {
            let (mut runner, mut settled) = self.begin().await?;
            for client in order {
                let actor = Actor::Client(client);
                while settled.is_ok() && runner.next_step(actor).is_some() {
                    settled = runner.step(actor).await?;
                }
            }
            let seen = runner.end();
            if let Err(why) = settled {
                return Err(ExploreError::Script(format!("a serial order of the sessions cannot be run: {why}")));
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
            let holds = holds.map_err(|error| {
                ExploreError::Script(format!("invariant {:?}: {}", invariant.name, error_text(&error)))
            })?;
            if holds != Some(true) {
                broken.push(invariant.name.clone());
            }
        }
        Ok(broken)
    }

    async fn final_rows(&mut self) -> Result<Vec<String>, ExploreError> {
        let Some(query) = &self.script.outcome else { return Ok(Vec::new()) };
        let rows = self.admin.fetch_all(sqlx::raw_sql(AssertSqlSafe(query.clone()))).await;
        let rows = rows.map_err(|error| ExploreError::Script(format!("outcome: {}", error_text(&error))))?;
        Ok(rows.iter().map(|row| columns(row).join(", ")).collect())
    }
}

#[async_trait]
impl Execution for ScriptExecution<'_> {
    async fn begin(&mut self) -> Result<(InterleavingRunner<'_>, Result<(), Unsettled>), ExploreError> {
        self.finish(false).await?;
        let mut connections = Vec::new();
        for client in 0..self.clients() {
            connections.push(self.connection(Actor::Client(client)).await?);
        }
        self.reset().await?;
        let (events, received) = mpsc::unbounded_channel();
        for (client, (connection, script)) in (0..).zip(connections.into_iter().zip(&self.variant.sessions)) {
            let actor = Actor::Client(client);
            let (script, events) = (script.clone(), events.clone());
            let mut gate = Gate::new(actor, client, Uuid::new_v4(), events.clone());
            self.sessions.spawn(async move {
                let ended = runner::run(&script, connection, &mut gate).await;
                let heard = match &ended {
                    Ok(ended) => ended.heard.clone(),
                    Err(error) => error.to_string(),
                };
                let _ = events.send((actor, GateEvent::OperationEnded(heard)));
                (actor, ended)
            });
        }
        let clients = self.clients();
        self.database.gather(received, clients).await
    }

    async fn judge(&mut self, seen: Observations) -> Result<JudgedInterleaving, ExploreError> {
        let waits_for_ever = seen.heard.len() < self.variant.sessions.len();
        self.finish(waits_for_ever).await?;
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
        without_ids(&mut transcript);
        let outcome = transcript.outcome();
        let mut explanation = match anomalies.first() {
            Some(_) if waits_for_ever => "a session waits for one that has ended and still holds its locks".to_owned(),
            Some(_) => format!("in the end, an invariant does not hold: {}", anomalies.join(", ")),
            None => String::new(),
        };
        if self.serial.as_ref().is_some_and(|ends| !ends.contains(&outcome)) {
            anomalies.push(NOT_SERIALIZABLE.to_owned());
            if explanation.is_empty() {
                "no serial order of the sessions ends like this".clone_into(&mut explanation);
            }
        }
        Ok(JudgedInterleaving { transcript, outcome, anomalies, explanation, crash_missed: false, crash_after: None })
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

/// All orders of this number of sessions.
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
