//! The execution of a file of commands: each command is a program behind a proxy of its own, on a database that is put back before each
//! interleaving.

mod alone;
mod file_exploration;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use postgres_proxy::{EventSender, HeldUnits, Owner, Proxy, ProxyOptions, ServerAddress};
use sqlx::postgres::PgConnectOptions;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use super::app_database::{AppDatabase, SessionDefaults};
use super::attendant::{Attendance, Attended, attend};
use super::command_file::{CommandFile, CommandScript};
use super::command_record::{CommandEnd, shortened};
use super::environment::DatabaseEnvironment;
use super::running_command::{CommandGuard, RunningCommand};
use super::step_rules::StepRules;
use crate::explore::error::ExploreError;
use crate::explore::exploration::{ExplorationCounter, ProgressCallback};
use crate::explore::explorer_database::ExplorerDatabase;
use crate::explore::file::clock::{may_read_the_clock, of_words};
use crate::explore::file::end_judgement::EndJudgement;
use crate::explore::file::execution::snapshot::changes_only_rows;
use crate::explore::file::invariants::broken_invariants;
use crate::explore::file::limits;
use crate::explore::file::schema_catalog::OWN_SCHEMAS;
use crate::explore::file::schema_code::{SchemaCode, calls_nextval};
use crate::explore::file::script::Invariant;
use crate::explore::file::serial_ends::SerialEnds;
use crate::explore::file::template::Variables;
use crate::explore::run::gate::GateEvents;
use crate::explore::run::interleaving_runner::InterleavingRunner;
use crate::explore::run::observations::{Observations, Unsettled};
use crate::explore::schedule::Actor;
use crate::explore::search::{Execution, JudgedInterleaving, SearchPlan};
use crate::explore::sql_words::statements;
pub use file_exploration::{explore, subject};

/// Runs a file of commands on the explorer's server.
pub struct CommandExecution<'d> {
    explorer: &'d mut ExplorerDatabase,
    file: &'d CommandFile,
    database: AppDatabase,
    guard: CommandGuard,
    /// One for each command, by actor.
    proxies: Arc<Vec<Proxy>>,
    environments: Vec<DatabaseEnvironment>,
    rules: StepRules,
    default_level: String,
    /// For the attendant of the next interleaving.
    owner: Option<Owner>,
    attendant: Option<(JoinHandle<Attended>, CancellationToken)>,
    /// Since the last reset, nothing but rows was changed.
    rows_only: bool,
    serial_ends: SerialEnds,
    unordered: BTreeSet<String>,
    /// What each command does alone.
    alone: Vec<String>,
    /// The commands that fail when they run alone.
    failing: BTreeSet<String>,
    /// The commands that send no statement when they run alone.
    silent: BTreeSet<String>,
    /// The code in the database that sends statements of its own.
    code: SchemaCode,
    /// A command takes values of sequences by itself.
    calls_nextval: bool,
    /// Statements outside a transaction whose commit is no step of its own.
    own_commits: BTreeSet<String>,
    /// Texts of several statements, which are one step.
    several_statements: BTreeSet<String>,
    /// Statements that run code.
    running_code: BTreeSet<String>,
    /// What an interleaving did that the rules of the steps exclude.
    surprises: BTreeSet<String>,
    /// Statements whose effect depends on the time that something takes.
    by_time: BTreeSet<String>,
}

