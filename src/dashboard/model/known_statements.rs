//! Recognises the lab's own statements in the query texts that PostgreSQL shows.

use std::sync::LazyLock;

use strum::IntoEnumIterator as _;

use crate::session::idempotency_key;
use crate::session::statement::{COMMIT, ITS_COMMIT, Isolation, ROLLBACK, Statement};
use crate::strategy::{Approach, CANCEL, READ_BALANCE, READ_COUNTER, READ_EVENT};

/// PostgreSQL cuts a query text at `track_activity_query_size`, which is at least 100 bytes including the terminating zero. A shorter text is whole.
const CUT_MIN: usize = 99;

/// Approaches that are named; the others are counted.
const NAMED_MAX: usize = 3;

/// A statement, and the approaches that send it.
#[derive(Debug)]
struct KnownStatement {
    statement: Statement,
    /// Empty if every approach sends it.
    of: Vec<Approach>,
}

static KNOWN: LazyLock<Vec<KnownStatement>> = LazyLock::new(|| {
    let shared = [COMMIT, ITS_COMMIT, ROLLBACK, READ_BALANCE, READ_COUNTER, READ_EVENT, CANCEL];
    let begins = Isolation::iter().map(|isolation| *isolation.begin());
    let common = shared.into_iter().chain(begins).chain(idempotency_key::STATEMENTS.iter().copied());
    let mut known: Vec<KnownStatement> = common.map(|statement| KnownStatement { statement, of: Vec::new() }).collect();
    let common = known.len();
    for approach in Approach::iter() {
        for statement in approach.info().statements {
            let same =
                |one: &&mut KnownStatement| one.statement.sql == statement.sql && one.statement.name == statement.name;
            match known.iter_mut().find(same) {
                Some(one) if !one.of.is_empty() => one.of.push(approach),
                // A common statement.
                Some(_) => {}
                None => known.push(KnownStatement { statement: *statement, of: vec![approach] }),
            }
        }
    }
    debug_assert!(known[..common].iter().all(|one| one.of.is_empty()), "a common statement belongs to no approach");
    known
});

/// The name of a query text, such as `lock of pessimistic`, if it is one of the lab's statements. If several approaches send it, they are all
/// named; but if the run under way is on one of them, only that one is.
#[must_use]
pub fn name(query: &str, under_way: Option<&str>) -> Option<String> {
    let fits = |one: &&KnownStatement| {
        let sql = one.statement.sql;
        sql == query || query.len() >= CUT_MIN && sql.starts_with(query)
    };
    let fitting: Vec<&KnownStatement> = KNOWN.iter().filter(fits).collect();
    let its = |one: &&&KnownStatement| one.of.iter().any(|approach| Some(approach.name()) == under_way);
    if let (Some(one), Some(approach)) = (fitting.iter().find(its), under_way) {
        return Some(format!("{} of {approach}", one.statement.name));
    }
    let names: Vec<String> = fitting.into_iter().map(KnownStatement::name).collect();
    (!names.is_empty()).then(|| names.join("; "))
}

impl KnownStatement {
    fn name(&self) -> String {
        let name = self.statement.name;
        let names: Vec<&str> = self.of.iter().take(NAMED_MAX).map(|approach| approach.name()).collect();
        match self.of.len().saturating_sub(names.len()) {
            _ if names.is_empty() => name.to_owned(),
            0 => format!("{name} of {}", names.join(", ")),
            more => format!("{name} of {} and {more} more", names.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_named_by_statement_and_approach_and_an_unknown_one_is_not() {
        let lock = "select balance, version from users where id = $1 for update";
        let write = "update users set balance = $2, version = version + 1 where id = $1 returning balance, version";
        let table = [
            ("commit", None, Some("commit")),
            ("begin isolation level serializable", None, Some("begin")),
            (lock, None, Some("lock of pessimistic")),
            (write, Some("read-committed"), Some("write of read-committed")),
            (write, Some("group-commit"), name(write, None).as_deref()),
            ("commit", Some("naive"), Some("commit")),
            ("select 1", None, None),
            ("", None, None),
            ("select balance", None, None),
            ("<insufficient privilege>", None, None),
        ]
        .map(|(query, under_way, expected)| (query, under_way, expected.map(str::to_owned)));
        for (query, under_way, expected) in table {
            assert_eq!(name(query, under_way), expected, "{query} under {under_way:?}");
        }
        let several = name(write, None).unwrap_or_default();
        assert!(several.starts_with("write of naive, read-committed, ") && several.ends_with(" more"), "{several}");
    }

    #[test]
    fn a_cut_text_is_recognised_and_every_statement_has_a_name() {
        for approach in Approach::iter() {
            for statement in approach.info().statements {
                let cut: String = statement.sql.chars().take(CUT_MIN).collect();
                for text in [statement.sql, &cut] {
                    let found = name(text, Some(approach.name()));
                    assert!(
                        found.is_some_and(|found| found.contains(statement.name) || found.contains(" of ")),
                        "{text}"
                    );
                }
            }
        }
    }
}
