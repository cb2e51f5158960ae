//! The attendant of an application: a task that receives the events of its proxy as long as the application runs.
//!
//! Between two interleavings every statement goes at once, such as those of the application's start. During one, the
//! [interleaving](super::request_interleaving) decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::unistd::Pid;
use postgres_proxy::{ClosedBy, Owner, Proxy, ProxyEvent, ProxyEventKind};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::actor_record::ActorEnd;
use super::attended_command::next_go;
use super::attended_request::{AttendedRequest, RequestPhase, WithheldAnswer};
use super::reactions::{NEW_REACTION, Reactions};
use super::request_interleaving::RequestInterleaving;
use super::service_link::ServiceLink;
use super::step_rules::StepRules;
use super::step_text::normalized;
use crate::explore::file::execution::snapshot::changes_only_rows;
use crate::explore::schedule::Actor;

/// The pause between two looks at the clock.
const CLOCK_STEP: Duration = Duration::from_millis(2);

/// How long requests that were let go may take until they are answered. Then the application is started anew.
const LET_GO_MAX: Duration = Duration::from_secs(3);

/// How long an application is watched for statements that come without a request.
const IDLE_TIME: Duration = Duration::from_millis(300);

/// What an attendant is asked for.
#[derive(Debug)]
pub enum ServiceOrder {
    /// Attends an interleaving until its requests have ended, or it is stopped.
    Attend(Box<RequestInterleaving>, oneshot::Sender<RequestsAttended>),
    /// Watches which statements come without a request.
    WatchIdle(oneshot::Sender<BTreeSet<String>>),
    /// The application was started: these are its process groups.
    Started(Vec<Pid>),
    /// What came since the last order belongs to requests that are not explored.
    Disregard,
    /// Other units count as steps now, so what is known of reactions is of no use.
    Forget,
}

/// How the requests of an interleaving ended.
#[derive(Debug, Default)]
pub struct RequestsAttended {
    /// The ends of those that have ended.
    pub ends: BTreeMap<Actor, ActorEnd>,
    /// Why one could not be run to its end.
    pub unfit: Option<(Actor, String)>,
    /// The application did not answer all that was let go, or has a transaction open: it must be started anew.
    pub is_stuck: bool,
    /// Requests that have left a transaction open.
    pub left_open: BTreeSet<Actor>,
    /// Requests that seemed to wait inside the application, at any time and at the end.
    pub inferred: BTreeSet<Actor>,
    pub waits_inside: BTreeSet<Actor>,
    /// Requests that sent statements after they had been answered.
    pub after_answer: BTreeSet<Actor>,
    /// Statements that belong to no request.
    pub strangers: BTreeSet<String>,
    /// Something that was sent changes more than rows, by a request that has not ended too.
    pub changed_more_than_rows: bool,
    /// A session of the application may have an advisory lock.
    pub may_have_advisory_locks: bool,
    /// Timeouts that its connections set.
    pub timeouts: BTreeSet<String>,
    /// The connections of the application.
    pub connections: usize,
}

/// See the [module](self).
#[derive(Debug)]
pub struct ServiceAttendant {
    owner: Owner,
    orders: mpsc::Receiver<ServiceOrder>,
    proxy: Arc<Proxy>,
    link: ServiceLink,
    /// Which units would be steps.
    rules: StepRules,
}

impl ServiceAttendant {
    /// An attendant of the application that connects to this proxy.
    pub fn new(
        owner: Owner,
        orders: mpsc::Receiver<ServiceOrder>,
        proxy: Arc<Proxy>,
        link: ServiceLink,
        rules: StepRules,
    ) -> Self {
        Self { owner, orders, proxy, link, rules }
    }