impl<'d> CommandExecution<'d> {
    /// Makes the database of the commands, prepares it, and starts the proxies.
    ///
    /// # Errors
    /// [`ExploreError`].
    pub async fn open(explorer: &'d mut ExplorerDatabase, file: &'d CommandFile) -> Result<Self, ExploreError> {
        let server = explorer.given_options().clone();
        let guard = CommandGuard::start();
        let guard = guard.map_err(|error| {
            ExploreError::Script(format!("sh, which runs the commands, cannot be started: {error}"))
        })?;
        let mut database = AppDatabase::create(&server, explorer.deadlock_timeout()).await?;
        if let Err(error) = prepare(&mut database, file, &server, &guard).await {
            // The first error says why.
            let _ = database.close().await;
            return Err(error);
        }
        let (owner, events) = Owner::channel();
        let (mut proxies, mut environments) = (Vec::new(), Vec::new());
        for _ in &file.commands {
            let proxy = start_proxy(&server, Some(events.clone())).await?;
            environments.push(DatabaseEnvironment::new(&server, database.name(), proxy.address()));
            proxies.push(proxy);
        }
        let rules = StepRules::cautious(database.own_names().await?);
        let code = SchemaCode::read(database.admin()?, OWN_SCHEMAS).await?;
        let SessionDefaults { isolation: default_level, timeouts } = database.session_defaults().await?;
        let set = |name: String| format!("{name} is set for all connections of this role");
        let by_time = timeouts.into_iter().map(set).collect();
        Ok(Self {
            explorer,
            file,
            database,
            guard,
            proxies: Arc::new(proxies),
            environments,
            rules,
            default_level,
            owner: Some(owner),
            attendant: None,
            rows_only: true,
            serial_ends: SerialEnds::default(),
            unordered: BTreeSet::new(),
            alone: Vec::new(),
            failing: BTreeSet::new(),
            silent: BTreeSet::new(),
            code,
            calls_nextval: false,
            own_commits: BTreeSet::new(),
            several_statements: BTreeSet::new(),
            running_code: BTreeSet::new(),
            surprises: BTreeSet::new(),
            by_time,
        })
    }

    /// Runs the serial orders and the interleavings. Returns whether interleavings were run at all.
    async fn explore(
        &mut self,
        counter: &mut ExplorationCounter,
        plan: SearchPlan,
        go_on: ProgressCallback<'_>,
    ) -> Result<bool, ExploreError> {
        match self.run_serial_orders().await? {
            Ok(()) => counter.explore(self, plan, go_on).await.map(|()| true),
            Err(why) => {
                counter.add_undecided(why);
                Ok(false)
            }
        }
    }

    /// Ends what still runs, and drops the database.
    ///
    /// # Errors
    /// [`ExploreError`].
    pub async fn close(mut self) -> Result<(), ExploreError> {
        self.finish(true).await?;
        self.database.close().await
    }

    fn actors(&self) -> Vec<Actor> {
        (0..self.clients()).map(Actor::Client).collect()
    }

    /// Starts these commands, and their attendant.
    fn start(&mut self, actors: &[Actor], gate: Option<GateEvents>) -> Result<(), ExploreError> {
        let Some(owner) = self.owner.take() else {
            return Err(ExploreError::Script("the attendant of the interleaving before has not ended".to_owned()));
        };
        let mut running = Vec::new();
        for actor in actors {
            let Actor::Client(number) = *actor else { continue };
            let (command, environment) =
                (&self.file.commands[usize::from(number)], &self.environments[usize::from(number)]);
            match RunningCommand::start(&self.guard, &command.run, &self.file.folder, environment, &command.env) {
                Ok(started) => running.push((*actor, started)),
                Err(error) => {
                    self.owner = Some(owner);
                    return Err(ExploreError::Script(format!("command {actor}: cannot be started: {error}")));
                }
            }
        }
        let stop = CancellationToken::new();
        let attendance = Attendance {
            owner,
            proxies: Arc::clone(&self.proxies),
            rules: self.rules.clone(),
            default_level: self.default_level.clone(),
            backends: self.explorer.backends_of_applications(),
            gate,
            stop: stop.clone(),
        };
        self.attendant = Some((tokio::spawn(attend(attendance, running)), stop));
        Ok(())
    }

