//! Statements that arrive during an interleaving of requests: whose each is, and whether it is held.

use std::sync::Arc;
use std::time::{Duration, Instant};

use postgres_proxy::{ClientUnit, ConnectionId, UnitPermit};

use super::actor_record::shortened;
use super::app_file::StatementTags;
use super::attended_command::HeldStep;
use super::attended_request::{AttendedRequest, RequestPhase};
use super::attribution::{ArrivalScene, StatementOwner, owner};
use super::request_interleaving::{RequestInterleaving, UnknownUnit};
use super::request_sending::tagged_request;
use super::service_link::ServiceLink;
use super::step_text::{normalized, sql_of};

/// How long an ambiguous statement waits for the others, before it counts as undecidable.
const AMBIGUOUS_MAX: Duration = Duration::from_millis(1_500);

impl RequestInterleaving {
    /// A unit has arrived.
    pub fn arrived(
        &mut self,
        link: &mut ServiceLink,
        connection: ConnectionId,
        unit: Arc<ClientUnit>,
        permit: Option<UnitPermit>,
    ) {
        if link.is_of_no_request(connection, &unit) {
            link.pass(connection, &unit, permit);
            return;
        }
        match self.owner_of(link, connection, &unit) {
            StatementOwner::Request(index) => self.take(link, index, (connection, unit, permit)),
            StatementOwner::Ambiguous => {
                self.unknown.push_back(UnknownUnit { connection, unit, permit, since: Instant::now() });
            }
            StatementOwner::Shared(one, other) => {
                let (owner, second) = (self.requests[one].actor, self.requests[other].actor);
                let why = format!(
                    "{second} sends {} on the connection on which the transaction of {owner} is open: one connection is shared by several \
                     requests, so its statements belong to none of them; give each request a connection of its own, from a pool",
                    shortened(&sql_of(&unit))
                );
                self.is_unfit(one, why);
                link.pass(connection, &unit, permit);
            }
            StatementOwner::Stranger => {
                link.strangers.insert(shortened(&normalized(&unit)));
                link.pass(connection, &unit, permit);
            }
        }
    }

    fn owner_of(&mut self, link: &ServiceLink, connection: ConnectionId, unit: &ClientUnit) -> StatementOwner {
        let text = normalized(unit);
        let tagged = match link.tags {
            StatementTags::Unread => None,
            _ => tagged_request(&sql_of(unit)).and_then(|number| self.index_of(number)),
        };
        let may_send = |request: &AttendedRequest| request.waits_inside() || request.phase == RequestPhase::Runs;
        let waiting: Vec<usize> = self.indices(may_send).filter(|index| Some(*index) != self.running).collect();
        let in_transaction_of = link
            .in_transaction_of(connection)
            .filter(|owner| self.requests.get(*owner).is_some_and(|owner| owner.phase != RequestPhase::Ended));
        let owner_waits = in_transaction_of.is_some_and(|owner| {
            let request = &self.requests[owner];
            let in_step = request.step.as_ref().is_some_and(|step| step.connection == connection && !step.is_prepared);
            self.running.is_some_and(|running| running != owner)
                && (in_step || request.held.iter().any(|held| held.connection == connection))
        });
        let scene = ArrivalScene {
            tagged: tagged.filter(|_| link.tags == StatementTags::Used),
            in_transaction_of,
            owner_waits,
            running: self.running,
            waiting: &waiting,
            last: self.last,
        };
        let found = owner(scene, |index| link.reactions.fit(&self.requests[index].position(), &text));
        if let (Some(tagged), StatementOwner::Request(index)) = (tagged, found)
            && tagged != index
        {
            let (found, tagged) = (self.requests[index].actor, self.requests[tagged].actor);
            let why =
                format!("a statement of {tagged}, by its tag, was taken for one of {found}: {}", shortened(&text));
            self.is_unfit(index, why);
        }
        found
    }

    fn index_of(&self, number: usize) -> Option<usize> {
        self.requests.iter().position(|request| request.number == number)
    }

    pub fn indices(&self, is_so: impl Fn(&AttendedRequest) -> bool) -> impl Iterator<Item = usize> {
        (0..self.requests.len()).filter(move |index| is_so(&self.requests[*index]))
    }

    /// A unit is that of this request.
    fn take(
        &mut self,
        link: &mut ServiceLink,
        index: usize,
        (id, unit, permit): (ConnectionId, Arc<ClientUnit>, Option<UnitPermit>),
    ) {
        let Some(found) = link.connections.get(&id) else { return };
        let is_step = self.rules.is_step(&unit, &found.connection);
        let request = &mut self.requests[index];
        request.record.sent(id, &unit, &found.connection, is_step);
        link.reactions.sent(&request.position(), &normalized(&unit));
        link.arrived(id, &unit, Some((index, request.actor)));
        if !is_step {
            if request.phase != RequestPhase::Ended {
                self.works(index);
            }
            link.forwarded(id, false);
            permit.into_iter().for_each(UnitPermit::release);
            return;
        }
        if request.answer.is_some() {
            self.after_answer.insert(request.actor);
        }
        if request.phase == RequestPhase::Ended {
            let why = format!(
                "it sends {} after it was answered and seemed to have ended, so what it does then is not in order",
                shortened(&sql_of(&unit))
            );
            self.is_unfit(index, why);
            link.forwarded(id, true);
            permit.into_iter().for_each(UnitPermit::release);
            return;
        }
        self.works(index);
        let request = &mut self.requests[index];
        if let Some(step) = request.step.as_mut().filter(|step| step.is_prepared && step.connection == id) {
            // The statement was prepared in the same step.
            (step.unit, step.is_prepared) = (unit.number, false);
            request.phase = RequestPhase::InDatabase;
            link.forwarded(id, true);
            permit.into_iter().for_each(UnitPermit::release_and_withhold_answer);
            self.stops_running(index);
            return;
        }
        request.held.push(HeldStep { connection: id, unit, permit });
        if !request.is_announced {
            request.held.sort_by_cached_key(|held| normalized(&held.unit));
        }
    }

    /// Finds the owners of units that several requests could have sent. Returns whether any was found.
    pub fn resolve(&mut self, link: &mut ServiceLink) -> bool {
        let Some(unknown) = self.unknown.pop_front() else { return false };
        match self.owner_of(link, unknown.connection, &unknown.unit) {
            StatementOwner::Request(index) => {
                self.take(link, index, (unknown.connection, unknown.unit, unknown.permit));
                return true;
            }
            _ if unknown.since.elapsed() > AMBIGUOUS_MAX => {
                let index = self.running.or(self.last).unwrap_or_default();
                let why = format!(
                    "several requests could have sent {}; tags in the statements would tell (docs/APPS.md)",
                    shortened(&sql_of(&unknown.unit))
                );
                self.is_unfit(index, why);
                link.pass(unknown.connection, &unknown.unit, unknown.permit);
                return true;
            }
            _ => self.unknown.push_front(unknown),
        }
        false
    }

    /// Whether a unit waits for its owner to be found.
    pub fn has_unknown_unit(&self) -> bool {
        !self.unknown.is_empty()
    }
}
