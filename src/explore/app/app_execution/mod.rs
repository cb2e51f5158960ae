//! The execution of a file of an application, on a database that is put back before each interleaving. Each command is a program behind a proxy
//! of its own; the requests go to a server that goes on running.

mod alone;
mod chance;
mod file_exploration;
mod observed;
mod preparing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use postgres_proxy::{Owner, Proxy};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use super::actor_record::ActorEnd;
use super::app_database::AppDatabase;
use super::app_file::{ActorScript, AppFile};
use super::attendant::{Attendance, Attended, attend};
use super::environment::DatabaseEnvironment;
use super::request_script::RequestScript;
use super::running_command::{CommandGuard, RunningCommand};
use super::service::AppService;
use super::service_attendant::RequestsAttended;
use super::step_rules::StepRules;
use super::step_text::normalized_sql;
use crate::explore::error::ExploreError;
use crate::explore::explorer_database::ExplorerDatabase;
use crate::explore::file::end_judgement::EndJudgement;
use crate::explore::file::invariants::broken_invariants;
use crate::explore::file::limits;
use crate::explore::file::schema_code::SchemaCode;
use crate::explore::file::script::Invariant;
use crate::explore::file::serial_ends::SerialEnds;
use crate::explore::file::template::{Literal, Variables};
use crate::explore::run::gate::GateEvents;
use crate::explore::run::interleaving_runner::InterleavingRunner;
use crate::explore::run::observations::{Observations, Unsettled};
use crate::explore::schedule::Actor;
use crate::explore::search::{Execution, JudgedInterleaving};
use alone::{FirstRun, SentTexts};
use chance::{hide_chance, without_chance};
pub use file_exploration::{explore, subject};
use observed::AppObserved;

/// Runs a file of an application on the explorer's server.
pub struct AppExecution<'d> {
    explorer: &'d mut ExplorerDatabase,
    file: &'d AppFile,
    database: AppDatabase,
    guard: CommandGuard,
    /// The server, if there are requests.
    service: Option<AppService>,
    /// One for each command.
    proxies: Arc<BTreeMap<Actor, Proxy>>,
    environments: BTreeMap<Actor, DatabaseEnvironment>,
    rules: StepRules,
    default_level: String,
    /// For the attendant of the next interleaving.
    owner: Option<Owner>,
    under_way: Option<RunUnderWay>,
    /// Since the last reset, nothing but rows was changed.
    rows_only: bool,
    serial_ends: SerialEnds,
    unordered: BTreeSet<String>,
    /// The requests, with what those before them gave.
    prepared: BTreeMap<Actor, RequestScript>,
    /// No request leaves a transaction open, so each can be sent alone after a start.
    can_warm_up: bool,
    /// What each request was answered when it was first sent.
    first_answers: BTreeMap<Actor, Vec<String>>,
    /// It is known which statements come without a request.
    was_watched: bool,
    /// What the requests sent to an application that had just been started.
    first_uses: SentTexts,
    /// What each request does that is sent first.
    first_runs: BTreeMap<Actor, FirstRun>,
    /// What each actor does alone.
    alone: Vec<String>,
    /// The code in the database that sends statements of its own.
    code: SchemaCode,
    observed: AppObserved,
}

/// Actors that run.
struct RunUnderWay {
    commands: Option<JoinHandle<Attended>>,
    requests: Option<oneshot::Receiver<RequestsAttended>>,
    stop: CancellationToken,
    is_interleaving: bool,
}

/// How actors that ran have ended.
#[derive(Debug, Default)]
struct AppRunEnd {
    /// Those that were not ended by force.
    ends: BTreeMap<Actor, ActorEnd>,
    /// Why one could not be run to its end.
    unfit: Option<(Actor, String)>,
    /// Requests that have left a transaction open.
    left_open: BTreeSet<Actor>,
    /// Requests that waited inside the application to the end.
    waits_inside: BTreeSet<Actor>,
}

