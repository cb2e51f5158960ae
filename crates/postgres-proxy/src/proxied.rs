//! One connection of an application: what its two directions, the proxy and the owner share.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, watch};

use crate::conversation::Conversation;
use crate::event::{ConnectionId, ProxyEventKind, StartupPacket};
use crate::owner::EventSender;
use crate::permit::HeldUnits;
use crate::replies::EndedUnit;
use crate::status::{AtomicCount, ConnectionActivity, ConnectionCounts, ConnectionStatus, ProxyTotals};

/// The state that is shared.
#[derive(Debug)]
pub struct ProxiedConnection {
    pub id: ConnectionId,
    pub accepted_at: Instant,
    /// The address that the client connected to.
    pub proxy: SocketAddr,
    pub holds: HeldUnits,
    pub events: Option<EventSender>,
    pub startup: OnceLock<StartupPacket>,
    pub totals: Arc<ProxyTotals>,
    /// Whether notifications are withheld now.
    pub withholds_notifications: watch::Receiver<bool>,
    /// Told to cut the connection.
    pub cut: Notify,
    /// Told after each answer.
    pub answered: Notify,
    pub counts: AtomicConnectionCounts,
    conversation: Mutex<Conversation>,
    last_event: AtomicCount,
}

/// The counts of [`ConnectionCounts`].
#[derive(Debug, Default)]
pub struct AtomicConnectionCounts {
    pub bytes_from_client: AtomicCount,
    pub bytes_from_server: AtomicCount,
    pub units: AtomicCount,
    pub executing_units: AtomicCount,
    pub held_units: AtomicCount,
    pub failed_units: AtomicCount,
}

impl ProxiedConnection {
    pub fn new(
        (id, proxy): (ConnectionId, SocketAddr),
        holds: HeldUnits,
        events: Option<EventSender>,
        totals: Arc<ProxyTotals>,
        withholds_notifications: watch::Receiver<bool>,
    ) -> Self {
        Self {
            id,
            accepted_at: Instant::now(),
            proxy,
            holds,
            events,
            startup: OnceLock::new(),
            totals,
            withholds_notifications,
            cut: Notify::new(),
            answered: Notify::new(),
            counts: AtomicConnectionCounts::default(),
            conversation: Mutex::new(Conversation::new(holds != HeldUnits::None)),
            last_event: AtomicCount::default(),
        }
    }

    /// The conversation. It is locked for the time of one message, never across a wait.
    pub fn conversation(&self) -> MutexGuard<'_, Conversation> {
        self.conversation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is an owner that events reach.
    pub fn has_owner(&self) -> bool {
        self.events.as_ref().is_some_and(EventSender::has_owner)
    }

    /// Sends events to the owner, and waits while its queue is full.
    pub async fn tell(&self, kinds: impl IntoIterator<Item = ProxyEventKind>) {
        if let Some(events) = &self.events {
            events.send(self.proxy, self.id, &self.last_event, kinds).await;
        }
    }

    /// Tells of units that have ended, none of which is withheld.
    pub async fn tell_ended(&self, ended: Vec<EndedUnit>) {
        if !ended.is_empty() {
            self.count_ended(&ended);
            let told = |ended: EndedUnit| ProxyEventKind::UnitAnswered { answer: Box::new(ended.answer), permit: None };
            self.tell(ended.into_iter().map(told)).await;
        }
    }

    /// Counts units that have ended, and wakes the client's direction, which may wait for it.
    pub fn count_ended(&self, ended: &[EndedUnit]) {
        self.counts.failed_units.add(ended.iter().filter(|ended| ended.answer.error.is_some()).count() as u64);
        self.answered.notify_one();
    }

    /// The messages are no longer understood.
    pub async fn lose_track(&self, reason: String) {
        let was_blind = std::mem::replace(&mut self.conversation().is_blind, true);
        if !was_blind {
            self.totals.lost_track.add(1);
            self.answered.notify_one();
            self.tell([ProxyEventKind::LostTrack { reason }]).await;
        }
    }

    /// The state now.
    pub fn status(&self) -> ConnectionStatus {
        let conversation = self.conversation();
        let activity = if conversation.is_blind {
            ConnectionActivity::Unknown
        } else if conversation.status.is_none() {
            ConnectionActivity::Starting
        } else if conversation.held_unit.is_some() {
            ConnectionActivity::Held
        } else if conversation.holds_answer {
            ConnectionActivity::AnswerHeld
        } else if !conversation.replies().is_empty() {
            ConnectionActivity::InFlight
        } else if conversation.is_unit_begun() {
            ConnectionActivity::Receiving
        } else {
            ConnectionActivity::Idle
        };
        let counts = &self.counts;
        ConnectionStatus {
            id: self.id,
            accepted_at: self.accepted_at,
            startup: self.startup.get().cloned(),
            backend_pid: Some(conversation.backend_pid).filter(|pid| *pid != 0),
            activity,
            held_unit: conversation.held_unit,
            units_in_flight: conversation.replies().units(),
            status: conversation.status,
            last_event: self.last_event.get(),
            counts: ConnectionCounts {
                bytes_from_client: counts.bytes_from_client.get(),
                bytes_from_server: counts.bytes_from_server.get(),
                units: counts.units.get(),
                executing_units: counts.executing_units.get(),
                held_units: counts.held_units.get(),
                failed_units: counts.failed_units.get(),
            },
        }
    }
}
