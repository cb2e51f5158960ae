//! What the statements of a file access, so that a reduced search knows which of them share nothing.
//!
//! A statement accesses whole tables, unless every statement of every session that names a table picks one row of it by its primary key
//! (`where id = 1`): then each accesses that row. One statement that scans the table would find its rows in the order in which others have written
//! them, and an outcome without ORDER BY shows that order.

use std::collections::BTreeMap;

use super::schema_catalog::SchemaCatalog;
use super::script::{Script, ScriptStatement, SessionScript};
use super::template::SqlTemplate;
use crate::explore::search::access::{Access, Shareable, StatementAccess};
use crate::explore::search::independence::names_its_tables;
use crate::explore::sql_words::{TransactionControl, Words, one_statement, transaction_control};

/// Digits of a key at most: it is compared as text, and any integer of PostgreSQL's has fewer.
const KEY_DIGITS_MAX: usize = 18;

/// Words of a text that may change the isolation level of a session.
const OF_ISOLATION: &[&str] = &["isolation", "serializable", "repeatable"];

/// Words of a query whose result depends on the order in which rows are found.
const OF_ORDER: &[&str] = &[
    "array",
    "array_agg",
    "ctid",
    "fetch",
    "first_value",
    "json_agg",
    "json_object_agg",
    "jsonb_agg",
    "jsonb_object_agg",
    "lag",
    "last_value",
    "lead",
    "limit",
    "nth_value",
    "ntile",
    "offset",
    "row_number",
    "string_agg",
    "xmlagg",
];

/// What the statements of a file access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileAccess {
    catalog: SchemaCatalog,
    /// The tables of which every statement picks one row, with the column of the key.
    by_key: BTreeMap<String, String>,
}

impl FileAccess {
    /// Of these sessions; `None` if their statements do not tell, or not all of them are at READ COMMITTED.
    #[must_use]
    pub fn of(script: &Script, sessions: &[SessionScript], catalog: &SchemaCatalog) -> Option<Self> {
        let sent = sessions.iter().flat_map(|session| &session.statements).flat_map(ScriptStatement::templates);
        let sent: Vec<String> = sent.map(SqlTemplate::shape).collect();
        let setups = sessions.iter().any(|session| session.setup.is_some() || session.cut_after.is_some());
        let level = |sql: &String| {
            let sql = sql.to_ascii_lowercase();
            OF_ISOLATION.iter().any(|word| sql.contains(word)) && !begins_at_read_committed(&sql)
        };
        if setups || catalog.default_isolation != "read committed" || sent.iter().any(level) {
            return None;
        }
        let whole = Self { catalog: catalog.clone(), by_key: BTreeMap::new() };
        let accesses: Option<Vec<Access>> = sent.iter().map(|sql| whole.access(sql)).collect();
        let accesses = accesses?;
        let mut by_key = if finds_rows_in_any_order(script) { catalog.keys.clone() } else { BTreeMap::new() };
        for (sql, access) in sent.iter().zip(accesses) {
            for shared in access.reads.iter().chain(&access.writes) {
                if let Shareable::Relation(table) = shared
                    && by_key.get(table).is_some_and(|key| key_of(sql, table, key).is_none())
                {
                    by_key.remove(table);
                }
            }
        }
        Some(Self { by_key, ..whole })
    }

    /// A table, or the row of it that a statement picks.
    fn shared(&self, sql: &str, table: String) -> Shareable {
        match self.by_key.get(&table).and_then(|key| key_of(sql, &table, key)) {
            Some(key) => Shareable::Row { table, key },
            None => Shareable::Relation(table),
        }
    }
}

impl StatementAccess for FileAccess {
    fn access(&self, sql: &str) -> Option<Access> {
        if transaction_control(sql) != TransactionControl::None {
            // Several statements are none of these. COMMIT AND CHAIN ends a transaction and begins one.
            return one_statement(sql)
                .filter(|words| !words.iter().any(|word| word == "chain"))
                .map(|_| Access::default());
        }
        // A comment stands for what the words do not tell, such as a commit of its own.
        let words = one_statement(sql)?;
        if words.iter().any(|word| word == "information_schema") || !names_its_tables(sql) {
            return None;
        }
        let touched = self.catalog.touched(sql)?;
        let mut access = Access {
            reads: touched.reads.into_iter().map(|table| self.shared(sql, table)).collect(),
            writes: touched.writes.into_iter().map(|table| self.shared(sql, table)).collect(),
        };
        if words.iter().any(|word| word.starts_with("pg_advisory")) {
            access.writes.insert(Shareable::AdvisoryLocks);
        }
        Some(access)
    }
}

