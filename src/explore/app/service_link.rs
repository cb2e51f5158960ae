//! What is known of an application's connections, in an interleaving and between two.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nix::unistd::Pid;
use postgres_proxy::{ClientUnit, ConnectionId, StartupPacket, UnitAnswer, UnitPermit};

use super::actor_record::timeout_at_start;
use super::app_connection::AppConnection;
use super::app_file::StatementTags;
use super::process_activity::is_at_work;
use super::reactions::Reactions;
use super::step_text::normalized;
use crate::explore::file::clock::of_words;
use crate::explore::run::monitor::ActorBackends;
use crate::explore::schedule::Actor;
use crate::explore::sql_words::{TransactionControl, statements, transaction_control};

/// An application, as its proxy shows it.
#[derive(Debug)]
pub struct ServiceLink {
    pub connections: BTreeMap<ConnectionId, ServiceConnection>,
    units: BTreeMap<(ConnectionId, u64), SentUnit>,
    pub reactions: Reactions,
    /// Statements that come when no request is under way, without their literals.
    pub background: BTreeSet<String>,
    /// Texts of statements that belong to no request.
    ignore: Vec<String>,
    pub tags: StatementTags,
    /// Its process groups.
    pub groups: Vec<Pid>,
    /// The server processes, for the monitor.
    pub backends: ActorBackends,
    default_level: String,
    /// Timeouts that its connections set, by themselves or when they are opened.
    pub timeouts: BTreeSet<String>,
    /// Why statements of it cannot be seen, if that is so.
    pub trouble: Option<String>,
    /// Statements that came and belong to no request, without their literals.
    pub strangers: BTreeSet<String>,
}

/// A connection of the application's pool.
#[derive(Debug)]
pub struct ServiceConnection {
    pub connection: AppConnection,
    /// The request that used it last, by its index in the interleaving.
    pub owner: Option<usize>,
    /// What it sends until it is outside a transaction belongs to no request.
    is_of_no_request: bool,
}

/// A unit that is not answered.
#[derive(Debug)]
pub struct SentUnit {
    pub unit: Arc<ClientUnit>,
    /// The request that sent it.
    pub request: Option<usize>,
}

impl ServiceLink {
    /// An application that has no connection yet.
    pub fn new(ignore: &[String], tags: StatementTags, default_level: String, backends: ActorBackends) -> Self {
        Self {
            connections: BTreeMap::new(),
            units: BTreeMap::new(),
            reactions: Reactions::default(),
            background: BTreeSet::new(),
            ignore: ignore.iter().map(|text| plain(text)).collect(),
            tags,
            groups: Vec::new(),
            backends,
            default_level,
            timeouts: BTreeSet::new(),
            trouble: None,
            strangers: BTreeSet::new(),
        }
    }

    pub fn accepted(&mut self, id: ConnectionId) {
        let connection = AppConnection::new(&self.default_level);
        self.connections.insert(id, ServiceConnection { connection, owner: None, is_of_no_request: false });
    }

    pub fn opened(&mut self, id: ConnectionId, startup: &StartupPacket) {
        if let Some(found) = self.connections.get_mut(&id) {
            for (name, value) in &startup.parameters {
                found.connection.start_with(name, value);
            }
        }
        let timeouts = startup.parameters.iter().filter_map(|(name, value)| timeout_at_start(name, value));
        self.timeouts.extend(timeouts.map(|timeout| format!("the application sets {timeout} when it connects")));
    }

    pub fn ready(&mut self, id: ConnectionId, backend_pid: i32) {
        if let Some(found) = self.connections.get_mut(&id) {
            found.connection.ready(backend_pid);
        }
    }

    /// A connection has ended. Returns the request that used it last.
    pub fn closed(&mut self, id: ConnectionId) -> Option<usize> {
        self.units.retain(|(connection, _), _| *connection != id);
        let found = self.connections.remove(&id)?;
        found.connection.pid.into_iter().for_each(|pid| self.backends.remove(pid));
        found.owner
    }

    /// A unit of a request is about to go, or waits.
    pub fn arrived(&mut self, id: ConnectionId, unit: &Arc<ClientUnit>, of: Option<(usize, Actor)>) {
        let request = of.map(|(request, _)| request);
        self.units.insert((id, unit.number), SentUnit { unit: Arc::clone(unit), request });
        let Some(found) = self.connections.get_mut(&id) else { return };
        if let Some((request, actor)) = of {
            found.owner = Some(request);
            found.connection.pid.into_iter().for_each(|pid| self.backends.insert(pid, actor));
        }
    }

