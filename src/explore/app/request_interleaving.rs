//! One interleaving of requests: which of them runs, stands at a statement, waits, or has ended.
//!
//! Only one request's code runs at a time. The first request is sent, and runs until its first statement is held or it is answered; then the
//! next one is. From then on the runner lets one statement go at a time. The complete answer of a statement waits at the proxy until the request
//! that runs stands at a statement, waits, or has ended.
//!
//! **At rest.** Whether a request has sent all that it sends now is known from earlier interleavings ([`super::reactions`]). Where it is not, the
//! request gets [`NEW_REACTION`](super::reactions::NEW_REACTION), and no thread of the application may have anything to do.
//!
//! **Waits inside the application**, such as for a mutex or a connection of the pool, are inferred from silence. A verdict that rests on one
//! says so.
//!
//! Without a gate the requests run one after the other, and every statement goes at once.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use postgres_proxy::{ClientUnit, ConnectionId, UnitPermit};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::attended_command::StepUnderWay;
use super::attended_request::{AttendedRequest, RequestPhase, WithheldAnswer, attempt};
use super::request_sending::{AppAnswer, send};
use super::service_link::ServiceLink;
use super::step_rules::StepRules;
use super::step_text::{StepText, lost};
use crate::explore::run::gate::{GateEvent, GateEvents};
use crate::explore::schedule::Actor;
use crate::explore::transcript::StepOutcome;

/// See the [module](self).
#[derive(Debug)]
pub struct RequestInterleaving {
    pub requests: Vec<AttendedRequest>,
    pub gate: Option<GateEvents>,
    pub rules: StepRules,
    /// The moment at which a request is sent is chosen by the runner, because a request waited inside the application before its first
    /// statement.
    pub send_is_a_step: bool,
    /// Commands run beside the requests, and may let them go on.
    pub beside_commands: bool,
    /// Everything was let go.
    pub was_opened: bool,
    /// Ends it early.
    pub stop: CancellationToken,
    /// The answers of the application, by index.
    pub answers: JoinSet<(usize, Result<AppAnswer, String>)>,
    pub running: Option<usize>,
    pub last: Option<usize>,
    /// The request that took the last step.
    stepper: Option<usize>,
    pub unknown: VecDeque<UnknownUnit>,
    /// Why it could not be run to its end.
    pub unfit: Option<(Actor, String)>,
    /// Requests that seemed to wait inside the application.
    pub inferred: BTreeSet<Actor>,
    /// Requests that sent statements after they had been answered.
    pub after_answer: BTreeSet<Actor>,
}

/// A unit that more than one request could have sent.
#[derive(Debug)]
pub struct UnknownUnit {
    pub connection: ConnectionId,
    pub unit: Arc<ClientUnit>,
    pub permit: Option<UnitPermit>,
    pub since: Instant,
}

impl RequestInterleaving {
    pub fn new(
        requests: Vec<AttendedRequest>,
        gate: Option<GateEvents>,
        rules: StepRules,
        send_is_a_step: bool,
        stop: CancellationToken,
    ) -> Self {
        let send_is_a_step = send_is_a_step && gate.is_some();
        let mut interleaving = Self {
            requests,
            gate,
            rules,
            send_is_a_step,
            beside_commands: false,
            was_opened: false,
            stop,
            answers: JoinSet::new(),
            running: None,
            last: None,
            stepper: None,
            unknown: VecDeque::new(),
            unfit: None,
            inferred: BTreeSet::new(),
            after_answer: BTreeSet::new(),
        };
        if send_is_a_step {
            for request in &mut interleaving.requests {
                request.is_announced = true;
                let sql = format!("-- {}", request.script.title());
                let event = GateEvent::Ready { name: "send".to_owned(), sql, values: Vec::new() };
                tell(interleaving.gate.as_ref(), request.actor, event);
            }
        }
        interleaving
    }

