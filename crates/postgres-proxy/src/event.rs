//! What the proxy tells its owner.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::answer::{BlockStatus, ServerMessage, UnitAnswer};
use crate::permit::{AnswerPermit, UnitPermit};
use crate::unit::ClientUnit;

/// A connection of an application. The ids of all proxies of a process differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(crate) u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One thing that happened on a connection.
///
/// An event is in the owner's queue before the last of the bytes that it tells of is forwarded. So what an application does
/// because of an answer always has a higher number than the answer.
#[derive(Debug)]
pub struct ProxyEvent {
    /// Its number among all events of its owner, from 1 on. The owner receives them in this order.
    pub number: u64,
    /// When the proxy saw it.
    pub at: Instant,
    /// The address that the client connected to; it tells the proxy, if the owner has several.
    pub proxy: SocketAddr,
    /// The connection.
    pub connection: ConnectionId,
    /// What happened.
    pub kind: ProxyEventKind,
}

/// What happened.
#[derive(Debug)]
pub enum ProxyEventKind {
    /// A client connected. Nothing is known of it before its startup packet.
    Accepted,
    /// The client asked for an encrypted connection, and the proxy refused.
    EncryptionRefused(Encryption),
    /// The startup packet came, and the proxy connected to the server.
    Opened(StartupPacket),
    /// The connection is ready for its first unit.
    Ready {
        /// The process of the server, as `pg_stat_activity.pid`. 0 if the server names none.
        backend_pid: i32,
    },
    /// The client sent a unit.
    UnitArrived {
        /// The unit.
        unit: Arc<ClientUnit>,
        /// Present if the unit waits for the owner. Dropping it lets the unit go.
        permit: Option<UnitPermit>,
    },
    /// The end of a unit that was announced as [`crate::ClientUnitKind::Unfinished`] came. It does not wait.
    UnitFinished {
        /// The unit, with all that it executes.
        unit: Arc<ClientUnit>,
    },
    /// A held unit goes to the server.
    UnitForwarded {
        /// The number of the unit on its connection.
        unit: u64,
    },
    /// The server finished a unit, or the connection ended before that.
    UnitAnswered {
        /// The answer.
        answer: Box<UnitAnswer>,
        /// Present if the answer is withheld from the client. Dropping it lets the answer go.
        permit: Option<AnswerPermit>,
    },
    /// An error outside any unit: a refused login, a shutdown of the server, a timeout of an idle session.
    ServerFailed(ServerMessage),
    /// A notice outside any unit.
    Noticed(ServerMessage),
    /// A notification for LISTEN.
    Notified {
        /// The process of the session that notified.
        backend_pid: i32,
        /// The channel.
        channel: String,
        /// The payload, or its beginning.
        payload: String,
        /// Whether it is withheld; see [`crate::Proxy::withhold_notifications`].
        withheld: bool,
    },
    /// A setting that the server reports has a new value, after the first [`ProxyEventKind::Ready`].
    SettingChanged {
        /// The name.
        name: String,
        /// The value.
        value: String,
    },
    /// This connection is a cancel request, and not a session. It goes to the server unchanged.
    CancelRequested {
        /// The session that it means; none if no open connection of this proxy has this key.
        target: Option<ConnectionId>,
    },
    /// The client will send no more. It may still read, and a held unit still goes to the server when it is let go.
    ClientFinished,
    /// The proxy no longer understands the messages. It forwards all bytes of the connection from here on, holds none,
    /// and reports no more units.
    LostTrack {
        /// Why.
        reason: String,
    },
    /// The connection has ended, on both sides.
    Closed(ClosedConnection),
}

/// What a client asks for before its startup packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// TLS: `sslmode` is `prefer`, or stricter.
    Tls,
    /// GSSAPI.
    Gss,
}

/// The startup packet of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartupPacket {
    /// The major and the minor version of the protocol.
    pub version: (u16, u16),
    /// `user`, `database`, `application_name` and so on, in order. No password is ever part of it.
    pub parameters: Vec<(String, String)>,
}

impl StartupPacket {
    /// The value of a parameter.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedConnection {
    /// What closed first.
    pub by: ClosedBy,
    /// Whether the session had become ready before.
    pub was_ready: bool,
    /// The status of the transaction block at the end.
    pub status: Option<BlockStatus>,
    /// More about the end, for people: the error of the operating system, or what was wrong with the first bytes.
    pub reason: Option<String>,
}

/// What closed a connection first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClosedBy {
    /// The client said goodbye (Terminate).
    Goodbye,
    /// The client closed without a goodbye.
    Client,
    /// The client closed after the proxy had refused encryption: it insists on it, as `sslmode=require` does.
    ClientWantsEncryption,
    /// The server closed.
    Server,
    /// The proxy refused it: the first bytes were no startup packet, the server was not reachable, or a limit was reached.
    Refused,
    /// The owner cut it.
    Owner,
}
