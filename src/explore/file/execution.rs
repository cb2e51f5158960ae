//! The execution of a variant of a file: [`super::runner`] runs its sessions, each behind a gate on a connection of its own, in a schema
//! that is reset before each interleaving.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::clock;
use super::expect::{ExpectedVerdict, StatementRef};
use super::invariants::broken_invariants;
use super::mistakes::{self, FailureLog};
use super::own_commit::mark_own_commits;
use super::runner::{self, ScriptError, SessionEnd, SessionResult, StatementAnswer, StatementBarrier, error_text};
use super::schema_catalog::{SCHEMA, SchemaCatalog};
use super::script::{NOT_SERIALIZABLE, Script, ScriptVariant, SerialCheck, SessionScript};
use super::serial::{End, UncomparedColumns};
use crate::database::schema::{claim_schema, create_schema_sql};
use crate::explore::error::ExploreError;
use crate::explore::exploration::{ExplorationCounter, ProgressCallback};
use crate::explore::explorer_database::ExplorerDatabase;
use crate::explore::findings::{Exploration, ExplorationVerdict, Subject};
use crate::explore::named_ids::without_ids;
use crate::explore::row_text::columns;
use crate::explore::run::gate::{Gate, GateEvent};
use crate::explore::run::interleaving_runner::InterleavingRunner;
use crate::explore::run::observations::{Observations, Unsettled};
use crate::explore::schedule::Actor;
use crate::explore::search::independence::{is_about_rows, is_plain_read};
use crate::explore::search::{Execution, JudgedInterleaving, SearchPlan};
use crate::explore::sql_words::{TransactionControl, one_statement, transaction_control};
use crate::explore::transcript::{Participant, Transcript};
use referee::history::ClaimedSafety;

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
    let irreducible = execution.irreducible();
    plan.reduce &= irreducible.is_none();
    let reduced = plan.reduce;
    let mut counter = ExplorationCounter::new();
    let explored = match execution.run_serial_orders().await {
        Ok(()) => counter.explore(&mut execution, plan, go_on).await,
        Err(error) => Err(error),
    };
    let mistake = execution.log.mistake(&execution.sessions);
    let (waited, mut limits, time) = (execution.waited.clone(), execution.limits(), execution.by_the_clock());
    execution.close().await?;
    explored?;
    if let Some(mistake) = mistake {
        return Err(ExploreError::Script(mistake));
    }
    limits.extend(irreducible.filter(|_| wants_reduce).map(|why| format!("--reduce left nothing out: {why}")));
    limits.extend(time.iter().map(|what| format!("it depends on time: {what}")));
    let mut exploration = counter.finish(subject);
    exploration.limits = limits;
    exploration.verdict = match exploration.verdict {
        ExplorationVerdict::Broken => ExplorationVerdict::Broken,
        _ if !time.is_empty() => ExplorationVerdict::DependsOnTime,
        ExplorationVerdict::Proved | ExplorationVerdict::HeldSoFar if !script.is_judged() => {
            ExplorationVerdict::NotJudged
        }
        verdict => verdict,
    };
    // Expectations are about all interleavings, so they are not checked for a part.
    if !partial && exploration.complete && exploration.verdict != ExplorationVerdict::DependsOnTime {
        let expect = if reduced { variant.expect.of_a_reduced_search() } else { variant.expect.clone() };
        exploration.missed = expect.misses(&exploration, &waited);
    }
    Ok(exploration)
}

