//! The execution of a variant of a file: [`super::runner`] runs its sessions, each behind a gate on a connection of its own, in a schema
//! that is reset before each interleaving.

mod judging;
mod schema;
mod serial_orders;
pub mod snapshot;
mod variant_exploration;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::clock::{self, Variation};
use super::end_judgement::EndJudgement;
use super::expect::StatementRef;
use super::invariants::broken_invariants;
use super::mistakes::{self, FailureLog};
use super::notices::NoticeRelays;
use super::own_commit::mark_own_commits;
use super::prepared::PreparedTransactions;
use super::schema_catalog::{SCHEMA, SchemaCatalog};
use super::script::{Invariant, ScheduleTest, Script, ScriptStatement, ScriptVariant, SerialCheck, SessionScript};
use super::sending::error_text;
use super::serial::End;
use super::serial_ends::SerialEnds;
use super::session_end::{ScriptError, SessionConnections, SessionEnd, SessionResult};
use super::statement_access::FileAccess;
use super::template::{SqlTemplate, Variables};
use super::{limits, runner, schedule_tests};
use crate::database::connect;
use crate::database::schema::claim_schema;
use crate::explore::error::ExploreError;
use crate::explore::exploration::{ExplorationCounter, ProgressCallback};
use crate::explore::explorer_database::ExplorerDatabase;
use crate::explore::new_sequence_values::SequencePositions;
use crate::explore::run::gate::{Gate, GateEvent};
use crate::explore::run::interleaving_runner::InterleavingRunner;
use crate::explore::run::observations::{Observations, Unsettled};
use crate::explore::schedule::Actor;
use crate::explore::search::access::StatementAccess;
use crate::explore::search::{Execution, JudgedInterleaving, SearchPlan};
use crate::explore::sequence_columns::SequenceColumns;
use snapshot::RowSnapshot;
pub use variant_exploration::{explore, subject};

/// How long the reset may wait for locks that a cut session still holds.
const RESET_LOCK_TIMEOUT: &str = "10s";

