//! Statements outside a transaction, whose snapshot and commit another session's statement can come between.
//!
//! Such a statement takes its snapshot, changes rows, and commits. To split it into two steps doubles the interleavings, so it is split
//! only where that can matter. Let it read the tables R and change the tables W. A statement of another session that runs between the two
//! sees the tables as before. It is as if it had run first, unless some statement of others changes a table of R: then it would have
//! had to be seen. And it is as if it had run afterwards, unless some statement of others reads a table of W. Only where others do
//! both can the two not be put in an order.

use super::schema_catalog::{SchemaCatalog, Touched};
use super::script::{ScriptStatement, SessionScript};
use crate::explore::search::independence::is_plain_read;
use crate::explore::sql_words::{TransactionControl, one_statement, transaction_control};

/// Statements that can run inside a transaction begun for them.
const SPLITTABLE: &[&str] = &["delete", "execute", "insert", "merge", "select", "update", "values", "with"];

/// Decides for each statement whether its own commit is a step.
pub fn mark_own_commits(sessions: &mut [SessionScript], catalog: &SchemaCatalog) {
    let touched: Vec<Vec<Option<Touched>>> = sessions
        .iter()
        .map(|session| {
            let sent = session.statements.iter().flat_map(ScriptStatement::sent);
            sent.map(|template| catalog.touched(&template.shape())).collect()
        })
        .collect();
    for (number, session) in sessions.iter_mut().enumerate() {
        let others = || touched.iter().enumerate().filter(|(other, _)| *other != number).flat_map(|(_, sent)| sent);
        let mut open = false;
        for statement in &mut session.statements {
            let sql = statement.sql.shape();
            match transaction_control(&sql) {
                TransactionControl::Opens => open = true,
                TransactionControl::Ends => open = false,
                TransactionControl::None => {
                    let splittable = one_statement(&sql).is_some_and(|words| SPLITTABLE.contains(&words[0].as_str()));
                    let own = catalog.touched(&sql);
                    let own = own.as_ref();
                    let seen =
                        others().any(|other| overlaps(own, other.as_ref(), |own| &own.writes, |other| &other.reads));
                    let unseen =
                        others().any(|other| overlaps(own, other.as_ref(), |own| &own.reads, |other| &other.writes));
                    statement.own_commit = !open && splittable && !is_plain_read(&sql) && seen && unseen;
                }
            }
        }
    }
}

type Tables = std::collections::BTreeSet<String>;

/// Whether two statements share a table. What is not known may be any table.
fn overlaps(
    own: Option<&Touched>,
    other: Option<&Touched>,
    of_own: impl Fn(&Touched) -> &Tables,
    of_other: impl Fn(&Touched) -> &Tables,
) -> bool {
    match (own, other) {
        (Some(own), Some(other)) => !of_own(own).is_disjoint(of_other(other)),
        (None, Some(other)) => !of_other(other).is_empty(),
        (Some(own), None) => !of_own(own).is_empty(),
        (None, None) => true,
    }
}