/// Runs a variant of a file on the explorer's database.
pub struct ScriptExecution<'d> {
    database: &'d mut ExplorerDatabase,
    script: &'d Script,
    /// Its sessions, with the statements marked whose own commit is a step.
    sessions: Vec<SessionScript>,
    /// Resets and reads the rows.
    admin: PgConnection,
    /// The connections of ended sessions, which the next interleaving reuses.
    idle: BTreeMap<Actor, PgConnection>,
    tasks: JoinSet<(Actor, Result<SessionEnd, ScriptError>)>,
    catalog: SchemaCatalog,
    /// The ends of the serial orders of these sessions.
    serial_ends: BTreeMap<Vec<Actor>, Vec<End>>,
    uncompared: UncomparedColumns,
    log: FailureLog,
    waited: BTreeSet<StatementRef>,
    /// Statements that changed or locked several rows.
    of_several_rows: BTreeSet<StatementRef>,
    /// Statements that a timeout ended.
    canceled: BTreeSet<String>,
    /// Columns that could not be compared with those of serial orders.
    not_compared: BTreeSet<String>,
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
            sessions: variant.sessions.clone(),
            admin,
            idle: BTreeMap::new(),
            tasks: JoinSet::new(),
            catalog: SchemaCatalog::default(),
            serial_ends: BTreeMap::new(),
            uncompared: UncomparedColumns::default(),
            log: FailureLog::default(),
            waited: BTreeSet::new(),
            of_several_rows: BTreeSet::new(),
            canceled: BTreeSet::new(),
            not_compared: BTreeSet::new(),
        };
        let prepared = match execution.set_up().await {
            Ok(()) => SchemaCatalog::read(&mut execution.admin).await,
            Err(error) => Err(error),
        };
        match prepared {
            Ok(catalog) => {
                mark_own_commits(&mut execution.sessions, &catalog);
                execution.catalog = catalog;
                Ok(execution)
            }
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

    /// Waits until the sessions of the interleaving before have ended, wherever it was left, and returns how. Sessions that wait for
    /// ever are terminated.
    async fn finish(&mut self, waits_for_ever: bool) -> Result<BTreeMap<Actor, SessionResult>, ExploreError> {
        let (ended, terminated) = self.database.finish(&mut self.tasks, waits_for_ever).await?;
        if terminated {
            self.idle.clear();
            return Ok(BTreeMap::new());
        }
        let mut results = BTreeMap::new();
        for (actor, ended) in ended {
            let SessionEnd { result, connection } = ended.map_err(|error| self.unusable(actor, &error))?;
            self.idle.extend(connection.map(|connection| (actor, connection)));
            results.insert(actor, result);
        }
        Ok(results)
    }

    fn unusable(&self, actor: Actor, error: &ScriptError) -> ExploreError {
        let place = mistakes::place(&self.sessions, actor, error.statement());
        ExploreError::Script(format!("{place}: {error}"))
    }

    /// Starts these sessions; the others end at once, without a statement.
    async fn start(
        &mut self,
        taking_part: impl Fn(Actor) -> bool + Send,
    ) -> Result<(InterleavingRunner<'_>, Result<(), Unsettled>), ExploreError> {
        self.finish(false).await?;
        let mut connections = Vec::new();
        for client in 0..self.clients() {
            connections.push(self.connection(Actor::Client(client)).await?);
        }
        self.reset().await?;
        let (events, received) = mpsc::unbounded_channel();
        for (client, (connection, script)) in (0..).zip(connections.into_iter().zip(&self.sessions)) {
            let actor = Actor::Client(client);
            let (mut script, events) = (script.clone(), events.clone());
            if !taking_part(actor) {
                script.statements.clear();
            }
            let mut gate = Gate::new(actor, client, Uuid::new_v4(), events.clone());
            self.tasks.spawn(async move {
                let ended = runner::run(&script, connection, &mut gate).await;
                let heard = match &ended {
                    Ok(ended) => ended.result.heard.clone(),
                    Err(error) => error.to_string(),
                };
                let _ = events.send((actor, GateEvent::OperationEnded(heard)));
                (actor, ended)
            });
        }
        let clients = self.clients();
        self.database.gather(received, clients).await
    }

    /// Runs all serial orders of all sessions (each session whole, one after the other), the first of them twice: what then differs
    /// cannot be compared.
    ///
    /// # Errors
    /// [`ExploreError`].
    pub async fn run_serial_orders(&mut self) -> Result<(), ExploreError> {
        let all: Vec<Actor> = (0..self.clients()).map(Actor::Client).collect();
        let (Some(one), Some(again)) = (self.run_serially(&all).await?, self.run_serially(&all).await?) else {
            return Ok(());
        };
        self.uncompared = UncomparedColumns::new(&one, &again, self.catalog.by_sequence.iter().cloned());
        self.find_serial_ends(&all).await
    }

    async fn find_serial_ends(&mut self, sessions: &[Actor]) -> Result<(), ExploreError> {
        if self.serial_ends.contains_key(sessions) {
            return Ok(());
        }
        let mut ends = Vec::new();
        for order in orders(sessions) {
            ends.extend(self.run_serially(&order).await?);
        }
        self.serial_ends.insert(sessions.to_vec(), ends);
        Ok(())
    }

    /// Runs these sessions one after the other; `None` if one waits for another that has ended, where that does not matter.
    async fn run_serially(&mut self, order: &[Actor]) -> Result<Option<End>, ExploreError> {
        let (mut runner, mut settled) = self.start(|actor| order.contains(&actor)).await?;
        for actor in order {
            while settled.is_ok() && runner.next_step(*actor).is_some() {
                settled = runner.step(*actor).await?;
            }
        }
        let seen = runner.end();
        let waits_for_ever = seen.heard.len() < self.sessions.len();
        let mut results = self.finish(waits_for_ever).await?;
        results.retain(|actor, _| order.contains(actor));
        match settled {
            Ok(()) if !waits_for_ever => {}
            _ if self.script.serial == SerialCheck::Off => return Ok(None),
            settled => {
                let why = settled.err().map_or_else(|| WAITS_FOR_EVER.to_owned(), |why| why.to_string());
                return Err(ExploreError::Script(format!(
                    "a serial order of the sessions cannot be run: {why}; without serial orders, an invariant must say what is right"
                )));
            }
        }
        for (actor, result) in &results {
            self.log.add(*actor, result);
        }
        Ok(Some(End::new(&results, self.final_rows().await?)))
    }

    /// Whether an end is that of a serial order of the sessions that took part. The error says what no serial order gives.
    async fn explain(&mut self, end: &End) -> Result<Result<(), &'static str>, ExploreError> {
        let participants = end.participants();
        self.find_serial_ends(&participants).await?;
        let ends = &self.serial_ends[&participants];
        let found = |check: SerialCheck| ends.iter().any(|serial| end.equals(serial, check, &self.uncompared));
        let explained = match self.script.serial {
            SerialCheck::Off => return Ok(Ok(())),
            check if found(check) => Ok(()),
            SerialCheck::RowsAndAnswers if found(SerialCheck::Rows) => {
                Err("a serial order of the sessions ends with these rows, but none gives these answers")
            }
            _ => Err("no serial order of the sessions ends like this"),
        };
        let not_compared = self.uncompared.found_in(end).into_iter().map(str::to_owned);
        self.not_compared.extend(not_compared);
        Ok(explained)
    }

    async fn final_rows(&mut self) -> Result<Vec<Vec<String>>, ExploreError> {
        let Some(query) = &self.script.outcome else { return Ok(Vec::new()) };
        let rows = self.admin.fetch_all(sqlx::raw_sql(AssertSqlSafe(query.clone()))).await;
        let rows = rows.map_err(|error| ExploreError::Script(format!("outcome: {}", error_text(&error))))?;
        Ok(rows.iter().map(columns).collect())
    }

    fn observe(&mut self, seen: &Observations, results: &BTreeMap<Actor, SessionResult>) {
        let waited = seen.entries.iter().filter(|entry| entry.wait.is_some());
        self.waited.extend(waited.map(|entry| (entry.actor, entry.name.clone())));
        for (actor, result) in results {
            self.log.add(*actor, result);
            clock::add_canceled(&mut self.canceled, *actor, result);
            let several = result.sent.iter().filter(|sent| sent.rows > 1);
            self.of_several_rows.extend(several.map(|sent| (*actor, sent.name.clone())));
        }
    }

    /// The statements whose effect depends on the time that something takes.
    fn by_the_clock(&self) -> Vec<String> {
        clock::by_the_clock(&self.sessions).into_iter().chain(self.canceled.iter().cloned()).collect()
    }

    /// Why no interleavings may be left out, if so: what a statement does beyond its words is not known.
    fn irreducible(&self) -> Option<String> {
        if let Some(opaque) = self.catalog.opaque {
            return Some(opaque.to_owned());
        }
        (0..).zip(&self.sessions).find_map(|(client, session)| {
            let known = |sql: &str| {
                transaction_control(sql) != TransactionControl::None && one_statement(sql).is_some()
                    || is_plain_read(sql)
                    || is_about_rows(sql)
            };
            let unknown = session.statements.iter().find(|statement| !known(&statement.sql.shape()))?;
            Some(format!("what {}: {} depends on is not known from its words", Actor::Client(client), unknown.name))
        })
    }

    /// What the verdict does not cover.
    fn limits(&self) -> Vec<String> {
        let mut limits = Vec::new();
        let inside: Vec<String> = (self.of_several_rows.iter())
            .filter(|statement| self.meets_others(statement))
            .map(|(actor, name)| format!("{actor}: {name}"))
            .collect();
        if !inside.is_empty() {
            limits.push(format!(
                "each of these statements changes or locks several rows, and what other sessions do in the middle of it was not                  explored: {}; docs/EXPLORE.md shows how a third session that holds a row explores it",
                inside.join(", ")
            ));
        }
        if !self.not_compared.is_empty() {
            let columns: Vec<&str> = self.not_compared.iter().map(String::as_str).collect();
            limits.push(format!(
                "not compared with serial orders, because the clock, a sequence or chance gives their values: {}",
                columns.join(", ")
            ));
        }
        limits
    }

    /// Whether a statement changes or locks rows of a table of which another session changes or locks rows, too.
    fn meets_others(&self, (actor, name): &StatementRef) -> bool {
        let sql_of = |session: &SessionScript| {
            session.statements.iter().find(|statement| statement.name == *name).map(|statement| statement.sql.shape())
        };
        let own = (0..)
            .zip(&self.sessions)
            .find(|(client, _)| Actor::Client(*client) == *actor)
            .and_then(|(_, session)| sql_of(session));
        let Some(own) = own.filter(|sql| !is_plain_read(sql)) else { return false };
        let own = self.catalog.touched(&own);
        let others = (0..).zip(&self.sessions).filter(|(client, _)| Actor::Client(*client) != *actor);
        others.flat_map(|(_, session)| &session.statements).any(|statement| {
            match (&own, self.catalog.touched(&statement.sql.shape())) {
                (Some(own), Some(other)) => !own.writes.is_disjoint(&other.writes),
                (_, Some(other)) => !other.writes.is_empty(),
                (_, None) => true,
            }
        })
    }
}

