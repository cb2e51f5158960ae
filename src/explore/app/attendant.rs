//! The attendant of one interleaving: it receives the events of the proxies, and makes a [`GateEvent`] of each that matters.
//!
//! Each command has an address of its own, so every statement on any connection of that address is the command's. A command has one step
//! at a time: a unit that arrives on another of its connections meanwhile waits its turn.
//!
//! **Answers are not withheld.** A commit of one command can let another one's statement return, so that both programs run at the same
//! time. Their statements are held, and the runner lets the next one go only when both stand at one, so the order of the statements is
//! that of the schedule in every replay. What two programs share outside PostgreSQL, such as a file, is not ordered.
//!
//! Without a gate the attendant lets every unit go at once. So a command runs alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use postgres_proxy::{
    ClientUnit, ClosedBy, ConnectionId, Owner, Proxy, ProxyEvent, ProxyEventKind, UnitAnswer, UnitPermit,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::actor_record::{ActorEnd, ActorOutcome};
use super::app_connection::AppConnection;
use super::attended_command::{AttendedCommand, HeldStep, StepUnderWay, next_go};
use super::running_command::{ExitedCommand, RunningCommand, kill_group};
use super::step_rules::StepRules;
use super::step_text::{StepText, lost, outcome};
use crate::explore::run::gate::{GateEvent, GateEvents};
use crate::explore::run::monitor::ActorBackends;
use crate::explore::schedule::Actor;
use crate::explore::transcript::StepOutcome;

/// How long a program may do something else than send a statement or end. It is below the runner's own limit, so that the reason names
/// the program.
const SILENCE_MAX: Duration = Duration::from_secs(8);

/// How long a statement of a command that runs alone may take.
const ALONE_MAX: Duration = Duration::from_secs(30);

/// The pause between two looks at the clock.
const CLOCK_STEP: Duration = Duration::from_millis(100);

/// How long the connections of killed programs may take to end.
const CUT_MAX: Duration = Duration::from_secs(10);

/// What the attendant needs for one interleaving.
pub struct Attendance {
    /// The events of all proxies.
    pub owner: Owner,
    /// The proxy of each command.
    pub proxies: Arc<BTreeMap<Actor, Proxy>>,
    /// Which units are steps.
    pub rules: StepRules,
    /// The isolation level of transactions that name none.
    pub default_level: String,
    /// The server processes, for the monitor.
    pub backends: ActorBackends,
    /// Where steps are announced. Without it, every unit goes at once.
    pub gate: Option<GateEvents>,
    /// Ends the interleaving: programs are killed, and connections are cut.
    pub stop: CancellationToken,
}

/// What the attendant has seen.
#[derive(Debug)]
pub struct Attended {
    /// For the next interleaving.
    pub owner: Owner,
    /// How the commands ended; those that were killed are missing.
    pub ends: BTreeMap<Actor, ActorEnd>,
    /// Why a command could not be run to its end.
    pub unfit: Option<(Actor, String)>,
}

struct Attendant {
    attendance: Attendance,
    commands: Vec<AttendedCommand>,
    ends: BTreeMap<Actor, ActorEnd>,
    unfit: Option<(Actor, String)>,
}

/// Attends these commands until all have ended, or the interleaving is stopped. A command that runs alone ends it as well when it cannot be
/// run to its end. The runner is told of all commands before this function returns, because it expects them at once.
pub fn attend(attendance: Attendance, commands: Vec<(Actor, RunningCommand)>) -> impl Future<Output = Attended> + Send {
    let mut exits = JoinSet::new();
    let mut attended = Vec::new();
    for (actor, running) in commands {
        let (Actor::Client(number), Some(proxy)) = (actor, attendance.proxies.get(&actor)) else { continue };
        let address = proxy.address();
        let go = attendance.gate.as_ref().map(|events| {
            let (go, received) = mpsc::channel(1);
            let _ = events.send((actor, GateEvent::Started { go, server: number, session: Uuid::new_v4() }));
            received
        });
        attended.push(AttendedCommand::new(actor, address, running.group(), go));
        exits.spawn(async move { (actor, running.ended().await) });
    }
    let mut attendant = Attendant { attendance, commands: attended, ends: BTreeMap::new(), unfit: None };
    async move {
        attendant.run(&mut exits).await;
        attendant.clear(&mut exits).await;
        Attended { owner: attendant.attendance.owner, ends: attendant.ends, unfit: attendant.unfit }
    }
}

impl Attendant {
    async fn run(&mut self, exits: &mut JoinSet<(Actor, ExitedCommand)>) {
        let stop = self.attendance.stop.clone();
        let mut clock = tokio::time::interval(CLOCK_STEP);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.commands.iter().any(|command| !command.has_ended) && (self.is_gated() || self.unfit.is_none()) {
            tokio::select! {
                // Events first: what a program does because of an answer comes after the answer.
                biased;
                () = stop.cancelled() => return,
                event = self.attendance.owner.next() => match event {
                    Some(event) => self.apply(event),
                    None => return,
                },
                index = next_go(&mut self.commands) => self.let_go(index),
                Some(Ok((actor, exited))) = exits.join_next() => {
                    if let Some(command) = self.commands.iter_mut().find(|command| command.actor == actor) {
                        command.exited = Some(exited);
                    }
                }
                _ = clock.tick() => self.look_at_the_clock(),
            }
            self.end_commands();
        }
    }

