//! Which units of an application are steps.
//!
//! A unit that no other session can notice, and whose answer no other session can change, is forwarded at once: a step more would only
//! multiply the interleavings. In doubt a unit is a step.
//!
//! | unit | rule |
//! |---|---|
//! | BEGIN, START TRANSACTION | no step, unless a command may read when its transaction began |
//! | SET, SHOW, RESET, DEALLOCATE, SAVEPOINT, RELEASE, CLOSE, LISTEN, UNLISTEN | no step, except SET CONSTRAINTS and SET TRANSACTION SNAPSHOT |
//! | DISCARD, `pg_advisory_unlock_all` | no step, unless the session may hold advisory locks |
//! | ROLLBACK and COMMIT outside a transaction, or of one without a step | no step |
//! | SELECT of constants and of settings; look-ups in the system catalogs | no step where they take no snapshot that is used again; look-ups only if no command changes more than rows |
//! | a unit that only prepares | no step; where it takes a snapshot that is used again, the beginning of the step that executes it |

use std::collections::BTreeSet;

use postgres_proxy::{ClientUnit, ClientUnitKind};

use super::app_connection::{AppConnection, UNLOCKS_ALL};
use crate::explore::file::clock::reads_the_clock;
use crate::explore::file::transaction_state::SESSION_FUNCTIONS;
use crate::explore::sql_words::{Words, statements};

/// The beginnings of functions and views that show or change what other sessions do.
const OF_OTHERS: &[&str] = &[
    "dblink",
    "lo_",
    "loread",
    "lowrite",
    "nextval",
    "setval",
    "lastval",
    "currval",
    "pg_advisory",
    "pg_cancel",
    "pg_cursors",
    "pg_current",
    "pg_export",
    "pg_largeobject",
    "pg_locks",
    "pg_notify",
    "pg_prepared",
    "pg_sequence",
    "pg_sleep",
    "pg_stat",
    "pg_terminate",
    "pg_try",
    "pg_visible",
    "txid",
    "query_to_xml",
    "table_to_xml",
];

/// What decides which units are steps. It does not change during an exploration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRules {
    /// A command may read when its transaction began.
    pub begin_is_a_step: bool,
    /// A command may change what look-ups in the system catalogs return.
    pub lookup_is_a_step: bool,
    /// The names of the application's tables, views and functions.
    pub own_names: BTreeSet<String>,
}

impl StepRules {
    /// The rules for commands of which nothing is known.
    #[must_use]
    pub fn cautious(own_names: BTreeSet<String>) -> Self {
        Self { begin_is_a_step: true, lookup_is_a_step: true, own_names }
    }

    /// Whether a unit waits until its command's next step is let go.
    #[must_use]
    pub fn is_step(&self, unit: &ClientUnit, connection: &AppConnection) -> bool {
        if matches!(unit.kind, ClientUnitKind::FunctionCall | ClientUnitKind::Unfinished) {
            return true;
        }
        let of_words = |sql: &str| self.is_step_by_its_words(sql, unit, connection);
        if unit.is_housekeeping() {
            let prepares = unit.parses.iter().any(|sql| sql.cut || of_words(&sql.text));
            return prepares && connection.may_keep_a_snapshot(unit);
        }
        // A Sync that commits.
        let commits = unit.ends_implicit_transaction && unit.execution_count == 0;
        let unknown = unit.execution_count > unit.executions.len() as u64;
        let of_execution = |sql: Option<&str>| sql.is_none_or(of_words);
        commits
            || unknown
            || unit.executions.iter().any(|execution| {
                let sql = execution.sql.as_ref().filter(|sql| !sql.cut);
                of_execution(sql.map(|sql| sql.text.as_str()))
            })
    }

    fn is_step_by_its_words(&self, sql: &str, unit: &ClientUnit, connection: &AppConnection) -> bool {
        let statements = statements(sql);
        if statements.is_empty() {
            // A text that cannot be split into tokens has no statements either.
            return !sql.trim().trim_end_matches(';').trim().is_empty();
        }
        !statements.iter().all(|words| self.passes(words, unit, connection))
    }

    fn passes(&self, words: &Words, unit: &ClientUnit, connection: &AppConnection) -> bool {
        let has = |wanted: &str| words.iter().any(|word| word == wanted);
        match words[0].as_str() {
            "begin" | "start" => !self.begin_is_a_step,
            "set" => !has("constraints") && !has("snapshot"),
            "show" | "reset" | "deallocate" | "savepoint" | "release" | "close" | "listen" | "unlisten" => true,
            "discard" => !connection.has_advisory_locks,
            "rollback" | "abort" | "commit" | "end" => connection.ends_nothing() && !has("prepared"),
            "select" if words.get(1).is_some_and(|name| name == UNLOCKS_ALL) && words.len() == 4 => {
                !connection.has_advisory_locks && !connection.may_keep_a_snapshot(unit)
            }
            "select" | "with" => {
                !connection.may_keep_a_snapshot(unit)
                    && !has("into")
                    && !has("for")
                    && !reads_the_clock(words)
                    && (is_of_the_session(words) || !self.lookup_is_a_step && self.is_lookup(words))
            }
            _ => false,
        }
    }