#[async_trait]
impl Execution for ScriptExecution<'_> {
    async fn begin(&mut self) -> Result<(InterleavingRunner<'_>, Result<(), Unsettled>), ExploreError> {
        self.start(|_| true).await
    }

    async fn judge(&mut self, seen: Observations) -> Result<JudgedInterleaving, ExploreError> {
        let waits_for_ever = seen.heard.len() < self.sessions.len();
        let results = self.finish(waits_for_ever).await?;
        self.observe(&seen, &results);
        let rows = self.final_rows().await?;
        let broken = broken_invariants(&mut self.admin, &self.script.invariants).await?;
        let found: Vec<String> = broken.iter().map(ToString::to_string).collect();
        let mut explanation = match found[..] {
            [] => String::new(),
            _ => format!("in the end, an invariant does not hold: {}", found.join(", ")),
        };
        let mut anomalies: Vec<String> = broken.into_iter().map(|broken| broken.name).collect();
        // With a timeout, no wait is for ever.
        if waits_for_ever && self.by_the_clock().is_empty() {
            anomalies.insert(0, WAITS_FOR_EVER.to_owned());
            "a session waits for one that has ended and still holds its locks".clone_into(&mut explanation);
        }
        let after = rows.iter().map(|row| row.join(", ")).collect();
        if !waits_for_ever && let Err(why) = self.explain(&End::new(&results, rows)).await? {
            anomalies.push(NOT_SERIALIZABLE.to_owned());
            if explanation.is_empty() {
                why.clone_into(&mut explanation);
            }
        }
        let parts: Vec<Participant> = (0..)
            .zip(&self.sessions)
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
        Ok(JudgedInterleaving { transcript, outcome, anomalies, explanation, crash_missed: false, crash_after: None })
    }

    fn clients(&self) -> u8 {
        u8::try_from(self.sessions.len()).unwrap_or(u8::MAX)
    }

    fn identical(&self, one: u8, other: u8) -> bool {
        let (Some(one), Some(other)) = (self.sessions.get(usize::from(one)), self.sessions.get(usize::from(other)))
        else {
            return false;
        };
        one.does_the_same(other)
    }
}