    /// Receives events until there are no more orders.
    pub async fn run(mut self) {
        while let Some(order) = self.pass(None).await {
            match order {
                ServiceOrder::Started(groups) => {
                    self.link.groups = groups;
                    // What it sends at its start belongs to no request.
                    self.link.strangers.clear();
                }
                ServiceOrder::Disregard => self.link.strangers.clear(),
                ServiceOrder::Forget => self.link.reactions = Reactions::default(),
                ServiceOrder::WatchIdle(reply) => {
                    self.link.strangers.clear();
                    self.pass(Some(IDLE_TIME)).await;
                    let found = std::mem::take(&mut self.link.strangers);
                    self.link.learn_background(found);
                    let _ = reply.send(self.link.background.clone());
                }
                ServiceOrder::Attend(interleaving, reply) => {
                    let attended = self.attend(*interleaving).await;
                    let _ = reply.send(attended);
                }
            }
        }
    }

    /// Lets every statement go until the next order comes, or for this long.
    async fn pass(&mut self, at_most: Option<Duration>) -> Option<ServiceOrder> {
        let begun = Instant::now();
        loop {
            let left = at_most.map_or(Duration::from_hours(1), |most| most.saturating_sub(begun.elapsed()));
            if left.is_zero() {
                return None;
            }
            tokio::select! {
                biased;
                event = self.owner.next() => self.apply(event?, None),
                order = self.orders.recv(), if at_most.is_none() => return order,
                () = tokio::time::sleep(left) => {}
            }
        }
    }

    async fn attend(&mut self, mut interleaving: RequestInterleaving) -> RequestsAttended {
        self.proxy.withhold_notifications(true);
        if let Some(trouble) = self.link.trouble.clone() {
            interleaving.is_unfit(0, trouble);
        }
        let mut clock = interval(CLOCK_STEP);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let strangers = std::mem::take(&mut self.link.strangers);
        loop {
            interleaving.settle(&mut self.link);
            if interleaving.is_over() {
                break;
            }
            let RequestInterleaving { requests, answers, stop, .. } = &mut interleaving;
            tokio::select! {
                // Events first: what an application does because of an answer comes after the answer.
                biased;
                () = stop.cancelled() => break,
                event = self.owner.next() => match event {
                    Some(event) => self.apply(event, Some(&mut interleaving)),
                    None => break,
                },
                index = next_go(requests) => interleaving.let_go(&mut self.link, index),
                Some(Ok((index, answer))) = answers.join_next() => interleaving.request_answered(index, answer),
                _ = clock.tick() => {}
            }
        }
        let mut attended = self.attended(&interleaving);
        attended.strangers.extend(strangers);
        attended.is_stuck = !self.let_go_all(&mut interleaving).await || self.link.is_under_way();
        // What was let go belongs to requests.
        let let_go = std::mem::take(&mut self.link.strangers);
        attended.changed_more_than_rows |= !let_go.iter().all(|text| changes_only_rows(text));
        attended.may_have_advisory_locks = self.link.may_have_advisory_locks();
        attended.timeouts = self.link.timeouts.clone();
        self.link.forget_owners();
        self.proxy.withhold_notifications(false);
        attended
    }

    fn attended(&mut self, interleaving: &RequestInterleaving) -> RequestsAttended {
        let ended: Vec<usize> = interleaving.indices(|request| request.phase == RequestPhase::Ended).collect();
        let actor = |index: usize| interleaving.requests[index].actor;
        let left_open =
            ended.iter().filter(|index| self.link.open_transactions(**index) > 0).map(|index| actor(*index));
        RequestsAttended {
            ends: ended.iter().map(|index| (actor(*index), interleaving.end_of(*index))).collect(),
            unfit: interleaving.unfit.clone(),
            is_stuck: false,
            left_open: left_open.collect(),
            inferred: interleaving.inferred.clone(),
            waits_inside: interleaving.indices(AttendedRequest::waits_inside).map(actor).collect(),
            after_answer: interleaving.after_answer.clone(),
            strangers: std::mem::take(&mut self.link.strangers),
            changed_more_than_rows: !interleaving
                .requests
                .iter()
                .all(|request| request.record.texts().all(changes_only_rows)),
            may_have_advisory_locks: false,
            timeouts: BTreeSet::new(),
            connections: self.link.connections.len(),
        }
    }

