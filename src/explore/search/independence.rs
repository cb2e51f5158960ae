//! Which steps commute: the relation by which the reduced search leaves interleavings out.
//!
//! Two adjacent steps of different actors are *independent* if exchanging them changes nothing: the same answers, the same rows, the
//! same locks. Interleavings that differ only by such exchanges are equivalent (Mazurkiewicz), and one of them is enough. In doubt,
//! steps count as dependent. Independent are only:
//!
//! 1. BEGIN and any step. BEGIN takes neither a snapshot nor a lock. The first query of a transaction takes its snapshot (the manual,
//!    "Transaction Isolation"), at READ COMMITTED each query.
//! 2. A plain SELECT and a plain SELECT. Readers do not affect each other. At SERIALIZABLE the read marks of two readers are a set
//!    without an order.
//! 3. Below SERIALIZABLE, a plain SELECT and a change or lock of rows inside a transaction that stays open. Uncommitted changes are
//!    not visible, and a plain SELECT waits for no row (though it does for a table that is truncated).
//!
//! and none of these if
//!
//! - a step waited, ended another step's wait, or failed: that may depend on the order,
//! - one step is the first of its client, and the other is the last of its own: their order is one of real time, which the oracle
//!   respects,
//! - both are first steps: of identical clients, only one may begin.

use crate::explore::sql_words::{begins_with, in_word};
use crate::explore::transcript::{StepOutcome, TranscriptStep};

/// The properties of a step on which the relation depends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "four properties, each by itself")]
pub struct TakenStep {
    /// The kind of statement.
    pub kind: StatementKind,
    /// It is the first one of its actor.
    pub first: bool,
    /// It ended its actor's operation.
    pub last: bool,
    /// It waited, ended a wait, or failed.
    pub entangled: bool,
    /// It is in a transaction at SERIALIZABLE.
    pub serializable: bool,
}

/// Kinds of statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementKind {
    /// BEGIN.
    Begin,
    /// A SELECT that neither locks nor calls a function that could.
    PlainRead,
    /// A change or lock of rows in a transaction that stays open.
    Within,
    /// Anything else: it commits, rolls back, is no SQL, or its effect is unknown.
    Visible,
}

/// Whether two steps of different actors, taken one right after the other, could have been taken in the other order.
#[must_use]
pub fn independent(one: TakenStep, other: TakenStep) -> bool {
    let real_time = one.first && other.last || one.last && other.first;
    if one.entangled || other.entangled || real_time || one.first && other.first {
        return false;
    }
    match (one.kind, other.kind) {
        (StatementKind::Begin, _)
        | (_, StatementKind::Begin)
        | (StatementKind::PlainRead, StatementKind::PlainRead) => true,
        (StatementKind::PlainRead, StatementKind::Within) | (StatementKind::Within, StatementKind::PlainRead) => {
            !one.serializable && !other.serializable
        }
        _ => false,
    }
}

/// The properties of a step, given all steps so far.
#[must_use]
pub fn taken(entries: &[TranscriptStep], at: usize) -> TakenStep {
    let entry = &entries[at];
    let own = || entries[..at].iter().filter(|before| before.actor == entry.actor);
    // Any statement that neither reads nor changes rows may have ended the transaction.
    let begin = own().rev().find(|before| !is_plain_read(&before.sql) && !is_about_rows(&before.sql));
    let in_transaction = begin.is_some_and(|before| is_begin(&before.sql));
    let ended_a_wait = entries.iter().any(|other| other.actor != entry.actor && other.returned_with == Some(at));
    let kind = if is_begin(&entry.sql) {
        StatementKind::Begin
    } else if is_plain_read(&entry.sql) {
        StatementKind::PlainRead
    } else if in_transaction && is_about_rows(&entry.sql) {
        StatementKind::Within
    } else {
        StatementKind::Visible
    };
    TakenStep {
        kind,
        first: own().next().is_none(),
        last: entry.ended.is_some(),
        entangled: entry.wait.is_some()
            || ended_a_wait
            || matches!(entry.outcome, StepOutcome::Error { .. } | StepOutcome::Cut | StepOutcome::Lost),
        // Not only BEGIN can set the level.
        serializable: own().any(|before| before.sql.to_ascii_lowercase().contains("serializable")),
    }
}

fn is_begin(sql: &str) -> bool {
    begins_with(sql, &["begin", "start transaction"]) && is_one(sql)
}

/// Words before a parenthesis that only read.
const READING_WORDS: &[&str] = &[
    "and", "any", "avg", "coalesce", "count", "exists", "from", "in", "max", "min", "not", "on", "or", "select", "sum",
    "using", "where",
];

/// A SELECT without a locking clause, a new table, a view of the server's state (locks, sessions), or a function that is not known
/// to only read.
fn is_plain_read(sql: &str) -> bool {
    let sql = sql.to_ascii_lowercase();
    let reads = |word: &str| !matches!(word, "for" | "into") && !word.starts_with("pg_");
    begins_with(&sql, &["select"])
        && is_one(&sql)
        && sql.split(|next| !in_word(next)).all(reads)
        && calls_only(&sql, READING_WORDS)
}