    /// Whether all requests have ended, or one that runs alone cannot be run to its end.
    pub fn is_over(&self) -> bool {
        self.requests.iter().all(|request| request.phase == RequestPhase::Ended)
            || self.gate.is_none() && self.unfit.is_some()
    }

    pub fn tell(&self, index: usize, event: GateEvent) {
        tell(self.gate.as_ref(), self.requests[index].actor, event);
    }

    pub fn is_unfit(&mut self, index: usize, why: String) {
        if self.unfit.is_none() {
            self.unfit = Some((self.requests[index].actor, why.clone()));
            self.tell(index, GateEvent::Stuck(why));
        }
    }

    /// Something was heard of a request: it does not wait inside the application.
    pub fn works(&mut self, index: usize) {
        let request = &mut self.requests[index];
        request.since = Instant::now();
        if request.waits_inside() {
            let told = request.phase == RequestPhase::WaitsInside { told: true };
            // How long it waited for others is no reaction of its own.
            request.began = request.since;
            request.phase = RequestPhase::Runs;
            self.running.get_or_insert(index);
            if told {
                self.tell(index, GateEvent::GoesOnInApplication);
            }
        }
    }

    pub fn stops_running(&mut self, index: usize) {
        if self.running == Some(index) {
            // Another one may run already, because something woke it.
            let other = self.indices(|request| request.phase == RequestPhase::Runs).find(|other| *other != index);
            self.running = other;
        }
        self.last = Some(index);
    }

    /// What a request did last may end the wait of another one.
    pub fn may_wake_others(&mut self) {
        for request in self.requests.iter_mut().filter(|request| request.waits_inside()) {
            request.since = Instant::now();
        }
    }

    /// The server has answered a step of a request, or has prepared its statement.
    pub fn step_answered(&mut self, index: usize, unit: &ClientUnit, withheld: WithheldAnswer) {
        let request = &mut self.requests[index];
        request.since = Instant::now();
        let Some(step) = request.step.as_mut().filter(|step| step.unit == unit.number) else { return };
        if unit.is_housekeeping() && !matches!(withheld.outcome, StepOutcome::Error { .. }) {
            // The application has this answer, and executes the statement next.
            step.is_prepared = true;
            request.phase = RequestPhase::Runs;
            self.running.get_or_insert(index);
            return;
        }
        request.withheld = Some(withheld);
    }

    /// A unit of a request that is no step was answered.
    pub fn is_heard(&mut self, index: usize) {
        self.requests[index].since = Instant::now();
    }

    /// A connection has ended, with what waited on it.
    pub fn connection_ended(&mut self, index: usize, id: ConnectionId) {
        let Some(request) = self.requests.get_mut(index) else { return };
        request.since = Instant::now();
        if request.phase == RequestPhase::Runs {
            request.held.retain(|held| held.connection != id);
        }
    }

    /// The application has answered a request.
    pub fn request_answered(&mut self, index: usize, answer: Result<AppAnswer, String>) {
        self.requests[index].answer = Some(answer);
        self.works(index);
    }

    /// Whether a request's step is this unit of a connection.
    pub fn is_step_of(&self, index: usize, connection: ConnectionId, unit: u64) -> bool {
        let step = self.requests.get(index).and_then(|request| request.step.as_ref());
        step.is_some_and(|step| step.connection == connection && step.unit == unit)
    }

    /// The runner lets a request's next step go.
    pub fn let_go(&mut self, link: &mut ServiceLink, index: usize) {
        let request = &mut self.requests[index];
        request.is_announced = false;
        self.stepper = Some(index);
        if request.phase == RequestPhase::NotSent {
            self.tell(index, GateEvent::Returned(StepOutcome::Done));
            self.send(index);
            return;
        }
        if request.held.is_empty() {
            return;
        }
        let held = request.held.remove(0);
        let is_void = held.permit.as_ref().is_some_and(UnitPermit::is_void);
        request.step = Some(StepUnderWay { connection: held.connection, unit: held.unit.number, is_prepared: false });
        request.phase = RequestPhase::InDatabase;
        request.since = Instant::now();
        if is_void {
            let why = "the connection had ended before the statement was sent";
            request.withheld = Some(WithheldAnswer::lost(&held.unit, lost(why)));
        } else {
            link.forwarded(held.connection, true);
            match held.permit {
                Some(permit) if held.unit.is_housekeeping() => permit.release(),
                Some(permit) => permit.release_and_withhold_answer(),
                None => {}
            }
        }
        self.last = Some(index);
        self.stir_the_waiting(index);
    }