    /// Lets everything go, and waits until all requests are answered; `false` if some are not.
    async fn let_go_all(&mut self, interleaving: &mut RequestInterleaving) -> bool {
        interleaving.open();
        let begun = Instant::now();
        let mut last_event = Instant::now();
        // What comes after an answer still belongs to the request.
        while !interleaving.answers.is_empty()
            || interleaving.was_opened
                && (self.link.is_under_way() || last_event.elapsed() < NEW_REACTION || !self.link.is_at_rest())
        {
            let left = LET_GO_MAX.saturating_sub(begun.elapsed());
            if left.is_zero() {
                interleaving.answers.abort_all();
                return false;
            }
            let next = async {
                tokio::select! {
                    biased;
                    event = self.owner.next() => event.map(Some),
                    Some(_) = interleaving.answers.join_next() => Some(None),
                    () = tokio::time::sleep(CLOCK_STEP) => Some(None),
                }
            };
            match timeout(left, next).await {
                Ok(Some(Some(event))) => {
                    last_event = Instant::now();
                    self.apply(event, None);
                }
                Ok(Some(None)) => {}
                Ok(None) | Err(_) => {
                    interleaving.answers.abort_all();
                    return false;
                }
            }
        }
        true
    }

    fn apply(&mut self, event: ProxyEvent, interleaving: Option<&mut RequestInterleaving>) {
        let ProxyEvent { connection: id, kind, .. } = event;
        match kind {
            ProxyEventKind::Accepted => self.link.accepted(id),
            ProxyEventKind::Opened(startup) => self.link.opened(id, &startup),
            ProxyEventKind::Ready { backend_pid } => self.link.ready(id, backend_pid),
            ProxyEventKind::UnitArrived { unit, permit } => {
                if let Some(interleaving) = interleaving {
                    interleaving.arrived(&mut self.link, id, unit, permit);
                    return;
                }
                self.link.note_timeouts(&unit);
                let connection = self.link.connections.get(&id);
                let is_step = connection.is_some_and(|found| self.rules.is_step(&unit, &found.connection));
                if is_step && !self.link.is_of_no_request(id, &unit) {
                    self.link.strangers.insert(normalized(&unit));
                }
                self.link.pass(id, &unit, permit);
            }
            ProxyEventKind::UnitAnswered { answer, permit } => {
                let Some((sent, before)) = self.link.answered(id, &answer) else { return };
                let (Some(interleaving), Some(index)) = (interleaving, sent.request) else { return };
                let Some(request) = interleaving.requests.get_mut(index) else { return };
                request.record.answered(&sent.unit, &answer, &before);
                if interleaving.is_step_of(index, id, answer.unit) {
                    let withheld = WithheldAnswer::new(&sent.unit, &answer, permit);
                    interleaving.step_answered(index, &sent.unit, withheld);
                } else {
                    interleaving.is_heard(index);
                }
            }
            ProxyEventKind::LostTrack { reason } => {
                let why = format!("the proxy does not understand a message of the application: {reason}");
                self.link.trouble = Some(why.clone());
                if let Some(interleaving) = interleaving {
                    interleaving.is_unfit(0, why);
                }
            }
            ProxyEventKind::CancelRequested { target } => {
                let owner = target.and_then(|target| self.link.connections.get(&target)?.owner);
                if let (Some(interleaving), Some(index)) = (interleaving, owner)
                    && let Some(request) = interleaving.requests.get_mut(index)
                {
                    request.record.canceled = true;
                }
            }
            ProxyEventKind::Closed(closed) => {
                let owner = self.link.closed(id);
                let wants_encryption = closed.by == ClosedBy::ClientWantsEncryption;
                let why = "the application insists on an encrypted connection, which the proxy does not offer; \
                           use sslmode=disable or prefer";
                if wants_encryption {
                    self.link.trouble = Some(why.to_owned());
                }
                let Some(interleaving) = interleaving else { return };
                if wants_encryption {
                    interleaving.is_unfit(0, why.to_owned());
                }
                if let Some(index) = owner {
                    interleaving.connection_ended(index, id);
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
}
