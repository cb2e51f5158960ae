//! The transaction of a session, as its statements say: the driver does not expose the server's answer.

use crate::explore::search::independence::{is_harmless_call, is_plain_read};
use crate::explore::sql_words::{TransactionControl, Words, one_statement, statements, transaction_control};

/// The transaction of a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TransactionState {
    /// One is open.
    pub open: bool,
    /// A statement failed in it, so that its COMMIT rolls back.
    pub failed: bool,
    /// A statement in it may have changed something.
    pub changed: bool,
}

/// What a statement did to the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionStep {
    /// It has committed something that may be a change.
    pub committed_change: bool,
    /// It was a COMMIT, and rolled back.
    pub rolled_back: bool,
}

impl TransactionState {
    /// A transaction that has just begun.
    #[must_use]
    pub fn begun() -> Self {
        Self { open: true, ..Self::default() }
    }

    /// Follows what a statement did.
    pub fn follow(&mut self, sql: &str, succeeded: bool) -> TransactionStep {
        let before = *self;
        let control = transaction_control(sql);
        let may_change = control == TransactionControl::None && may_change(sql);
        let first = |word: &str| one_statement(sql).is_some_and(|words| words[0] == word);
        let mut step = TransactionStep { committed_change: false, rolled_back: false };
        let several = statements(sql);
        let begins = |words: &Words| matches!(words[0].as_str(), "begin" | "start");
        if !succeeded && several.len() > 1 && (before.open || several.iter().any(begins)) {
            // It may have failed before or after its BEGIN or COMMIT. A needless ROLLBACK does nothing.
            *self = Self { open: true, failed: true, changed: before.changed };
            return step;
        }
        match control {
            // A failed COMMIT rolls back.
            TransactionControl::Ends => {
                let commits = first("commit") || first("end") || first("prepare");
                step.committed_change = succeeded && !before.failed && before.changed && commits;
                step.rolled_back = commits && before.open && before.failed && succeeded;
                *self = Self::default();
            }
            TransactionControl::Opens if succeeded => {
                // COMMIT AND CHAIN ends one, too.
                step.committed_change = before.open && !before.failed && before.changed;
                *self = Self::begun();
            }
            TransactionControl::None if before.open => {
                self.changed |= succeeded && may_change;
                let to_savepoint = first("rollback");
                self.failed = !succeeded || before.failed && !to_savepoint;
            }
            TransactionControl::None => step.committed_change = succeeded && may_change,
            TransactionControl::Opens => {}
        }
        step
    }
}

/// Statements that change nothing but their own session, by their first word.
const OF_THE_SESSION: &[&str] = &[
    "close",
    "deallocate",
    "declare",
    "discard",
    "fetch",
    "listen",
    "lock",
    "move",
    "prepare",
    "release",
    "reset",
    "rollback",
    "savepoint",
    "set",
    "show",
    "unlisten",
];

/// Functions whose result depends on the session only, and that change no other.
pub const SESSION_FUNCTIONS: &[&str] = &[
    "version",
    "current_schema",
    "current_schemas",
    "current_database",
    "current_setting",
    "set_config",
    "pg_backend_pid",
    "pg_is_in_recovery",
];

/// Further functions with which drivers look into the catalog.
const LOOK_UPS: &[&str] = &[
    "array_length",
    "array_to_string",
    "col_description",
    "format_type",
    "generate_subscripts",
    "obj_description",
    "pg_encoding_to_char",
    "pg_table_is_visible",
    "to_regclass",
    "to_regtype",
];

/// Whether a text may change something that other sessions can see. In doubt it may.
#[must_use]
pub fn may_change(sql: &str) -> bool {
    if is_plain_read(sql) {
        return false;
    }
    let statements = statements(sql);
    // A text that cannot be split into tokens has no statements.
    statements.is_empty()
        || !statements.iter().all(|words| OF_THE_SESSION.contains(&words[0].as_str()) || is_look_up(words))
}

/// A query that calls only functions that are known to change nothing.
fn is_look_up(words: &[String]) -> bool {
    let is_name = |word: &str| word.starts_with(|first: char| first.is_alphabetic() || first == '_' || first == '"');
    let harmless = |name: &str| {
        is_harmless_call(name)
            || SESSION_FUNCTIONS.contains(&name)
            || LOOK_UPS.contains(&name)
            || name.starts_with("pg_get_")
    };
    let calls = words.windows(2).filter(|pair| pair[1] == "(" && is_name(&pair[0]));
    let changes = |word: &String| matches!(word.as_str(), "into" | "for" | "insert" | "update" | "delete" | "merge");
    matches!(words[0].as_str(), "select" | "with" | "values" | "table")
        && !words.iter().any(changes)
        && calls.map(|pair| pair[0].as_str()).all(harmless)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The statements, the state after them, and of the last one whether it committed a change, and whether it rolled back.
    type Followed<'a> = (&'a [(&'a str, bool)], TransactionState, (bool, bool));

    #[test]
    fn settings_and_look_ups_change_nothing() {
        for (sql, expected) in [
            ("set timezone = 'UTC'", false),
            ("show transaction_isolation", false),
            ("select version()", false),
            ("select pg_catalog.version()", false),
            ("select t.oid from pg_type t where typname = any($1)", false),
            ("select set_config('search_path', '', false)", false),
            ("select round(n, 2) from pad", false),
            ("with p as (select n from pad) select n from p", false),
            ("with p as (delete from pad returning n) select n from p", true),
            ("select pg_advisory_lock(1)", true),
            ("select count(*) into copied from t", true),
            ("select book('a')", true),
            ("execute booking", true),
            ("set timezone = 'UTC'; update t set n = 1", true),
            ("select 'unterminated", true),
        ] {
            assert_eq!(TransactionState::default().follow(sql, true).committed_change, expected, "{sql}");
        }
    }

    #[test]
    fn a_transaction_is_followed_through_its_statements() {
        let table: [Followed<'_>; 10] = [
            (
                &[("begin; update t set n = 1; commit", false)],
                TransactionState { failed: true, ..TransactionState::begun() },
                (false, false),
            ),
            (&[("begin", true)], TransactionState::begun(), (false, false)),
            (&[("update t set n = 1", true)], TransactionState::default(), (true, false)),
            (&[("select 1", true)], TransactionState::default(), (false, false)),
            (
                &[("begin", true), ("update t set n = 1", true)],
                TransactionState { changed: true, ..TransactionState::begun() },
                (false, false),
            ),
            (
                &[("begin", true), ("update t set n = 1", true), ("commit", true)],
                TransactionState::default(),
                (true, false),
            ),
            (
                &[("begin", true), ("update t set n = 1", false), ("commit", true)],
                TransactionState::default(),
                (false, true),
            ),
            (
                &[("begin", true), ("update t set n = 1", true), ("rollback", true)],
                TransactionState::default(),
                (false, false),
            ),
            (
                &[("begin", true), ("update t set n = 1", true), ("commit and chain", true)],
                TransactionState::begun(),
                (true, false),
            ),
            (
                &[("begin", true), ("select 1 / 0", false), ("rollback to s", true)],
                TransactionState::begun(),
                (false, false),
            ),
        ];
        for (statements, expected, (committed_change, rolled_back)) in table {
            let mut state = TransactionState::default();
            let steps: Vec<TransactionStep> = statements.iter().map(|(sql, ok)| state.follow(sql, *ok)).collect();
            assert_eq!(state, expected, "{statements:?}");
            assert_eq!(steps.last(), Some(&TransactionStep { committed_change, rolled_back }), "{statements:?}");
        }
    }
}
