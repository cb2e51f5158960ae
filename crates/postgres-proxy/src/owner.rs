//! The owner's end of a proxy: a bounded queue of numbered events.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::mpsc;

use crate::event::{ConnectionId, ProxyEvent, ProxyEventKind};
use crate::limits::QUEUED_EVENTS;
use crate::status::AtomicCount;

/// Receives the events of one proxy or of several, in one order.
///
/// The queue is bounded: connections wait for an owner that does not read. Dropping the owner lets everything go, what is
/// held and what comes later.
#[derive(Debug)]
pub struct Owner {
    receiver: mpsc::Receiver<ProxyEvent>,
}

/// What proxies send their events to. Its clones share one owner and one numbering.
#[derive(Debug, Clone)]
pub struct EventSender {
    sender: mpsc::Sender<ProxyEvent>,
    /// The number of the last event.
    last: Arc<Mutex<u64>>,
}

impl Owner {
    /// An owner, and what to start its proxies with.
    #[must_use]
    pub fn channel() -> (Self, EventSender) {
        let (sender, receiver) = mpsc::channel(QUEUED_EVENTS);
        (Self { receiver }, EventSender { sender, last: Arc::default() })
    }

    /// The next event. None when no proxy and no connection is left that could send one.
    ///
    /// A dropped call loses no event, so it can stand in `select!` and under a time limit.
    pub async fn next(&mut self) -> Option<ProxyEvent> {
        self.receiver.recv().await
    }

    /// The next event, if one waits already.
    pub fn try_next(&mut self) -> Option<ProxyEvent> {
        self.receiver.try_recv().ok()
    }
}

impl EventSender {
    /// Whether there is still an owner.
    pub(crate) fn has_owner(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Sends events in order, and waits while the queue is full. `last_event` gets the number of each before the owner gets
    /// the event. Without an owner the events are dropped, and what they hold goes.
    pub(crate) async fn send(
        &self,
        proxy: SocketAddr,
        connection: ConnectionId,
        last_event: &AtomicCount,
        kinds: impl IntoIterator<Item = ProxyEventKind>,
    ) {
        for kind in kinds {
            let Ok(slot) = self.sender.reserve().await else { break };
            // Under the lock the order of the numbers is the order of the queue.
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            *last += 1;
            last_event.raise(*last);
            slot.send(ProxyEvent { number: *last, at: Instant::now(), proxy, connection, kind });
        }
    }
}