fn is_name(word: &str, name: &str) -> bool {
    word.trim_matches('"') == name
}

fn begins_at_read_committed(sql: &str) -> bool {
    let Some(words) = one_statement(sql) else { return false };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    matches!(
        words[..],
        ["begin", "isolation", "level", "read", "committed"]
            | ["start", "transaction", "isolation", "level", "read", "committed"]
    )
}

/// The invariants and the outcome of a file are the same, whatever the order in which they find the rows.
fn finds_rows_in_any_order(script: &Script) -> bool {
    let in_any_order = |sql: &str| {
        names_its_tables(sql)
            && one_statement(sql).is_some_and(|words| !words.iter().any(|word| OF_ORDER.contains(&word.as_str())))
    };
    let sorted = |sql: &str| {
        one_statement(sql).is_some_and(|words| words.windows(2).any(|pair| pair[0] == "order" && pair[1] == "by"))
    };
    script.outcome.as_ref().is_none_or(|outcome| in_any_order(outcome) && sorted(outcome))
        && script.invariants.iter().all(|invariant| in_any_order(&invariant.query.shape()))
}

/// The value of the key by which a statement picks one row of a table; `None` if it may access others, or changes the key.
fn key_of(sql: &str, table: &str, key: &str) -> Option<String> {
    let words: Words = one_statement(sql)?;
    let count = |wanted: &str| words.iter().filter(|word| is_name(word, wanted)).count();
    let at = words.iter().position(|word| word == "where")?;
    let (begins, from) = match words[0].as_str() {
        "update" => (is_name(words.get(1)?, table) && words.get(2)? == "set", 0),
        "delete" => (words.get(1)? == "from" && is_name(words.get(2)?, table), 1),
        "select" => (
            words
                .iter()
                .position(|word| word == "from")
                .is_some_and(|from| at == from + 2 && is_name(&words[from + 1], table)),
            1,
        ),
        _ => return None,
    };
    let reads_more = ["or", "union", "join", "using", "case", "intersect", "except", "only", "with"]
        .iter()
        .any(|word| count(word) > 0);
    let selects = usize::from(words[0] == "select");
    if !begins
        || reads_more
        || count("where") != 1
        || count("select") != selects
        || count("from") != from
        || count(table) != 1
    {
        return None;
    }
    // The key is not assigned.
    if words[0] == "update" && words[..at].iter().any(|word| is_name(word, key)) {
        return None;
    }
    let value = words.get(at + 3).filter(|_| is_name(&words[at + 1], key) && words[at + 2] == "=")?;
    let canonical = value == "0" || !value.starts_with('0');
    let integer = value.len() <= KEY_DIGITS_MAX && canonical && value.bytes().all(|byte| byte.is_ascii_digit());
    let ends = words.get(at + 4).is_none_or(|word| matches!(word.as_str(), "and" | "for" | "returning"));
    (integer && ends).then(|| value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_that_picks_one_row_by_its_key_is_recognised() {
        for (sql, expected) in [
            ("update t set n = n + 1 where id = 1", Some("1")),
            ("UPDATE \"t\" SET n = 5 WHERE id = 20 AND n > 3 returning id, n", Some("20")),
            ("select n from t where id = 1 for update", Some("1")),
            ("delete from t where id = 0", Some("0")),
            ("update t set n = 1 where id = 01", None),
            ("update t set n = 1 where id = null", None),
            ("update t set n = 1 where id = 1 + 1", None),
            ("update t set n = 1 where id = 1 or n = 2", None),
            ("update t set n = 1 where id = 1 and (true or n = 2)", None),
            ("update t set n = 1 where n = 1 and id = 1", None),
            ("update t set id = 2 where id = 1", None),
            ("update t set n = (select max(n) from t) where id = 1", None),
            ("update t set n = u.n from u where id = 1", None),
            ("select n from t, u where id = 1", None),
            ("select n from t as x where id = 1", None),
            ("select n from t where id = 1 union select n from t", None),
            ("select n from t", None),
            ("insert into t values (1)", None),
            ("update u set n = 1 where id = 1", None),
            ("update t set n = 1 where id = -1", None),
            ("update t set n = 1 where id = 1.0", None),
            ("update t set n = 1 where id = '1'", None),
            ("update t set n = 1 where id <> 1", None),
            ("update t set n = 1 where not id = 1", None),
        ] {
            assert_eq!(key_of(sql, "t", "id").as_deref(), expected, "{sql}");
        }
    }
}