    /// A unit goes to the server.
    pub fn forwarded(&mut self, id: ConnectionId, is_step: bool) {
        if let Some(found) = self.connections.get_mut(&id) {
            found.connection.forwarded(is_step);
        }
    }

    /// A unit goes at once, because it belongs to no request.
    pub fn pass(&mut self, id: ConnectionId, unit: &Arc<ClientUnit>, permit: Option<UnitPermit>) {
        self.arrived(id, unit, None);
        self.forwarded(id, true);
        if let Some(permit) = permit {
            permit.release();
        }
    }

    /// A unit was answered. Returns it, and the connection as it was before.
    pub fn answered(&mut self, id: ConnectionId, answer: &UnitAnswer) -> Option<(SentUnit, AppConnection)> {
        let sent = self.units.remove(&(id, answer.unit))?;
        let found = self.connections.get_mut(&id)?;
        let before = found.connection.clone();
        found.connection.answered(&sent.unit, answer);
        Some((sent, before))
    }

    /// The request in whose transaction a connection is.
    pub fn in_transaction_of(&self, id: ConnectionId) -> Option<usize> {
        let found = self.connections.get(&id).filter(|found| !found.connection.is_idle())?;
        found.owner
    }

    /// The connections on which a request has left its transaction open.
    pub fn open_transactions(&self, request: usize) -> usize {
        let is_open = |found: &&ServiceConnection| found.owner == Some(request) && !found.connection.is_idle();
        self.connections.values().filter(is_open).count()
    }

    /// Whether a connection is being opened.
    pub fn is_connecting(&self) -> bool {
        self.connections.values().any(|found| found.connection.pid.is_none())
    }

    /// Whether a unit belongs to no request: the user says so, or the time before the first request. It decides for the rest of its
    /// transaction, whose beginning may have seemed to be that of a request.
    pub fn is_of_no_request(&mut self, id: ConnectionId, unit: &ClientUnit) -> bool {
        let Some(found) = self.connections.get_mut(&id) else { return false };
        if found.connection.is_idle() {
            found.is_of_no_request = false;
        }
        if found.is_of_no_request {
            return true;
        }
        // The transaction of a request has done something by then.
        if found.owner.is_some() && !found.connection.ends_nothing() {
            return false;
        }
        let text = normalized(unit);
        let sql = plain(&unit.sql());
        let is_of_no_request =
            self.background.contains(&text) || self.ignore.iter().any(|ignored| sql.contains(ignored));
        if is_of_no_request {
            found.is_of_no_request = true;
            found.owner = None;
        }
        is_of_no_request
    }

    /// A unit came without a request, before the first one was sent. What only begins or ends a transaction tells nothing.
    pub fn learn_background(&mut self, texts: BTreeSet<String>) {
        let is_control =
            |text: &String| transaction_control(text) != TransactionControl::None || text.starts_with("savepoint");
        self.background.extend(texts.into_iter().filter(|text| !is_control(text)));
    }

    /// Takes over what a unit sets, whoever sends it.
    pub fn note_timeouts(&mut self, unit: &ClientUnit) {
        for words in statements(&unit.sql()).iter().filter(|words| words[0] == "set") {
            self.timeouts.extend(of_words(words).map(|what| format!("the application sends {} {what}", words[0])));
        }
    }

    /// Whether the server has not answered all units, or a transaction is open.
    pub fn is_under_way(&self) -> bool {
        !self.units.is_empty() || self.connections.values().any(|found| !found.connection.is_idle())
    }

    /// Whether a session may have advisory locks.
    pub fn may_have_advisory_locks(&self) -> bool {
        self.connections.values().any(|found| found.connection.has_advisory_locks)
    }

    /// No request uses a connection any more.
    pub fn forget_owners(&mut self) {
        self.units.values_mut().for_each(|sent| sent.request = None);
        for found in self.connections.values_mut() {
            found.owner = None;
            found.connection.pid.into_iter().for_each(|pid| self.backends.remove(pid));
        }
    }

    /// Whether no thread of the application has anything to do, and no connection is being opened.
    pub fn is_at_rest(&self) -> bool {
        !self.is_connecting() && !is_at_work(&self.groups)
    }
}

/// A text in lower case, with single spaces.
fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}