impl AppExecution<'_> {
    /// Ends what still runs, and drops the database.
    ///
    /// # Errors
    /// [`ExploreError`].
    pub async fn close(mut self) -> Result<(), ExploreError> {
        let finished = self.finish(true).await;
        if let Some(service) = self.service.take() {
            service.close().await;
        }
        let closed = self.database.close().await;
        finished.and(closed)
    }

    /// What each actor does alone, and what people need to know of the application, a line each. Empty before the serial orders were run.
    #[must_use]
    pub fn known_of_each(&self) -> Vec<String> {
        [self.alone.clone(), self.observed.notes()].concat()
    }

    fn actors(&self) -> Vec<Actor> {
        (0..self.clients()).map(Actor::Client).collect()
    }

    fn script(&self, actor: Actor) -> Option<(usize, &ActorScript)> {
        let Actor::Client(number) = actor else { return None };
        let number = usize::from(number);
        Some((number, self.file.actors.get(number)?))
    }

    /// Starts these commands and sends these requests, with their attendants.
    fn start(&mut self, actors: &[Actor], gate: Option<GateEvents>) -> Result<(), ExploreError> {
        let (mut running, mut requests) = (Vec::new(), Vec::new());
        for actor in actors {
            let Some((number, script)) = self.script(*actor) else { continue };
            match script {
                ActorScript::Request(request) => {
                    requests.push((*actor, number, self.prepared.get(actor).unwrap_or(request).clone()));
                }
                ActorScript::Command(command) => {
                    let environment = &self.environments[actor];
                    let started =
                        RunningCommand::start(&self.guard, &command.run, &self.file.folder, environment, &command.env);
                    let started = started.map_err(|error| {
                        ExploreError::Script(format!("command {actor}: cannot be started: {error}"))
                    })?;
                    running.push((*actor, started));
                }
            }
        }
        let stop = CancellationToken::new();
        let mut under_way =
            RunUnderWay { commands: None, requests: None, stop: stop.clone(), is_interleaving: gate.is_some() };
        if let Some(service) = self.service.as_ref().filter(|_| !requests.is_empty()) {
            let beside_commands = !running.is_empty();
            let attended =
                service.begin(requests, gate.as_ref(), self.rules.clone(), (beside_commands, stop.clone()))?;
            under_way.requests = Some(attended);
        }
        if !running.is_empty() {
            let Some(owner) = self.owner.take() else {
                return Err(ExploreError::Script("the attendant of the interleaving before has not ended".to_owned()));
            };
            let attendance = Attendance {
                owner,
                proxies: Arc::clone(&self.proxies),
                rules: self.rules.clone(),
                default_level: self.default_level.clone(),
                backends: self.explorer.backends_of_applications(),
                gate,
                stop,
            };
            under_way.commands = Some(tokio::spawn(attend(attendance, running)));
        }
        self.under_way = Some(under_way);
        Ok(())
    }

    /// Waits until all actors have ended. `kill` ends them: programs are killed, and requests let go.
    async fn finish(&mut self, kill: bool) -> Result<AppRunEnd, ExploreError> {
        let Some(RunUnderWay { commands, requests, stop, is_interleaving }) = self.under_way.take() else {
            return Ok(AppRunEnd::default());
        };
        if kill {
            stop.cancel();
            if commands.is_some() {
                // A session that waits for a lock does not notice that its connection was cut.
                self.database.end_sessions(Duration::ZERO).await?;
            }
        }
        let (mut end, had_commands) = (AppRunEnd::default(), commands.is_some());
        if let Some(commands) = commands {
            let mut attended = match commands.await.map_err(JoinError::try_into_panic) {
                Ok(attended) => attended,
                Err(Ok(panic)) => return Err(ExploreError::panicked("attending the commands", &*panic)),
                Err(Err(_cancelled)) => return Err(ExploreError::NeverEnds),
            };
            let (owner, _) = Owner::channel();
            self.owner = Some(std::mem::replace(&mut attended.owner, owner));
            end.ends.extend(attended.ends);
            end.unfit = attended.unfit;
        }
        if let (Some(requests), Some(service)) = (requests, &mut self.service) {
            let attended = requests.await.map_err(|_| ExploreError::NeverEnds)?;
            // The sessions of the application were ended, too.
            service.must_restart |= attended.is_stuck || kill && had_commands;
            self.observed.add_requests(&attended, is_interleaving);
            self.rows_only &= !attended.changed_more_than_rows && !attended.is_stuck;
            if attended.may_have_advisory_locks && self.database.holds_advisory_locks().await? {
                service.must_restart = true;
                self.observed.left_locks |= true;
            }
            end.ends.extend(attended.ends);
            end.unfit = end.unfit.or(attended.unfit);
            end.waits_inside = attended.waits_inside;
            end.left_open = attended.left_open;
        }
        for (actor, ended) in &end.ends {
            self.rows_only &= self.observed.add_end(*actor, ended, &self.code, &self.rules);
        }
        // What a killed command has done is not known.
        self.rows_only &= !(kill && had_commands);
        Ok(end)
    }

    /// Puts the database back, and starts the application anew where that is needed.
    async fn reset(&mut self) -> Result<(), ExploreError> {
        let rows_only = std::mem::replace(&mut self.rows_only, true);
        let Some(service) = &mut self.service else { return self.database.reset(rows_only).await };
        if rows_only && service.can_go_on() && self.database.put_rows_back().await? {
            return self.send_requests_before().await;
        }
        let had_ended = service.has_ended();
        let printed = service.stop().await;
        if had_ended {
            self.observed.surprises.insert(format!("the application has ended by itself; {printed}"));
        }
        self.database.reset(rows_only).await?;
        service.start().await?;
        if !std::mem::replace(&mut self.was_watched, true) {
            self.observed.background = service.watch_idle().await?;
        }
        let is_kept = service.is_kept() && self.database.can_put_rows_back() && self.can_warm_up;
        if is_kept {
            self.warm_up_service().await?;
        }
        self.send_requests_before().await
    }

    /// Sends the requests before those that are explored, such as a login.
    async fn send_requests_before(&mut self) -> Result<(), ExploreError> {
        let Some(service) = &self.service else { return Ok(()) };
        let mut prepared = BTreeMap::new();
        for actor in self.actors() {
            if let Some((number, ActorScript::Request(request))) = self.script(actor)
                && !request.before.is_empty()
            {
                prepared.insert(actor, service.prepare(actor, number, request).await?);
            }
        }
        self.prepared = prepared;
        Ok(())
    }

    /// Sends each request alone to an application that was just started, which does not count: at its first use an application opens
    /// connections and looks into the catalogs.
    async fn warm_up_service(&mut self) -> Result<(), ExploreError> {
        for actor in self.actors() {
            if self.script(actor).is_none_or(|(_, script)| script.request().is_none()) {
                continue;
            }
            self.send_requests_before().await?;
            self.start(&[actor], None)?;
            let run = self.finish(false).await?;
            run.ends.values().for_each(|end| self.first_uses.add(&end.record));
            if let Some(end) = run.ends.get(&actor) {
                let answer = FirstRun::of(actor, end).answer;
                self.first_answers.entry(actor).or_insert(answer);
            }
            if let Some((actor, why)) = run.unfit {
                return Err(ExploreError::Script(format!("{actor}, sent alone: {why}")));
            }
            let Some(service) = &mut self.service else { return Ok(()) };
            if service.must_restart || !self.database.put_rows_back().await? {
                // It has left a transaction open.
                self.can_warm_up = false;
                service.stop().await;
                self.database.reset(false).await?;
                return service.start().await;
            }
        }
        Ok(())
    }

    fn limits(&self) -> Vec<String> {
        let actors = self.file.actors_in_words();
        let requests = self.file.actors.iter().filter(|actor| actor.request().is_some()).count();
        let outside = format!(
            "what the {actors} share outside this database (memory, files, other services, the clock) is not explored"
        );
        let unordered = limits::unordered(&self.unordered);
        let not_compared = limits::not_compared(&self.serial_ends.not_compared);
        let observed = self.observed.limits(actors, requests);
        [Some(outside)].into_iter().flatten().chain(observed).chain(unordered).chain(not_compared).collect()
    }

    /// The values that invariants use; null for what a body lacks.
    fn values(&self, ends: &BTreeMap<Actor, ActorEnd>) -> Variables {
        let mut values: Variables = ends.iter().flat_map(|(actor, end)| end.values(&actor.to_string())).collect();
        let named = self.file.invariants.iter().flat_map(|invariant| invariant.query.placeholders());
        for missing in named.filter(|name| name.contains("./")) {
            values.entry(missing.to_owned()).or_insert_with(Literal::null);
        }
        values
    }
}

