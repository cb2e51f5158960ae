//! What the owner can look up: the state of each connection, and counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::answer::BlockStatus;
use crate::event::{ConnectionId, StartupPacket};

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionActivity {
    /// It is being opened: it is not ready for its first unit.
    Starting,
    /// It waits for the client: nothing is in flight, and nothing is held.
    Idle,
    /// A part of a unit has come, and the rest has not.
    Receiving,
    /// A unit waits for the owner.
    Held,
    /// The server has not finished what was forwarded.
    InFlight,
    /// A complete answer waits for the owner.
    AnswerHeld,
    /// The messages are no longer understood, so nothing is known.
    Unknown,
}

/// The state of a connection at one moment.
#[derive(Debug, Clone)]
pub struct ConnectionStatus {
    /// The connection.
    pub id: ConnectionId,
    /// When the client connected.
    pub accepted_at: Instant,
    /// Its startup packet, once it came.
    pub startup: Option<StartupPacket>,
    /// The process of the server; none before it is known.
    pub backend_pid: Option<i32>,
    /// What it is doing. If a unit is held while an earlier one is in flight, it is held.
    pub activity: ConnectionActivity,
    /// The held unit.
    pub held_unit: Option<u64>,
    /// How many units are in flight.
    pub units_in_flight: usize,
    /// The status of the transaction block, as the last `ReadyForQuery` tells it.
    pub status: Option<BlockStatus>,
    /// The number of its last event; 0 without an owner.
    pub last_event: u64,
    /// Counts since it was opened.
    pub counts: ConnectionCounts,
}

/// Counts of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectionCounts {
    /// Bytes that the client sent.
    pub bytes_from_client: u64,
    /// Bytes that the server sent.
    pub bytes_from_server: u64,
    /// Units that the client sent.
    pub units: u64,
    /// Units that run something.
    pub executing_units: u64,
    /// Units that were held.
    pub held_units: u64,
    /// Answers with an error.
    pub failed_units: u64,
}

/// Counts of one proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProxyCounts {
    /// Clients that connected.
    pub accepted: u64,
    /// Connections that are open.
    pub open: u64,
    /// Connections that the proxy refused.
    pub refused: u64,
    /// Cancel requests that were passed on.
    pub cancel_requests: u64,
    /// Requests for TLS or GSSAPI that were refused.
    pub encryption_refused: u64,
    /// Connections whose messages were no longer understood.
    pub lost_track: u64,
}

/// A count that connections add to.
#[derive(Debug, Default)]
pub struct AtomicCount(AtomicU64);

impl AtomicCount {
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets the count to a value unless it is above it.
    pub fn raise(&self, value: u64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }
}

/// The counts of [`ProxyCounts`].
#[derive(Debug, Default)]
pub struct ProxyTotals {
    pub accepted: AtomicCount,
    pub refused: AtomicCount,
    pub cancel_requests: AtomicCount,
    pub encryption_refused: AtomicCount,
    pub lost_track: AtomicCount,
}