#[async_trait]
impl StatementBarrier for Gate {
    async fn step(&mut self, name: &str, sql: &str) {
        Self::step(self, name, sql, &[]).await;
    }

    fn returned(&mut self, outcome: Result<StatementAnswer<'_>, &sqlx::Error>) {
        match outcome {
            Ok(StatementAnswer::Rows(rows)) => self.returned_rows(Ok(rows)),
            Ok(StatementAnswer::Tag(tag)) => self.returned_tag(tag),
            Err(error) => self.returned_rows(Err(error)),
        }
    }

    fn cut(&mut self) {
        self.was_cut();
    }
}

/// All orders of these sessions.
fn orders(sessions: &[Actor]) -> Vec<Vec<Actor>> {
    sessions.iter().fold(vec![Vec::new()], |orders, session| {
        let with = |order: Vec<Actor>| {
            (0..=order.len()).map(move |at| {
                let mut longer = order.clone();
                longer.insert(at, *session);
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
        for (sessions, expected) in [(0, 1), (1, 1), (2, 2), (3, 6), (4, 24)] {
            let orders = orders(&(0..sessions).map(Actor::Client).collect::<Vec<_>>());
            let distinct: BTreeSet<&Vec<Actor>> = orders.iter().collect();
            assert_eq!((orders.len(), distinct.len()), (expected, expected));
            assert!(orders.iter().all(|order| order.iter().collect::<BTreeSet<_>>().len() == usize::from(sessions)));
        }
    }
}