    fn is_gated(&self) -> bool {
        self.attendance.gate.is_some()
    }

    fn send(&self, actor: Actor, event: GateEvent) {
        if let Some(gate) = &self.attendance.gate {
            // When the runner is dropped, the event is, too.
            let _ = gate.send((actor, event));
        }
    }

    fn apply(&mut self, event: ProxyEvent) {
        let ProxyEvent { proxy, connection: id, kind, .. } = event;
        let Some(index) = self.commands.iter().position(|command| command.address == proxy) else {
            // A late connection of a command of an interleaving before. Its permits are dropped, and it goes.
            return;
        };
        let default_level = self.attendance.default_level.clone();
        let command = &mut self.commands[index];
        let actor = command.actor;
        match kind {
            ProxyEventKind::Accepted => {
                command.since = Instant::now();
                command.connections.insert(id, AppConnection::new(&default_level));
            }
            ProxyEventKind::Opened(startup) => {
                let parameters = startup.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                command.record.opened(id, parameters);
                if let Some(connection) = command.connections.get_mut(&id) {
                    for (name, value) in &startup.parameters {
                        connection.start_with(name, value);
                    }
                }
            }
            ProxyEventKind::Ready { backend_pid } => {
                command.since = Instant::now();
                if let Some(connection) = command.connections.get_mut(&id) {
                    connection.ready(backend_pid);
                    self.attendance.backends.insert(backend_pid, actor);
                }
            }
            ProxyEventKind::UnitArrived { unit, permit } => self.arrived(index, id, unit, permit),
            ProxyEventKind::UnitAnswered { answer, .. } => self.answered(index, id, &answer),
            ProxyEventKind::LostTrack { reason } => {
                self.is_unfit(actor, format!("the proxy does not understand a message of the program: {reason}"));
            }
            ProxyEventKind::CancelRequested { .. } => command.record.canceled = true,
            ProxyEventKind::Closed(closed) => {
                if let Some(pid) = command.connections.remove(&id).and_then(|connection| connection.pid) {
                    self.attendance.backends.remove(pid);
                }
                command.units.retain(|(connection, _), _| *connection != id);
                command.since = Instant::now();
                let is_under_way = command.step.as_ref().is_some_and(|step| step.connection == id);
                if is_under_way {
                    self.step_returned(index, lost("the connection ended before the answer"));
                }
                if closed.by == ClosedBy::ClientWantsEncryption {
                    let why = "the program insists on an encrypted connection, which the proxy does not offer; \
                               use sslmode=disable or prefer";
                    self.is_unfit(actor, why.to_owned());
                }
            }
            ProxyEventKind::EncryptionRefused(_)
            | ProxyEventKind::UnitFinished { .. }
            | ProxyEventKind::UnitForwarded { .. }
            | ProxyEventKind::ServerFailed(_)
            | ProxyEventKind::Noticed(_)
            | ProxyEventKind::Notified { .. }
            | ProxyEventKind::SettingChanged { .. }
            | ProxyEventKind::ClientFinished => {}
        }
    }

    fn arrived(&mut self, index: usize, id: ConnectionId, unit: Arc<ClientUnit>, permit: Option<UnitPermit>) {
        let gated = self.is_gated();
        let command = &mut self.commands[index];
        let Some(connection) = command.connections.get_mut(&id) else { return };
        let is_step = self.attendance.rules.is_step(&unit, connection);
        command.record.sent(id, &unit, connection, is_step);
        command.units.insert((id, unit.number), Arc::clone(&unit));
        command.since = Instant::now();
        if !is_step || !gated {
            connection.forwarded(is_step);
            release(permit);
            return;
        }
        if let Some(step) = command.step.as_mut().filter(|step| step.is_prepared) {
            if step.connection == id {
                // The statement was prepared in the same step.
                connection.forwarded(true);
                (step.unit, step.is_prepared) = (unit.number, false);
                release(permit);
                return;
            }
            // What was prepared is not executed now.
            self.step_returned(index, StepOutcome::Done);
        }
        self.commands[index].waiting.push_back(HeldStep { connection: id, unit, permit });
        self.announce(index);
    }

    /// Announces a command's next step, if it has one and takes none.
    fn announce(&mut self, index: usize) {
        let command = &mut self.commands[index];
        if command.is_announced || command.step.is_some() {
            return;
        }
        let Some(held) = command.waiting.front() else { return };
        let StepText { name, sql, values } = StepText::of(&held.unit);
        command.is_announced = true;
        let actor = command.actor;
        if command.go.is_none() {
            // The runner has ended, so the gate is open.
            self.let_go(index);
        } else {
            self.send(actor, GateEvent::Ready { name, sql, values });
        }
    }