    /// Waits until the commands have ended, or kills them.
    async fn finish(&mut self, kill: bool) -> Result<Option<Attended>, ExploreError> {
        let Some((attendant, stop)) = self.attendant.take() else { return Ok(None) };
        if kill {
            stop.cancel();
            // A session that waits for a lock does not notice that its connection was cut.
            self.database.end_sessions(Duration::ZERO).await?;
        }
        let mut attended = match attendant.await.map_err(JoinError::try_into_panic) {
            Ok(attended) => attended,
            Err(Ok(panic)) => return Err(ExploreError::panicked("attending the commands", &*panic)),
            Err(Err(_cancelled)) => return Err(ExploreError::NeverEnds),
        };
        let (owner, _) = Owner::channel();
        self.owner = Some(std::mem::replace(&mut attended.owner, owner));
        for (actor, end) in &attended.ends {
            self.observe(*actor, end);
        }
        // What a killed command has done is not known.
        self.rows_only &= !kill;
        Ok(Some(attended))
    }

    /// Checks that what a command sent fits the rules of the steps.
    fn observe(&mut self, actor: Actor, end: &CommandEnd) {
        if end.record.canceled {
            self.by_time.insert(format!("{actor} asks PostgreSQL to cancel a statement, as after a timeout"));
        }
        self.by_time.extend(end.record.by_time.iter().map(|what| format!("{actor} {what}")));
        let named = |texts: &BTreeSet<String>| texts.iter().map(|text| format!("{actor}: {text}")).collect::<Vec<_>>();
        self.own_commits.extend(named(&end.record.own_commits));
        self.several_statements.extend(named(&end.record.several_statements));
        self.running_code.extend(
            end.record
                .texts()
                .filter(|text| self.code.is_run_by(text))
                .map(|text| format!("{actor}: {}", shortened(text))),
        );
        if end.record.has_unknown_text {
            self.rows_only = false;
            let surprise = "sends a statement whose whole text is not known, which it did not do when the commands ran one after the other";
            if !self.rules.lookup_is_a_step {
                self.surprises.insert(format!("{actor} {surprise}"));
            }
        }
        for text in end.record.texts() {
            self.calls_nextval |= calls_nextval(text);
            let of_time =
                statements(text).iter().find_map(|words| Some(format!("{actor}: {} {}", words[0], of_words(words)?)));
            self.by_time.extend(of_time);
            if !changes_only_rows(text) {
                self.rows_only = false;
                if !self.rules.lookup_is_a_step {
                    let what = "changes more than rows, which it did not do when the commands ran one after the other; \
                                look-ups in the system catalogs were no steps";
                    self.surprises.insert(format!("{actor} {what}"));
                }
            }
            if !self.rules.begin_is_a_step && may_read_the_clock(text) {
                let what = "reads the clock, which it did not do when the commands ran one after the other; \
                            BEGIN was no step";
                self.surprises.insert(format!("{actor} {what}"));
            }
        }
    }

    async fn reset(&mut self) -> Result<(), ExploreError> {
        let rows_only = std::mem::replace(&mut self.rows_only, true);
        self.database.reset(rows_only).await
    }

    fn limits(&self) -> Vec<String> {
        let outside =
            "what the commands share outside this database (files, other services, the clock) is not explored";
        let unordered = limits::unordered(&self.unordered);
        let not_compared = limits::not_compared(&self.serial_ends.not_compared);
        let by_time = self.by_time.iter().map(|what| format!("it depends on time: {what}"));
        let failing = limits::of_names(&self.failing, |names| {
            format!(
                "these commands fail already when they run alone, so what they do if they succeed is not explored: {names}"
            )
        });
        let silent = limits::of_names(&self.silent, |names| {
            format!("these commands send no statement when they run alone, so nothing of them is interleaved: {names}")
        });
        let own_commits = limits::of_names(&self.own_commits, |names| {
            format!(
                "each of these statements is outside a transaction and one step with its commit, so what other commands do between the two \
                 was not explored: {names}"
            )
        });
        let several = limits::of_names(&self.several_statements, |names| {
            format!(
                "each of these texts has several statements and is one step, so that no other command comes between them: {names}"
            )
        });
        let running_code = limits::runs_code(&self.running_code.iter().cloned().collect::<Vec<_>>());
        [Some(outside.to_owned()), failing, silent, own_commits, several, running_code, unordered, not_compared]
            .into_iter()
            .flatten()
            .chain(by_time)
            .collect()
    }
}

