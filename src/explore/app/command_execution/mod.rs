//! The execution of a file of commands: each command is a program behind a proxy of its own, on a database that is put back before each
//! interleaving.

mod alone;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use postgres_proxy::{EventSender, HeldUnits, Owner, Proxy, ProxyOptions, ServerAddress};
use sqlx::postgres::PgConnectOptions;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use super::app_database::AppDatabase;
use super::attendant::{Attendance, Attended, attend};
use super::command_file::CommandFile;
use super::command_record::CommandEnd;
use super::environment::DatabaseEnvironment;
use super::running_command::{CommandGuard, RunningCommand};
use super::step_rules::{StepRules, reads_the_clock};
use crate::explore::error::ExploreError;
use crate::explore::exploration::{ExplorationCounter, ProgressCallback};
use crate::explore::explorer_database::ExplorerDatabase;
use crate::explore::file::clock::of_words;
use crate::explore::file::execution::snapshot::changes_only_rows;
use crate::explore::file::expect::ExpectedVerdict;
use crate::explore::file::invariants::broken_invariants;
use crate::explore::file::limits;
use crate::explore::file::script::{Invariant, NOT_SERIALIZABLE, SerialCheck};
use crate::explore::file::serial::{End, UncomparedColumns};
use crate::explore::file::template::Variables;
use crate::explore::findings::{Exploration, ExplorationVerdict, Subject};
use crate::explore::named_ids::without_ids;
use crate::explore::run::gate::GateEvents;
use crate::explore::run::interleaving_runner::InterleavingRunner;
use crate::explore::run::observations::{Observations, Unsettled};
use crate::explore::schedule::Actor;
use crate::explore::search::{Execution, JudgedInterleaving, SearchPlan};
use crate::explore::sql_words::statements;
use crate::explore::transcript::{Participant, Transcript};
use referee::history::ClaimedSafety;

/// The name of an end at which a command waits for one that has ended and still holds its locks.
const WAITS_FOR_EVER: &str = "waits for ever";

/// What a report says of a file of commands.
#[must_use]
pub fn subject(file: &CommandFile, path: &str) -> Subject {
    Subject {
        scenario: file.title.clone(),
        approach: String::new(),
        file: Some(path.to_owned()),
        clients: u32::try_from(file.commands.len()).unwrap_or(u32::MAX),
        servers: None,
        isolation: None,
        without: None,
        crash: None,
        claim: match file.expect.verdict {
            ExpectedVerdict::Holds => ClaimedSafety::Safe,
            ExpectedVerdict::Broken => ClaimedSafety::Broken,
            ExpectedVerdict::Any => ClaimedSafety::Unsupported,
        },
    }
}

/// Explores a file of commands, and compares the result with its expectations.
///
/// # Errors
/// [`ExploreError`]; [`ExploreError::Script`] if its database cannot be prepared, or a command cannot be started.
pub async fn explore(
    database: &mut ExplorerDatabase,
    file: &CommandFile,
    subject: Subject,
    mut plan: SearchPlan,
    go_on: ProgressCallback<'_>,
) -> Result<Exploration, ExploreError> {
    let (partial, wants_reduce) = (plan.limit.is_some() || plan.after.is_some(), plan.reduce);
    plan.reduce = false;
    let mut execution = CommandExecution::open(database, file).await?;
    let mut counter = ExplorationCounter::new();
    let explored = execution.explore(&mut counter, plan, go_on).await;
    let (alone, mut limits, surprises) = (execution.alone.clone(), execution.limits(), execution.surprises.clone());
    let depends_on_time = !execution.by_time.is_empty();
    let closed = execution.close().await;
    let begun = explored?;
    closed?;
    if wants_reduce {
        let why = "what statements of a program do beyond their words is not known";
        limits.push(format!("--reduce left nothing out: {why}"));
    }
    for surprise in surprises {
        counter.add_undecided(surprise);
    }
    let is_judged = file.serial != SerialCheck::Off || !file.invariants.is_empty();
    let mut exploration = counter.finish(subject);
    (exploration.limits, exploration.alone) = (limits, alone);
    exploration.complete &= begun;
    exploration.verdict = match exploration.verdict {
        ExplorationVerdict::Proved | ExplorationVerdict::HeldSoFar if depends_on_time => {
            ExplorationVerdict::DependsOnTime
        }
        ExplorationVerdict::Proved | ExplorationVerdict::HeldSoFar if !is_judged => ExplorationVerdict::NotJudged,
        verdict => verdict,
    };
    // Expectations are about all interleavings, so they are not checked for a part.
    let is_decided = !matches!(exploration.verdict, ExplorationVerdict::DependsOnTime | ExplorationVerdict::Undecided);
    if !partial && exploration.complete && is_decided {
        exploration.missed = file.expect.misses(&exploration, &BTreeSet::new());
    }
    Ok(exploration)
}

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
    /// The ends of the serial orders of these commands.
    serial_ends: BTreeMap<Vec<Actor>, Vec<End>>,
    uncompared: UncomparedColumns,
    not_compared: BTreeSet<String>,
    unordered: BTreeSet<String>,
    /// What each command does alone.
    alone: Vec<String>,
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
        let default_level = database.default_isolation().await?;
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
            serial_ends: BTreeMap::new(),
            uncompared: UncomparedColumns::default(),
            not_compared: BTreeSet::new(),
            unordered: BTreeSet::new(),
            alone: Vec::new(),
            surprises: BTreeSet::new(),
            by_time: BTreeSet::new(),
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
        for text in end.record.texts() {
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
            if !self.rules.begin_is_a_step && statements(text).iter().any(|words| reads_the_clock(words)) {
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
        let not_compared = limits::not_compared(&self.not_compared);
        let by_time = self.by_time.iter().map(|what| format!("it depends on time: {what}"));
        [Some(outside.to_owned()), unordered, not_compared].into_iter().flatten().chain(by_time).collect()
    }

    fn title(&self, actor: Actor) -> String {
        let Actor::Client(number) = actor else { return String::new() };
        self.file.commands[usize::from(number)].run.split_whitespace().collect::<Vec<_>>().join(" ")
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
        let found: Vec<String> = broken.iter().map(ToString::to_string).collect();
        let mut explanation = match found[..] {
            [] => String::new(),
            _ => format!("in the end, an invariant does not hold: {}", found.join(", ")),
        };
        let mut anomalies: Vec<String> = broken.into_iter().map(|broken| broken.name).collect();
        if waits_for_ever {
            anomalies.insert(0, WAITS_FOR_EVER.to_owned());
            "a command waits for one that has ended and still holds its locks".clone_into(&mut explanation);
        }
        let after = rows.iter().map(|row| row.join(", ")).collect();
        if !waits_for_ever && let Err(why) = self.explain(&alone::end(&ends, rows)).await? {
            anomalies.push(NOT_SERIALIZABLE.to_owned());
            if explanation.is_empty() {
                explanation = why;
            }
        }
        let part = |actor: Actor| {
            let heard = seen.heard.get(&actor).map_or(WAITS_FOR_EVER, String::as_str).to_owned();
            Participant { actor, title: self.title(actor), heard: Some(heard) }
        };
        let parts: Vec<Participant> = self.actors().into_iter().map(part).collect();
        let mut transcript =
            Transcript { schedule: seen.schedule, parts, before: Vec::new(), entries: seen.entries, after };
        without_ids(&mut transcript);
        let outcome = transcript.outcome();
        Ok(JudgedInterleaving { transcript, outcome, anomalies, explanation, crash_missed: false, crash_after: None })
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