#[async_trait]
impl Execution for AppExecution<'_> {
    async fn begin(&mut self) -> Result<(InterleavingRunner<'_>, Result<(), Unsettled>), ExploreError> {
        self.finish(true).await?;
        self.reset().await?;
        let (events, received) = mpsc::unbounded_channel();
        self.start(&self.actors(), Some(events))?;
        let clients = self.clients();
        self.explorer.gather(received, clients).await
    }

    async fn judge(&mut self, mut seen: Observations) -> Result<JudgedInterleaving, ExploreError> {
        let waits_for_ever = seen.heard.len() < self.file.actors.len();
        let AppRunEnd { ends, waits_inside, .. } = self.finish(waits_for_ever).await?;
        limits::add_unordered(&mut self.unordered, &seen.entries);
        let rows = self.database.rows(self.file.outcome.as_deref(), self.rows_only).await?;
        let mut judgement = EndJudgement::default();
        if waits_for_ever {
            judgement.add_endless_wait(&endless_wait(self.file.actors_in_words(), &waits_inside));
        } else {
            let read = self.values(&ends);
            judgement = EndJudgement::of_invariants(
                broken_invariants(self.database.admin()?, &self.file.invariants, &read).await?,
            );
            if let Err(why) = self.explain(&ends, rows.compared).await? {
                judgement.add_not_serializable(&why);
            }
        }
        let not_compared = &self.serial_ends.not_compared;
        let row = |row: &Vec<String>| {
            row.iter().map(|column| without_chance(column, not_compared)).collect::<Vec<_>>().join(", ")
        };
        let after = rows.shown.iter().map(row).collect();
        hide_chance(&mut seen, &ends, not_compared);
        let titles = self.file.actors.iter().map(ActorScript::title);
        Ok(judgement.of_interleaving(seen, titles, after))
    }

    fn step_key(&self) -> fn(&str, &str) -> String {
        |_name, sql| normalized_sql(sql)
    }

    fn clients(&self) -> u8 {
        u8::try_from(self.file.actors.len()).unwrap_or(u8::MAX)
    }

    fn identical(&self, one: u8, other: u8) -> bool {
        // An invariant that names an actor tells it apart.
        let named = |invariant: &Invariant| invariant.query.placeholders().next().is_some();
        // Which instance answers tells requests apart, too.
        if self.file.service.as_ref().is_some_and(|service| service.instances > 1) {
            return false;
        }
        let script = |number: u8| self.file.actors.get(usize::from(number));
        !self.file.invariants.iter().any(named) && script(one).is_some() && script(one) == script(other)
    }
}

/// Why an interleaving does not end.
fn endless_wait(actors: &str, waits_inside: &BTreeSet<Actor>) -> String {
    if waits_inside.is_empty() {
        return format!("one of the {actors} waits for one that has ended and still holds its locks");
    }
    let names: Vec<String> = waits_inside.iter().map(ToString::to_string).collect();
    let (names, verb) = (names.join(" and "), if names.len() == 1 { "waits" } else { "wait" });
    format!(
        "{names} {verb} inside the application, such as for a connection of its pool, and no other request can go on: \
         a deadlock that PostgreSQL does not see (inferred: nothing was heard for 5 s)"
    )
}