#[async_trait]
impl Execution for CommandExecution<'_> {
    async fn begin(&mut self) -> Result<(InterleavingRunner<'_>, Result<(), Unsettled>), ExploreError> {
        self.finish(true).await?;
        self.reset().await?;
        let (events, received) = mpsc::unbounded_channel();
        self.start(&self.actors(), Some(events))?;
        let clients = self.clients();
        self.explorer.gather(received, clients).await
    }

    async fn judge(&mut self, seen: Observations) -> Result<JudgedInterleaving, ExploreError> {
        let waits_for_ever = seen.heard.len() < self.file.commands.len();
        let ends = self.finish(waits_for_ever).await?.map(|attended| attended.ends).unwrap_or_default();
        limits::add_unordered(&mut self.unordered, &seen.entries);
        let rows = self.database.rows(self.file.outcome.as_deref()).await?;
        let read: Variables = ends.iter().flat_map(|(actor, end)| end.values(&actor.to_string())).collect();
        let broken = broken_invariants(self.database.admin()?, &self.file.invariants, &read).await?;
        let mut judgement = EndJudgement::of_invariants(broken);
        if waits_for_ever {
            judgement.add_endless_wait("a command waits for one that has ended and still holds its locks");
        }
        let after = rows.shown.iter().map(|row| row.join(", ")).collect();
        if !waits_for_ever && let Err(why) = self.explain(&alone::end(&ends, rows.compared)).await? {
            judgement.add_not_serializable(why);
        }
        let titles = self.file.commands.iter().map(CommandScript::title);
        Ok(judgement.of_interleaving(seen, titles, after))
    }

    fn clients(&self) -> u8 {
        u8::try_from(self.file.commands.len()).unwrap_or(u8::MAX)
    }

    fn identical(&self, one: u8, other: u8) -> bool {
        // An invariant that names a command tells it apart.
        let named = |invariant: &Invariant| invariant.query.placeholders().next().is_some();
        let command = |number: u8| self.file.commands.get(usize::from(number));
        !self.file.invariants.iter().any(named) && command(one).is_some() && command(one) == command(other)
    }
}

async fn prepare(
    database: &mut AppDatabase,
    file: &CommandFile,
    server: &PgConnectOptions,
    guard: &CommandGuard,
) -> Result<(), ExploreError> {
    if let Some(setup) = &file.setup {
        database.execute_field("app.setup", setup).await?;
    }
    if let Some(program) = &file.prepare {
        // It only forwards; so a program of any kind finds PostgreSQL at an address.
        let proxy = start_proxy(server, None).await?;
        let environment = DatabaseEnvironment::new(server, database.name(), proxy.address());
        let started = RunningCommand::start(guard, program, &file.folder, &environment, []);
        let started =
            started.map_err(|error| ExploreError::Script(format!("app.prepare: cannot be started: {error}")))?;
        let exited = started.ended().await;
        proxy.stop().await;
        if exited.code != 0 {
            return Err(ExploreError::Script(format!(
                "app.prepare: {program:?} ended with exit code {}; {}",
                exited.code,
                exited.output.shown()
            )));
        }
    }
    database.keep().await
}

async fn start_proxy(server: &PgConnectOptions, events: Option<EventSender>) -> Result<Proxy, ExploreError> {
    let address = match server.get_socket() {
        Some(folder) => ServerAddress::socket_dir(folder.clone(), server.get_port()),
        None if server.get_host().starts_with('/') => ServerAddress::socket_dir(server.get_host(), server.get_port()),
        None => ServerAddress::tcp(server.get_host(), server.get_port()),
    };
    let held_units = if events.is_some() { HeldUnits::All } else { HeldUnits::None };
    let options = ProxyOptions { held_units, events, ..ProxyOptions::new(address) };
    let started = Proxy::start(options).await;
    started.map_err(|error| ExploreError::Script(format!("a proxy for a command cannot be started: {error}")))
}
