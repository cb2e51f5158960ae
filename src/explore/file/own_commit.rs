//! Statements outside a transaction, whose snapshot and commit another session's statement can come between.
//!
//! Such a statement takes its snapshot, changes rows, and commits. To split it into two steps doubles the interleavings, so it is split
//! only where that can matter. Let it read the tables R and change the tables W. A statement of another session that runs between the two
//! sees the tables as before. It is as if it had run first, unless some statement of others changes a table of R: then it would have
//! had to be seen. And it is as if it had run afterwards, unless some statement of others reads a table of W. Only where others do
//! both can the two not be put in an order. Or if others look at a sequence that it uses, which shows its new value before the commit.

use std::collections::BTreeSet;

use super::schema_catalog::SchemaCatalog;
use super::schema_code::may_end_a_transaction;
use super::script::{ScriptStatement, SessionScript};
use super::statement_access::FileAccess;
use crate::explore::search::access::{Access, Shareable, StatementAccess as _};
use crate::explore::search::independence::is_plain_read;
use crate::explore::sql_words::{TransactionControl, one_statement, transaction_control};

/// Statements that can run inside a transaction begun for them. CALL and DO can, unless they end transactions themselves.
const SPLITTABLE: &[&str] =
    &["call", "delete", "do", "execute", "insert", "merge", "select", "table", "update", "values", "with"];

/// Whether a statement is one that can run inside a transaction begun for it.
#[must_use]
pub fn is_splittable(sql: &str, catalog: &SchemaCatalog) -> bool {
    one_statement(sql).is_some_and(|words| SPLITTABLE.contains(&words[0].as_str())) && !commits_inside(sql, catalog)
}

/// Whether a statement may commit in its middle.
#[must_use]
pub fn commits_inside(sql: &str, catalog: &SchemaCatalog) -> bool {
    one_statement(sql).is_some_and(|words| match words[0].as_str() {
        "do" => may_end_a_transaction(sql) || catalog.code.ends_transactions,
        "call" => catalog.code.ends_transactions,
        _ => false,
    })
}

/// Decides for each statement whether its own commit is a step. `access` tells what statements access, down to rows; without it, the catalog tells
/// their tables.
pub fn mark_own_commits(sessions: &mut [SessionScript], catalog: &SchemaCatalog, access: Option<&FileAccess>) {
    let accessed = |sql: &str| match access {
        Some(access) => access.access(sql),
        None => catalog.touched(sql).map(Access::from),
    };
    let all: Vec<Vec<Option<Access>>> = sessions
        .iter()
        .map(|session| {
            let sent = session.statements.iter().flat_map(ScriptStatement::sent);
            sent.map(|template| accessed(&template.shape())).collect()
        })
        .collect();
    for (number, session) in sessions.iter_mut().enumerate() {
        let others = || all.iter().enumerate().filter(|(other, _)| *other != number).flat_map(|(_, sent)| sent);
        let mut open = false;
        for statement in &mut session.statements {
            let sql = statement.sql.shape();
            match transaction_control(&sql) {
                TransactionControl::Opens => open = true,
                TransactionControl::Ends => open = false,
                TransactionControl::None => {
                    let own = accessed(&sql);
                    let own = own.as_ref();
                    let seen = others()
                        .any(|other| meet(own.map(|own| &own.writes), other.as_ref().map(|other| &other.reads)));
                    let unseen = others()
                        .any(|other| meet(own.map(|own| &own.reads), other.as_ref().map(|other| &other.writes)));
                    let shows_a_sequence = own.is_some_and(|own| {
                        let is_read = |used: &&Shareable| others().flatten().any(|other| other.reads.contains(*used));
                        let is_sequence = |used: &&Shareable| matches!(used, Shareable::Relation(name) if catalog.sequences.contains(name));
                        own.writes.iter().filter(is_sequence).any(|used| is_read(&used))
                    });
                    let matters = seen && unseen || shows_a_sequence;
                    statement.own_commit = !open && is_splittable(&sql, catalog) && !is_plain_read(&sql) && matters;
                }
            }
        }
    }
}

/// Whether two statements share something. What is not known may be anything.
fn meet(own: Option<&BTreeSet<Shareable>>, other: Option<&BTreeSet<Shareable>>) -> bool {
    match (own, other) {
        (Some(own), Some(other)) => own.iter().any(|own| other.iter().any(|other| own.overlaps(other))),
        (None, Some(known)) | (Some(known), None) => !known.is_empty(),
        (None, None) => true,
    }
}