    /// Sends a request to the application.
    pub fn send(&mut self, index: usize) {
        let request = &mut self.requests[index];
        request.phase = RequestPhase::Runs;
        request.begins_to_run();
        let (port, script, number) = (request.port, request.script.clone(), request.number);
        self.answers.spawn(async move { (index, send(port, &script, number).await) });
        self.running = Some(index);
        self.stir_the_waiting(index);
    }

    /// The application gets the answer of a step.
    pub fn deliver(&mut self, index: usize) {
        let request = &mut self.requests[index];
        let Some(withheld) = request.withheld.take() else { return };
        request.step = None;
        request.history.push(withheld.said);
        request.failed_attempt = withheld.failed_attempt;
        request.phase = RequestPhase::Runs;
        request.begins_to_run();
        self.running = Some(index);
        self.tell(index, GateEvent::Returned(withheld.outcome));
        drop(withheld.permit);
        self.stir_the_waiting(index);
    }

    /// Another request has moved, which may end the wait of those inside the application.
    fn stir_the_waiting(&mut self, but: usize) {
        for index in 0..self.requests.len() {
            let request = &mut self.requests[index];
            if index == but {
                continue;
            }
            if request.waits_inside() {
                request.since = Instant::now();
                if request.phase == (RequestPhase::WaitsInside { told: true }) {
                    request.phase = RequestPhase::WaitsInside { told: false };
                    self.tell(index, GateEvent::GoesOnInApplication);
                }
            } else if request.phase == RequestPhase::Stands && !request.is_announced {
                self.announce(index, true);
            }
        }
    }

    /// Announces the next step of a request that stands. An attempt to take an advisory lock that has just failed is not made again before
    /// another request has moved, unless none can.
    pub fn announce(&mut self, index: usize, again: bool) {
        let request = &self.requests[index];
        let Some(held) = request.held.first() else { return };
        let attempts_again = request.failed_attempt.as_deref() == Some(&attempt(&held.unit));
        if attempts_again && !again && self.stepper == Some(index) && self.others_can_go(index) {
            self.tell(index, GateEvent::WaitsInApplication);
            return;
        }
        let StepText { name, sql, values } = StepText::of(&held.unit);
        self.requests[index].is_announced = true;
        self.tell(index, GateEvent::Ready { name, sql, values });
    }

    /// Whether another request can move without this one.
    pub fn others_can_go(&self, but: usize) -> bool {
        self.beside_commands
            || self
                .indices(|request| {
                    let stands = request.phase == RequestPhase::Stands && request.is_announced;
                    stands || request.phase == RequestPhase::NotSent || request.withheld.is_some()
                })
                .any(|index| index != but)
    }

    /// The next request whose withheld answer goes: that of the last step first.
    pub fn next_answer(&self) -> Option<usize> {
        let is_next = |index: &usize| self.requests[*index].withheld.is_some();
        self.stepper.filter(is_next).or_else(|| (0..self.requests.len()).find(is_next))
    }

    /// Lets everything go.
    pub fn open(&mut self) {
        self.was_opened = self.requests.iter().any(|request| request.phase != RequestPhase::Ended);
        self.gate = None;
        self.unknown.clear();
        for request in &mut self.requests {
            request.held.clear();
            request.withheld = None;
        }
    }
}

fn tell(gate: Option<&GateEvents>, actor: Actor, event: GateEvent) {
    if let Some(gate) = gate {
        // When the runner is dropped, the event is, too.
        let _ = gate.send((actor, event));
    }
}
