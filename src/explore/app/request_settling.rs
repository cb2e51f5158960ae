//! From one moment of an interleaving of requests to the next: what may go on now, and what has come to rest.

use std::time::Duration;

use super::actor_record::{ActorEnd, ActorOutcome};
use super::attended_request::{AttendedRequest, RequestPhase};
use super::reactions::AllPositions;
use super::request_interleaving::RequestInterleaving;
use super::service_link::ServiceLink;
use crate::explore::run::gate::GateEvent;
use crate::explore::transcript::StepOutcome;

/// How long an answered request gets that was never seen to end there: statements after the answer may take their time.
const NEW_END: Duration = Duration::from_millis(100);

/// The same if its transaction is still open: it has left it open, or a commit is still to come.
const OPEN_END: Duration = Duration::from_secs(1);

/// How long a request gets while a connection is being opened.
const CONNECTING: Duration = Duration::from_millis(200);

/// How often in a row the application must be seen at rest, while it gets time.
const LOOKS: u32 = 5;

/// How long a request must be silent that no other one can wake, until it counts as waiting for ever. It is below the runner's own limit.
const HOPELESS_SILENCE: Duration = Duration::from_secs(5);

/// How long a request may be at work without a statement or an answer.
const AT_WORK_MAX: Duration = Duration::from_secs(8);

/// The same for a request that runs alone, also in the database.
const ALONE_MAX: Duration = Duration::from_secs(30);

impl RequestInterleaving {
    /// Does all that can be done without waiting.
    pub fn settle(&mut self, link: &mut ServiceLink) {
        loop {
            let mut moved = self.resolve(link);
            for index in 0..self.requests.len() {
                moved |= self.comes_to_rest(link, index);
            }
            if self.running.is_none() && !self.has_unknown_unit() {
                moved |= self.goes_on(link);
            }
            if !moved {
                break;
            }
        }
        for index in 0..self.requests.len() {
            let request = &self.requests[index];
            if request.phase == RequestPhase::Stands && !request.is_announced && !self.others_can_go(index) {
                self.announce(index, true);
            }
            self.looks_silent(link, index);
        }
    }

    /// Lets the next one run, if there is one: an answer that is withheld, or a request that was not sent.
    fn goes_on(&mut self, link: &mut ServiceLink) -> bool {
        if let Some(index) = self.next_answer() {
            self.deliver(index);
            return true;
        }
        let is_gated = self.gate.is_some();
        let has_ended =
            |index: &usize| self.requests[..*index].iter().all(|request| request.phase == RequestPhase::Ended);
        let next = self.indices(|request| request.phase == RequestPhase::NotSent).next();
        // Where sending is a step, the runner chooses.
        if let Some(index) = next.filter(|index| !self.send_is_a_step && (is_gated || has_ended(index))) {
            self.send(index);
            return true;
        }
        // Without a gate every step goes; with one, those go that no runner is left for.
        let opened = self
            .indices(|request| request.phase == RequestPhase::Stands && request.is_announced && request.go.is_none())
            .next();
        match opened {
            Some(index) => self.let_go(link, index),
            None => return false,
        }
        true
    }

    /// Whether a request that runs has sent all that it sends now. Then it stands at its first statement, or has ended.
    fn comes_to_rest(&mut self, link: &mut ServiceLink, index: usize) -> bool {
        let request = &self.requests[index];
        if request.phase != RequestPhase::Runs || request.held.is_empty() && request.answer.is_none() {
            return false;
        }
        let (position, reaction) = (request.position(), request.reaction());
        let mut time = link.reactions.time_for_more(&position, &reaction);
        if time > Duration::ZERO {
            if request.held.is_empty() {
                time = time.max(if link.open_transactions(index) > 0 { OPEN_END } else { NEW_END });
            }
            if link.is_connecting() {
                time = time.max(CONNECTING);
            }
            if self.has_unknown_unit() || request.since.elapsed() < time / 2 {
                return false;
            }
            let at_rest = link.is_at_rest();
            let request = &mut self.requests[index];
            request.looks = if at_rest { request.looks + 1 } else { 0 };
            if request.looks < LOOKS || request.since.elapsed() < time {
                return false;
            }
        }
        let request = &mut self.requests[index];
        request.looks = 0;
        let reacted = request.since.saturating_duration_since(request.began);
        link.reactions.learn(position, reaction, reacted);
        if self.requests[index].step.take().is_some() {
            // What was prepared is not executed now.
            self.tell(index, GateEvent::Returned(StepOutcome::Done));
        }
        self.stops_running(index);
        self.may_wake_others();
        if self.requests[index].held.is_empty() {
            self.ends(index);
        } else {
            self.requests[index].phase = RequestPhase::Stands;
            self.announce(index, false);
        }
        true
    }

    fn ends(&mut self, index: usize) {
        let request = &mut self.requests[index];
        request.phase = RequestPhase::Ended;
        let heard = self.end_of(index).heard();
        self.tell(index, GateEvent::OperationEnded(heard));
        self.tell(index, GateEvent::SessionEnded);
    }

    /// How a request has ended.
    pub fn end_of(&self, index: usize) -> ActorEnd {
        let request = &self.requests[index];
        let answer = request.answer.clone().unwrap_or_else(|| Err("it was not answered".to_owned()));
        ActorEnd { outcome: ActorOutcome::Answered(answer), record: request.record.clone() }
    }

    fn positions(&self) -> AllPositions {
        self.requests.iter().map(AttendedRequest::position).collect()
    }

    /// Whether a request that runs, or waits already, is silent for so long that it must wait inside the application.
    fn looks_silent(&mut self, link: &mut ServiceLink, index: usize) {
        let request = &self.requests[index];
        let runs = request.phase == RequestPhase::Runs && request.held.is_empty() && request.answer.is_none();
        let waits = request.phase == (RequestPhase::WaitsInside { told: false }) && self.running.is_none();
        let silence = request.since.elapsed();
        if self.gate.is_none() {
            let limit = if runs { AT_WORK_MAX } else { ALONE_MAX };
            let is_under_way = !matches!(request.phase, RequestPhase::NotSent | RequestPhase::Ended);
            if is_under_way && silence > limit {
                self.is_unfit(index, silent_for(limit, runs));
            }
            return;
        }
        if !runs && !waits {
            return;
        }
        let all = self.positions();
        let needed = link.reactions.silence(request.number, &all, &all[index]);
        let needed = if self.others_can_go(index) { needed } else { needed.max(HOPELESS_SILENCE) };
        if silence < needed || self.has_unknown_unit() {
            return;
        }
        if !self.beside_commands
            && self.indices(|request| request.phase != RequestPhase::Ended).all(|other| other == index)
        {
            // It waits for no other request.
            let why = format!("{}; no other request is under way", silent_for(needed, true));
            self.is_unfit(index, why);
            return;
        }
        if !link.is_at_rest() {
            if silence > AT_WORK_MAX {
                self.is_unfit(index, silent_for(AT_WORK_MAX, true));
            }
            return;
        }
        let number = request.number;
        link.reactions.was_silent(number, all);
        self.inferred.insert(self.requests[index].actor);
        self.requests[index].phase = RequestPhase::WaitsInside { told: true };
        self.stops_running(index);
        self.tell(index, GateEvent::WaitsInApplication);
    }
}

fn silent_for(limit: Duration, runs: bool) -> String {
    let seconds = limit.as_secs();
    if runs {
        format!(
            "the application has neither sent a statement nor answered for {seconds} s; it may wait for something else than PostgreSQL"
        )
    } else {
        format!("a statement was not answered for {seconds} s")
    }
}
