//! What is known of one connection of an application: its transaction, and its isolation level.

use postgres_proxy::{BlockStatus, ClientUnit, ClientUnitKind, UnitAnswer};

use crate::explore::file::transaction_state::TransactionState;
use crate::explore::sql_words::{Words, statements};

/// The level at which each statement has a snapshot of its own.
const READ_COMMITTED: &str = "read committed";

/// The function that gives up all advisory locks of a session. Drivers call it before a connection returns to its pool.
pub const UNLOCKS_ALL: &str = "pg_advisory_unlock_all";

/// An isolation level that the words do not tell.
const UNKNOWN: &str = "an isolation level that the explorer cannot tell";

/// A connection of an application.
#[derive(Debug, Clone)]
pub struct AppConnection {
    /// The process of the server, once it is known.
    pub pid: Option<i32>,
    /// The status of its transaction block after the last answer; none if it is not known.
    status: Option<BlockStatus>,
    /// Units that were forwarded and are not answered.
    in_flight: usize,
    /// A step was forwarded in the open transaction, so that its end matters to others.
    has_taken_a_step: bool,
    /// The level of transactions that name none.
    session_level: String,
    /// The level of the open transaction, if it names one.
    transaction_level: Option<String>,
    /// It may hold advisory locks of its session.
    pub has_advisory_locks: bool,
    /// The transaction, as its statements tell it.
    pub transaction: TransactionState,
}

impl AppConnection {
    /// A connection that is being opened. The level is the database's default.
    #[must_use]
    pub fn new(default_level: &str) -> Self {
        Self {
            pid: None,
            status: None,
            in_flight: 0,
            has_taken_a_step: false,
            session_level: default_level.to_owned(),
            transaction_level: None,
            has_advisory_locks: false,
            transaction: TransactionState::default(),
        }
    }

    /// Its startup packet sets this parameter.
    pub fn start_with(&mut self, name: &str, value: &str) {
        let of_isolation = name == "default_transaction_isolation" || value.contains("isolation");
        if of_isolation {
            UNKNOWN.clone_into(&mut self.session_level);
        }
    }

    /// It is ready for its first unit.
    pub fn ready(&mut self, pid: i32) {
        self.pid = Some(pid).filter(|pid| *pid != 0);
        self.status = Some(BlockStatus::Idle);
    }

    /// The same in a transaction block.
    #[cfg(test)]
    #[must_use]
    pub fn in_a_block(self, has_taken_a_step: bool) -> Self {
        Self { status: Some(BlockStatus::InBlock), has_taken_a_step, ..self }
    }

    /// A unit goes to the server.
    pub fn forwarded(&mut self, is_step: bool) {
        self.in_flight += 1;
        self.has_taken_a_step |= is_step;
    }

    /// The server has answered a unit.
    pub fn answered(&mut self, unit: &ClientUnit, answer: &UnitAnswer) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.status = answer.status;
        for execution in &unit.executions {
            let Some(sql) = &execution.sql else { continue };
            let succeeded = answer.error.is_none();
            self.transaction.follow(&sql.text, succeeded);
            for words in &*statements(&sql.text) {
                self.follow(words);
            }
        }
        if answer.status == Some(BlockStatus::Idle) {
            self.transaction_level = None;
            self.has_taken_a_step = false;
        }
    }

    fn follow(&mut self, words: &Words) {
        if words.iter().any(|word| word == UNLOCKS_ALL) {
            self.has_advisory_locks = false;
        } else {
            self.has_advisory_locks |= words.iter().any(|word| word.contains("advisory"));
        }
        let Some(level) = level_of(words) else { return };
        let of_session = words.iter().any(|word| {
            matches!(word.trim_matches(['"', '\'']), "session" | "default_transaction_isolation" | "set_config")
        });
        if of_session { self.session_level = level } else { self.transaction_level = Some(level) }
    }

    /// Its last answer was outside a transaction block.
    #[must_use]
    pub fn is_outside_a_transaction(&self) -> bool {
        self.status == Some(BlockStatus::Idle)
    }

    /// Outside a transaction block for certain, and nothing is in flight.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.status == Some(BlockStatus::Idle)
    }

    /// Outside a transaction block for certain, or in one that has done nothing that matters to others; and nothing is in flight.
    #[must_use]
    pub fn ends_nothing(&self) -> bool {
        self.is_idle() || self.in_flight == 0 && self.status.is_some() && !self.has_taken_a_step
    }

    /// The isolation level of its next statement.
    #[must_use]
    pub fn level(&self) -> &str {
        self.transaction_level.as_ref().unwrap_or(&self.session_level)
    }

    /// Whether the first statement that this unit runs or prepares could take a snapshot that later ones use.
    #[must_use]
    pub fn may_keep_a_snapshot(&self, unit: &ClientUnit) -> bool {
        let stays_open = !self.is_idle() || unit.kind == ClientUnitKind::Flush;
        stays_open && self.level() != READ_COMMITTED && self.level() != "read uncommitted"
    }
}

/// The isolation level that a statement names.
fn level_of(words: &[String]) -> Option<String> {
    let plain = |at: usize| words.get(at).map(|word| word.trim_matches(['"', '\'']).to_ascii_lowercase());
    let first = plain(0)?;
    if !matches!(first.as_str(), "begin" | "start" | "set" | "select" | "reset" | "discard" | "alter") {
        return None;
    }
    let at = (0..words.len()).find(|at| plain(*at).is_some_and(|word| word.contains("isolation")))?;
    let behind =
        (at + 1..words.len()).filter_map(plain).filter(|word| !matches!(word.as_str(), "level" | "=" | "to" | ","));
    let text = behind.take(2).collect::<Vec<_>>().join(" ");
    let known = ["serializable", "repeatable read", READ_COMMITTED, "read uncommitted"];
    let level = known.into_iter().find(|level| text.starts_with(level));
    match first.as_str() {
        // A look at the setting.
        "select" if !words.iter().any(|word| word == "set_config") => None,
        _ => Some(level.unwrap_or(UNKNOWN).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_that_a_statement_names_is_found() {
        for (sql, expected) in [
            ("BEGIN ISOLATION LEVEL REPEATABLE READ", Some("repeatable read")),
            ("start transaction isolation level serializable, read write", Some("serializable")),
            ("set session characteristics as transaction isolation level read committed", Some("read committed")),
            ("set default_transaction_isolation = 'serializable'", Some("serializable")),
            ("set default_transaction_isolation to default", Some(UNKNOWN)),
            ("select set_config('default_transaction_isolation', 'repeatable read', false)", Some("repeatable read")),
            ("select current_setting('transaction_isolation')", None),
            ("update t set isolation = 'serializable'", None),
            ("begin", None),
        ] {
            assert_eq!(level_of(&statements(sql)[0]).as_deref(), expected, "{sql}");
        }
    }
}