/// It changes rows, or takes locks on rows or advisory locks, and nothing else.
fn is_about_rows(sql: &str) -> bool {
    let sql = sql.to_ascii_lowercase();
    let locks =
        || calls_only(&sql, &[READING_WORDS, &["pg_advisory_xact_lock", "pg_advisory_xact_lock_shared"]].concat());
    is_one(&sql) && (begins_with(&sql, &["insert", "update", "delete"]) || begins_with(&sql, &["select"]) && locks())
}

/// One statement, not several.
fn is_one(sql: &str) -> bool {
    !sql.trim_end().trim_end_matches(';').contains(';')
}

/// Whether each parenthesis follows one of these words, or an operator.
fn calls_only(sql: &str, words: &[&str]) -> bool {
    sql.match_indices('(').all(|(at, _)| {
        let before = sql[..at].trim_end();
        let qualified = before.trim_end_matches(in_word);
        match &before[qualified.len()..] {
            "" => before.ends_with(['(', ',', '=', '<', '>', '+', '-', '*', '/']),
            word => words.contains(&word) && !qualified.ends_with('.'),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::schedule::Actor;

    #[test]
    fn only_a_statement_that_certainly_just_reads_is_a_plain_read() {
        let table = [
            ("select balance, version from users where id = $1", true),
            ("select exists(select from users where id = $2) as exists", true),
            ("select sum(balance) from users", true),
            ("select balance from users where id = $1 for update", false),
            ("select pg_advisory_xact_lock($1, $2)", false),
            ("select * from lab_book($1, $2)", false),
            ("with a as (update users set balance = 1 returning *) select * from a", false),
            ("update users set balance = $2", false),
            ("selection", false),
            ("select balance from users where (id = 1 or id in (2, 3)) and (balance > 0)", true),
            ("SELECT balance FROM users\nFOR UPDATE", false),
            ("select balance from (select * from users)for share", false),
            ("select * into copy from users", false),
            ("select discount(1)", false),
            ("select mine.count(*) from users", false),
            ("select \"count\"(1)", false),
            ("select * from pg_locks", false),
            ("select 1;", true),
            ("select 1; commit", false),
        ];
        for (sql, expected) in table {
            assert_eq!(is_plain_read(sql), expected, "{sql}");
        }
    }

    #[test]
    fn the_kind_of_a_step_depends_on_the_steps_before_it() {
        let entry = |sql: &str| TranscriptStep {
            actor: Actor::Client(0),
            name: String::new(),
            sql: sql.to_owned(),
            values: Vec::new(),
            wait: None,
            returned_with: None,
            outcome: StepOutcome::Done,
            ended: None,
        };
        let update = "update users set balance = 1";
        let table: [(&[&str], &str, StatementKind, bool); 15] = [
            (&[], "begin", StatementKind::Begin, false),
            (&[], "begin; update users set balance = 1", StatementKind::Visible, false),
            (&[], update, StatementKind::Visible, false),
            (&["begin"], update, StatementKind::Within, false),
            (&["begin", "commit"], update, StatementKind::Visible, false),
            (&["begin"], "select balance from users for update", StatementKind::Within, false),
            (&["begin"], "select pg_advisory_xact_lock($1, $2)", StatementKind::Within, false),
            (&["begin"], "select pays_out($1)", StatementKind::Visible, false),
            (&["begin"], "/* done */ commit", StatementKind::Visible, false),
            (&["begin", "/* done */ commit"], update, StatementKind::Visible, false),
            (&["begin"], "truncate users", StatementKind::Visible, false),
            (&["begin"], "lock table users", StatementKind::Visible, false),
            (&["begin isolation level serializable"], update, StatementKind::Within, true),
            (&["begin", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"], update, StatementKind::Visible, true),
            (&[], "-- joins the queue", StatementKind::Visible, false),
        ];
        for (before, sql, kind, serializable) in table {
            let entries: Vec<TranscriptStep> = before.iter().chain([&sql]).map(|sql| entry(sql)).collect();
            let taken = taken(&entries, before.len());
            assert_eq!((taken.kind, taken.serializable), (kind, serializable), "{before:?} {sql}");
        }
    }

    fn step(kind: StatementKind) -> TakenStep {
        TakenStep { kind, first: false, last: false, entangled: false, serializable: false }
    }

    #[test]
    fn the_relation_is_the_documented_one() {
        use StatementKind::{Begin, PlainRead, Visible, Within};
        let table = [
            (Begin, Visible, true),
            (Begin, Within, true),
            (PlainRead, PlainRead, true),
            (PlainRead, Within, true),
            (PlainRead, Visible, false),
            (Within, Within, false),
            (Visible, Visible, false),
        ];
        for (one, other, expected) in table {
            for (one, other) in [(step(one), step(other)), (step(other), step(one))] {
                assert_eq!(independent(one, other), expected, "{one:?} {other:?}");
                assert!(!independent(TakenStep { entangled: true, ..one }, other));
                assert!(!independent(TakenStep { first: true, ..one }, TakenStep { last: true, ..other }));
                assert!(!independent(TakenStep { first: true, ..one }, TakenStep { first: true, ..other }));
            }
        }
        let serializable = |kind| TakenStep { serializable: true, ..step(kind) };
        assert!(!independent(serializable(PlainRead), step(Within)));
        assert!(independent(serializable(PlainRead), serializable(PlainRead)));
    }
}