    /// Whether a SELECT reads the system catalogs only: it names one of them, and nothing of the application's.
    fn is_lookup(&self, words: &[String]) -> bool {
        let plain = |word: &String| word.trim_matches('"').to_ascii_lowercase();
        let names: Vec<String> = words.iter().map(plain).collect();
        let system = names.iter().any(|name| name.starts_with("pg_") || name == "information_schema");
        let changes = names.iter().any(|name| matches!(name.as_str(), "insert" | "update" | "delete" | "merge"));
        let of_others = |name: &String| OF_OTHERS.iter().any(|beginning| name.starts_with(beginning));
        system && !changes && !names.iter().any(|name| self.own_names.contains(name) || of_others(name))
    }
}

/// Whether a SELECT has no FROM, and calls only functions of the session.
fn is_of_the_session(words: &[String]) -> bool {
    let is_name =
        |word: &String| word.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_' || first == '"');
    let calls = words.iter().zip(words.iter().skip(1)).filter(|(name, next)| is_name(name) && *next == "(");
    words[0] == "select"
        && !words.iter().any(|word| word == "from" || word == "table")
        && calls.map(|(name, _)| name).all(|name| SESSION_FUNCTIONS.contains(&name.as_str()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use postgres_proxy::{KeptText, UnitExecution};

    use super::*;

    fn kept(sql: &str) -> Arc<KeptText> {
        Arc::new(KeptText { text: sql.to_owned(), cut: false })
    }

    fn query(sql: &str) -> ClientUnit {
        let execution = UnitExecution { sql: Some(kept(sql)), statement: None, values: Vec::new(), max_rows: 0 };
        ClientUnit {
            number: 1,
            kind: ClientUnitKind::Query,
            executions: vec![execution],
            execution_count: 1,
            parses: Vec::new(),
            ends_implicit_transaction: false,
            bytes: 0,
        }
    }

    fn prepares(sql: &str, kind: ClientUnitKind) -> ClientUnit {
        ClientUnit { kind, executions: Vec::new(), execution_count: 0, parses: vec![kept(sql)], ..query(sql) }
    }

    fn rules() -> StepRules {
        let own_names = BTreeSet::from(["accounts".to_owned(), "pg_accounts".to_owned()]);
        StepRules { begin_is_a_step: false, lookup_is_a_step: false, own_names }
    }

    fn idle(level: &str) -> AppConnection {
        let mut connection = AppConnection::new(level);
        connection.ready(7);
        connection
    }

    /// In a transaction block: something is in flight, so that nothing is known for certain.
    fn open(level: &str) -> AppConnection {
        let mut connection = idle(level);
        connection.forwarded(true);
        connection
    }

    #[test]
    fn what_no_other_session_notices_is_no_step() {
        for (sql, expected) in [
            ("select balance from accounts", true),
            ("update accounts set balance = 1", true),
            ("BEGIN", false),
            ("begin; update accounts set balance = 1", true),
            ("set search_path = a", false),
            ("set constraints all immediate", true),
            ("show server_version", false),
            ("SELECT 1", false),
            ("select current_setting('server_version'), version()", false),
            ("select nextval('s')", true),
            ("select pg_advisory_lock(1)", true),
            ("select now()", true),
            ("select oid from pg_type where typname = 'hstore'", false),
            ("select t.oid from pg_catalog.pg_type t join accounts a on true", true),
            ("select * from \"pg_accounts\"", true),
            ("select * from pg_locks", true),
            ("with x as (delete from pg_type returning 1) select * from x", true),
            ("discard all", false),
            ("SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;", false),
            ("ROLLBACK", false),
            ("commit prepared 'x'", true),
            (";", false),
            ("select 'unterminated", true),
            ("call transfer()", true),
        ] {
            assert_eq!(rules().is_step(&query(sql), &idle("read committed")), expected, "{sql}");
        }
        assert!(rules().is_step(&query("rollback"), &open("read committed")));
        for (did_a_step, expected) in [(false, false), (true, true)] {
            let connection = idle("read committed").in_a_block(did_a_step);
            assert_eq!(rules().is_step(&query("commit"), &connection), expected);
        }
    }

    #[test]
    fn begin_and_lookups_are_steps_where_they_matter() {
        let cautious = StepRules::cautious(BTreeSet::new());
        for sql in ["begin", "select oid from pg_type"] {
            assert!(cautious.is_step(&query(sql), &idle("read committed")), "{sql}");
            assert!(!rules().is_step(&query(sql), &idle("read committed")), "{sql}");
        }
        assert!(!cautious.is_step(&query("select 1"), &idle("read committed")));
    }

    #[test]
    fn a_unit_that_only_prepares_is_held_where_it_takes_a_snapshot_that_is_used_again() {
        let select = prepares("select balance from accounts", ClientUnitKind::Sync);
        assert!(!rules().is_step(&select, &idle("repeatable read")), "its snapshot ends with the Sync");
        assert!(!rules().is_step(&select, &open("read committed")));
        assert!(rules().is_step(&select, &open("repeatable read")));
        let flushed = prepares("select balance from accounts", ClientUnitKind::Flush);
        assert!(rules().is_step(&flushed, &idle("serializable")));
        assert!(!rules().is_step(&prepares("begin", ClientUnitKind::Sync), &open("serializable")));
        assert!(rules().is_step(&query("select 1"), &open("repeatable read")));
    }

    #[test]
    fn a_session_with_advisory_locks_gives_them_up_in_a_step() {
        let mut connection = idle("read committed");
        connection.has_advisory_locks = true;
        assert!(rules().is_step(&query("discard all"), &connection));
        assert!(rules().is_step(&query("select pg_advisory_unlock_all()"), &connection));
    }
}