    fn let_go(&mut self, index: usize) {
        let command = &mut self.commands[index];
        command.is_announced = false;
        let Some(held) = command.waiting.pop_front() else { return };
        let is_void = held.permit.as_ref().is_some_and(UnitPermit::is_void);
        command.step = Some(StepUnderWay { connection: held.connection, unit: held.unit.number, is_prepared: false });
        command.since = Instant::now();
        match command.connections.get_mut(&held.connection).filter(|_| !is_void) {
            Some(connection) => {
                connection.forwarded(true);
                release(held.permit);
            }
            None => self.step_returned(index, lost("the connection had ended before the statement was sent")),
        }
    }

    fn answered(&mut self, index: usize, id: ConnectionId, answer: &UnitAnswer) {
        let command = &mut self.commands[index];
        command.since = Instant::now();
        let Some(unit) = command.units.remove(&(id, answer.unit)) else { return };
        if let Some(connection) = command.connections.get_mut(&id) {
            command.record.answered(&unit, answer, connection);
            connection.answered(&unit, answer);
        }
        let Some(step) = command.step.as_mut().filter(|step| step.connection == id && step.unit == unit.number) else {
            return;
        };
        if unit.is_housekeeping() && answer.error.is_none() && command.waiting.is_empty() {
            step.is_prepared = true;
            return;
        }
        self.step_returned(index, outcome(answer));
    }

    fn step_returned(&mut self, index: usize, outcome: StepOutcome) {
        let command = &mut self.commands[index];
        command.step = None;
        let actor = command.actor;
        self.send(actor, GateEvent::Returned(outcome));
        self.announce(index);
    }

    fn is_unfit(&mut self, actor: Actor, why: String) {
        if self.unfit.is_none() {
            self.unfit = Some((actor, why.clone()));
            self.send(actor, GateEvent::Stuck(why));
        }
    }

    fn look_at_the_clock(&mut self) {
        let gated = self.is_gated();
        let late = self.commands.iter().find_map(|command| {
            let at_work = !command.has_ended && !command.is_announced;
            let in_database = command.step.as_ref().is_some_and(|step| !step.is_prepared) || !command.units.is_empty();
            let elapsed = command.since.elapsed();
            match (in_database, gated) {
                (false, _) if at_work && elapsed > SILENCE_MAX => {
                    Some((command.actor, SILENCE_MAX, command.is_connected()))
                }
                (true, false) if at_work && elapsed > ALONE_MAX => Some((command.actor, ALONE_MAX, true)),
                // The runner asks PostgreSQL about it.
                _ => None,
            }
        });
        if let Some((actor, limit, connected)) = late {
            let connections = if connected { "it has a connection open" } else { "it has no connection" };
            let why = format!(
                "the program has neither sent a statement nor ended for {} s, and PostgreSQL does not keep it waiting \
                 ({connections}); it may wait for something outside PostgreSQL",
                limit.as_secs()
            );
            self.is_unfit(actor, why);
        }
    }

    /// Reports the commands whose process has ended, and whose statements and connections have, too.
    fn end_commands(&mut self) {
        for index in 0..self.commands.len() {
            let command = &mut self.commands[index];
            let at_rest = command.waiting.is_empty() && command.step.as_ref().is_none_or(|step| step.is_prepared);
            if command.has_ended || !at_rest || command.is_connected() {
                continue;
            }
            let Some(exited) = command.exited.take() else { continue };
            command.has_ended = true;
            let outcome = ActorOutcome::Exited(exited);
            let end = ActorEnd { outcome, record: std::mem::take(&mut command.record) };
            let (actor, heard) = (command.actor, end.heard());
            self.ends.insert(actor, end);
            self.send(actor, GateEvent::OperationEnded(heard));
            self.send(actor, GateEvent::SessionEnded);
        }
    }

    /// Kills what still runs, and waits until its connections have ended.
    async fn clear(&mut self, exits: &mut JoinSet<(Actor, ExitedCommand)>) {
        for command in self.commands.iter_mut().filter(|command| !command.has_ended) {
            if command.exited.is_none() {
                kill_group(command.group);
            }
            command.waiting.drain(..).filter_map(|held| held.permit).for_each(UnitPermit::cut);
        }
        let begun = Instant::now();
        while begun.elapsed() < CUT_MAX {
            let open = self
                .attendance
                .proxies
                .values()
                .flat_map(|proxy| proxy.connections().into_iter().map(move |connection| proxy.cut(connection.id)));
            if open.count() == 0 && exits.is_empty() {
                break;
            }
            tokio::select! {
                Some(_) = exits.join_next() => {}
                // Permits in it are dropped.
                event = self.attendance.owner.next() => drop(event),
                () = tokio::time::sleep(CLOCK_STEP / 20) => {}
            }
        }
        exits.abort_all();
        while let Some(event) = self.attendance.owner.try_next() {
            drop(event);
        }
        for connection in self.commands.iter().flat_map(|command| command.connections.values()) {
            connection.pid.into_iter().for_each(|pid| self.attendance.backends.remove(pid));
        }
    }
}

fn release(permit: Option<UnitPermit>) {
    if let Some(permit) = permit {
        permit.release();
    }
}