/// Runs a variant of a file on the explorer's database.
pub struct ScriptExecution<'d> {
    database: &'d mut ExplorerDatabase,
    script: &'d Script,
    /// Its sessions, with the statements marked whose own commit is a step.
    sessions: Vec<SessionScript>,
    /// Resets and reads the rows.
    admin: PgConnection,
    relays: NoticeRelays,
    /// The connections of ended sessions, which the next interleaving reuses.
    idle: BTreeMap<Actor, SessionConnections>,
    tasks: JoinSet<(Actor, Result<SessionEnd, ScriptError>)>,
    catalog: SchemaCatalog,
    by_sequence: Arc<SequenceColumns>,
    /// Where the sequences stand before the first statement, if their values may be in any column.
    positions: Option<SequencePositions>,
    prepared: PreparedTransactions,
    /// The rows after the setup, if nothing else must be put back.
    snapshot: Option<RowSnapshot>,
    /// What its statements access, as far as a reduced search may rely on that.
    access: Option<Arc<FileAccess>>,
    /// Whether anything in the file may read the clock, or use chance.
    varies: Variation,
    /// The setup or an interleaving has run since the last teardown.
    needs_teardown: bool,
    /// How ends are compared with those of serial orders.
    serial: SerialCheck,
    /// Why they are not compared, although the file says so.
    no_serial_orders: Option<String>,
    /// If a serial order cannot be run, no end is compared.
    serial_is_optional: bool,
    /// The values that sessions have read, as `A.read.balance`.
    read: BTreeSet<String>,
    serial_ends: SerialEnds,
    log: FailureLog,
    waited: BTreeSet<StatementRef>,
    /// Statements that changed or locked several rows.
    of_several_rows: BTreeSet<StatementRef>,
    /// Statements that waited for the same transaction at the same time.
    unordered: BTreeSet<String>,
    /// Statements that a timeout ended.
    canceled: BTreeSet<String>,
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
        let options = database
            .plain_options_of(Actor::Writer(0), SCHEMA, script.rights)
            .application_name("concurrency-lab explore");
        let mut admin = connect(&options.options([("lock_timeout", RESET_LOCK_TIMEOUT)])).await?;
        claim_schema(&mut admin, SCHEMA).await?;
        let relays = NoticeRelays::new(&mut admin).await?;
        let mut execution = Self {
            database,
            script,
            sessions: variant.sessions.clone(),
            admin,
            relays,
            idle: BTreeMap::new(),
            tasks: JoinSet::new(),
            catalog: SchemaCatalog::default(),
            by_sequence: Arc::default(),
            positions: None,
            prepared: PreparedTransactions::default(),
            snapshot: None,
            access: None,
            varies: Variation::default(),
            needs_teardown: false,
            serial: script.serial,
            no_serial_orders: None,
            serial_is_optional: script.serial_is_optional,
            read: BTreeSet::new(),
            serial_ends: SerialEnds::default(),
            log: FailureLog::default(),
            waited: BTreeSet::new(),
            of_several_rows: BTreeSet::new(),
            unordered: BTreeSet::new(),
            canceled: BTreeSet::new(),
        };
        match execution.prepare().await {
            Ok(()) => Ok(execution),
            Err(error) => {
                // The first error says why.
                let _ = execution.close().await;
                Err(error)
            }
        }
    }

    async fn prepare(&mut self) -> Result<(), ExploreError> {
        self.set_up().await?;
        let texts = self.texts();
        self.catalog = SchemaCatalog::read(&mut self.admin, &texts).await?;
        self.varies = Variation::of(&texts).or(self.catalog.code.varies);
        self.access = FileAccess::of(self.script, &self.sessions, &self.catalog).map(Arc::new);
        mark_own_commits(&mut self.sessions, &self.catalog, self.access.as_deref());
        self.read_ids().await?;
        if self.catalog.code.uses_sequences || limits::call_nextval(&self.sessions) {
            self.positions = Some(SequencePositions::read(&mut self.admin, &self.catalog.schemas).await?);
        }
        self.prepared = PreparedTransactions::read(&mut self.admin, &self.sessions).await?;
        let fields_run_again = self.script.reset.is_some() || self.script.teardown.is_some();
        // A time of the setup must be that of its own interleaving.
        let ages = Variation::of(&self.script.setup).or(self.catalog.code.varies).clock;
        let only_rows = snapshot::change_only_rows(&self.sessions) && !self.catalog.names_other_schemas;
        if !fields_run_again && !ages && only_rows {
            self.snapshot = RowSnapshot::take(&mut self.admin, &schema::own_schema()).await?;
        }
        Ok(())
    }

    /// All SQL of the file that may run.
    fn texts(&self) -> Vec<String> {
        let script = self.script;
        let fields = script.setup.iter().chain(&script.reset).chain(&script.teardown).chain(&script.outcome).cloned();
        let invariants = script.invariants.iter().map(|invariant| invariant.query.shape());
        let of_sessions = self.sessions.iter().flat_map(|session| {
            let sent = session.statements.iter().flat_map(ScriptStatement::templates).map(SqlTemplate::shape);
            session.setup.iter().cloned().chain(sent)
        });
        fields.chain(invariants).chain(of_sessions).collect()
    }

    /// Runs the serial orders, the interleavings, and the schedules that are tests. Returns what the schedules missed.
    async fn explore(
        &mut self,
        counter: &mut ExplorationCounter,
        plan: SearchPlan,
        schedules: &[ScheduleTest],
        go_on: ProgressCallback<'_>,
    ) -> Result<Vec<String>, ExploreError> {
        self.run_serial_orders().await?;
        counter.explore(self, plan, go_on).await?;
        schedule_tests::run(self, schedules).await
    }

    /// Drops the schema of the file's tables.
    ///
    /// # Errors
    /// [`ExploreError`].
    pub async fn close(mut self) -> Result<(), ExploreError> {
        self.finish(false).await?;
        for (_, connections) in std::mem::take(&mut self.idle) {
            for connection in [Some(connections.own), connections.conditions].into_iter().flatten() {
                connection.close().await?;
            }
        }
        let torn_down = self.tear_down().await;
        self.execute(&format!("drop schema {SCHEMA} cascade")).await?;
        self.admin.close().await?;
        torn_down
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
            let SessionEnd { result, connections } = ended.map_err(|error| self.unusable(actor, &error))?;
            self.idle.extend(connections.map(|connections| (actor, connections)));
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
        let sessions = self.sessions.clone();
        let mut connections = Vec::new();
        for (client, script) in (0..).zip(&sessions) {
            connections.push(self.connections(Actor::Client(client), script).await?);
        }
        self.tear_down().await?;
        self.reset().await?;
        self.needs_teardown = true;
        let (events, received) = mpsc::unbounded_channel();
        for (client, (mut connections, mut script)) in (0..).zip(connections.into_iter().zip(sessions)) {
            let actor = Actor::Client(client);
            let events = events.clone();
            if let Some(setup) = &script.setup {
                let prepared = connections.own.execute(sqlx::raw_sql(AssertSqlSafe(setup.clone()))).await;
                prepared
                    .map_err(|error| ExploreError::Script(format!("session {actor}: setup: {}", error_text(&error))))?;
            }
            if !taking_part(actor) {
                script.statements.clear();
            }
            let by_sequence = Arc::clone(&self.by_sequence);
            let mut gate = Gate::new(actor, client, Uuid::new_v4(), events.clone());
            self.tasks.spawn(async move {
                let ended = runner::run(&script, connections, &mut gate, by_sequence).await;
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

    fn observe(&mut self, seen: &Observations, results: &BTreeMap<Actor, SessionResult>) {
        let waited = seen.entries.iter().filter(|entry| entry.wait.is_some());
        self.waited.extend(waited.map(|entry| (entry.actor, entry.name.clone())));
        limits::add_unordered(&mut self.unordered, &seen.entries);
        for (actor, result) in results {
            self.log.add(*actor, result);
            clock::add_canceled(&mut self.canceled, *actor, result);
            let several = result.sent.iter().filter(|sent| sent.rows > 1);
            self.of_several_rows.extend(several.map(|sent| (*actor, sent.name.clone())));
        }
    }

    /// What the verdict does not cover.
    fn limits(&self) -> Vec<String> {
        let inside = limits::inside_not_explored(&self.of_several_rows, &self.sessions, &self.catalog);
        let limits = [
            inside,
            limits::several_statements(&self.sessions),
            limits::code_inside(&self.sessions, &self.catalog),
            limits::commits_in_the_middle(&self.sessions, &self.catalog),
            self.other_schemas(),
            self.varies
                .chance
                .then(|| "chance decides some values, and another exploration may find others".to_owned()),
            limits::unordered(&self.unordered),
            limits::not_compared(&self.serial_ends.not_compared),
            self.no_serial_orders.clone(),
        ];
        limits.into_iter().flatten().collect()
    }

    /// Rows of other schemas are compared only by an outcome.
    fn other_schemas(&self) -> Option<String> {
        let compares_all = self.script.outcome.is_none() && self.serial != SerialCheck::Off;
        let why = "the file names another schema, whose tables are not compared with serial orders, because the file has no outcome";
        (compares_all && self.catalog.names_other_schemas).then(|| why.to_owned())
    }

    /// The statements whose effect depends on the time that something takes.
    fn by_the_clock(&self) -> Vec<String> {
        clock::by_the_clock(&self.sessions).into_iter().chain(self.canceled.iter().cloned()).collect()
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
        let read = results.iter().flat_map(|(actor, result)| {
            result.variables.iter().map(move |(name, literal)| (format!("{actor}.{name}"), literal.clone()))
        });
        let read: Variables = read.collect();
        self.read.extend(read.keys().cloned());
        let broken = broken_invariants(&mut self.admin, &self.script.invariants, &read).await?;
        let mut judgement = EndJudgement::of_invariants(broken);
        // With a timeout, no wait is for ever.
        if waits_for_ever && self.by_the_clock().is_empty() {
            judgement.add_endless_wait("a session waits for one that has ended and still holds its locks");
        }
        let after = rows.shown.iter().map(|row| row.join(", ")).collect();
        if !waits_for_ever && let Err(why) = self.explain(&End::new(&results, rows.compared)).await? {
            judgement.add_not_serializable(why);
        }
        let titles = self.sessions.iter().map(|session| session.name.clone());
        Ok(judgement.of_interleaving(seen, titles, after))
    }

    fn clients(&self) -> u8 {
        u8::try_from(self.sessions.len()).unwrap_or(u8::MAX)
    }

    fn identical(&self, one: u8, other: u8) -> bool {
        // An invariant that names a session tells it apart.
        let named = |invariant: &Invariant| invariant.query.placeholders().next().is_some();
        if self.script.invariants.iter().any(named) {
            return false;
        }
        let (Some(one), Some(other)) = (self.sessions.get(usize::from(one)), self.sessions.get(usize::from(other)))
        else {
            return false;
        };
        one.does_the_same(other)
    }

    fn access(&self) -> Option<Arc<dyn StatementAccess>> {
        self.access.clone().map(|access| access as Arc<dyn StatementAccess>)
    }
}
