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
//! 4. At READ COMMITTED, where every statement has a snapshot of its own: statements and COMMITs that share nothing ([`super::access`]): neither
//!    changes or locks what the other reads, changes or locks. A COMMIT makes visible, and releases, what its transaction has changed or locked.
//!
//! and none of these if
//!
//! - a step waited, ended another step's wait, or failed: that may depend on the order,
//! - one step is the first of its client, and the other is the last of its own: their order is one of real time, which the oracle
//!   respects,
//! - both are first steps: of identical clients, only one may begin.

use super::access::{Access, StatementAccess};
use crate::explore::sql_words::{TransactionControl, one_statement, transaction_control};
use crate::explore::transcript::{StepOutcome, TranscriptStep};

/// The properties of a step on which the relation depends.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// What it accesses, if that is known and all sessions are at READ COMMITTED.
    pub access: Option<Access>,
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
pub fn independent(one: &TakenStep, other: &TakenStep) -> bool {
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
        _ => matches!((&one.access, &other.access), (Some(one), Some(other)) if one.shares_nothing_with(other)),
    }
}

/// The properties of a step, given all steps so far. `known` tells what statements access; without it, that is not known.
#[must_use]
pub fn taken(entries: &[TranscriptStep], at: usize, known: Option<&dyn StatementAccess>) -> TakenStep {
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
        access: known.and_then(|known| access(entries, at, known)),
    }
}

/// What a step accesses. The end of a transaction makes visible, and releases, all that its statements have changed or locked.
fn access(entries: &[TranscriptStep], at: usize, known: &dyn StatementAccess) -> Option<Access> {
    let entry = &entries[at];
    let ends = |entry: &TranscriptStep| transaction_control(&entry.sql) == TransactionControl::Ends;
    if !ends(entry) {
        return known.access(&entry.sql);
    }
    let own = entries[..at].iter().rev().filter(|before| before.actor == entry.actor);
    let mut released = Access::default();
    for before in own.take_while(|before| !ends(before)) {
        released.writes.extend(known.access(&before.sql)?.writes);
    }
    Some(released)
}

fn is_begin(sql: &str) -> bool {
    let Some(words) = one_statement(sql) else { return false };
    words.first().is_some_and(|word| word == "begin")
        || words.starts_with(&["start".to_owned(), "transaction".to_owned()])
}

/// Words before a parenthesis that only read.
const READING_WORDS: &[&str] = &[
    "all", "and", "any", "as", "avg", "between", "bool_and", "bool_or", "case", "coalesce", "count", "distinct",
    "else", "every", "exists", "from", "greatest", "having", "in", "is", "join", "least", "max", "min", "not",
    "nullif", "on", "or", "over", "select", "some", "sum", "then", "union", "using", "values", "when", "where",
];

/// Whether a word before a parenthesis neither changes nor locks anything.
#[must_use]
pub fn is_harmless_call(word: &str) -> bool {
    READING_WORDS.contains(&word) || FUNCTIONS_WITHOUT_TABLES.contains(&word)
}

/// Further words before a parenthesis in a statement that changes or locks rows.
const CHANGING_WORDS: &[&str] =
    &["by", "conflict", "into", "nextval", "pg_advisory_xact_lock", "pg_advisory_xact_lock_shared", "returning", "set"];

/// Words whose value is not in any row: the clock, the session, and the columns that show what open transactions do.
const WORDS_OF_THE_SERVER: &[&str] = &[
    "cmax",
    "cmin",
    "ctid",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "localtime",
    "localtimestamp",
    "session_user",
    "tableoid",
    "tablesample",
    "user",
    "xmax",
    "xmin",
];

/// A SELECT without a locking clause, a new table, a view of the server's state (locks, sessions), or a function that is not known
/// to only read.
#[must_use]
pub fn is_plain_read(sql: &str) -> bool {
    let Some(words) = one_statement(sql) else { return false };
    words[0] == "select"
        && !words.iter().any(|word| matches!(word.as_str(), "for" | "into"))
        && knows_all(&words, READING_WORDS)
}

/// It changes rows, or takes locks on rows or advisory locks, and nothing else.
#[must_use]
pub fn is_about_rows(sql: &str) -> bool {
    let Some(words) = one_statement(sql) else { return false };
    matches!(words[0].as_str(), "insert" | "update" | "delete" | "select")
        && !words.windows(2).any(|pair| pair[0] == "select" && words[0] == "select" && pair[1] == "into")
        && knows_all(&words, &[READING_WORDS, CHANGING_WORDS].concat())
}

/// Further functions that touch no table.
const FUNCTIONS_WITHOUT_TABLES: &[&str] = &[
    "abs",
    "array_agg",
    "ceil",
    "clock_timestamp",
    "concat",
    "concat_ws",
    "date_trunc",
    "extract",
    "floor",
    "format",
    "gen_random_uuid",
    "generate_series",
    "length",
    "lower",
    "md5",
    "mod",
    "now",
    "random",
    "round",
    "row_number",
    "statement_timestamp",
    "string_agg",
    "to_char",
    "transaction_timestamp",
    "trim",
    "unnest",
    "upper",
];

/// Whether the tables that a statement reads, changes or locks are those that it names.
#[must_use]
pub fn names_its_tables(sql: &str) -> bool {
    let Some(words) = one_statement(sql) else { return false };
    let known = |number: usize| {
        let calls = [READING_WORDS, CHANGING_WORDS, FUNCTIONS_WITHOUT_TABLES];
        words[number] != "(" || may_precede(&words, number, |word| calls.iter().any(|calls| calls.contains(&word)))
    };
    matches!(words[0].as_str(), "insert" | "update" | "delete" | "select") && (0..words.len()).all(known)
}

/// Whether what stands before this parenthesis is no call of an unknown function.
fn may_precede(words: &[String], parenthesis: usize, known: impl Fn(&str) -> bool) -> bool {
    let at = |back: usize| parenthesis.checked_sub(back).map_or("", |number| words[number].as_str());
    let is_name = at(1).starts_with(|first: char| first.is_alphanumeric() || first == '_' || first == '"');
    // The columns of INSERT INTO, and of an alias.
    let of_columns = matches!(at(2), "into" | ")" | "as");
    !is_name || of_columns || known(at(1)) && at(2) != "."
}

/// Whether a statement has nothing but columns, operators, literals, and calls of these: an allow-list.
fn knows_all(words: &[String], calls: &[&str]) -> bool {
    (0..words.len()).all(|number| {
        let word = words[number].as_str();
        if word == "(" {
            return may_precede(words, number, |word| calls.contains(&word));
        }
        // A literal such as 'now' is read as a time.
        let literal_of_the_clock = word.starts_with(['\'', '$']) && word.to_ascii_lowercase().contains("now");
        !WORDS_OF_THE_SERVER.contains(&word) && !word.starts_with("pg_") && !literal_of_the_clock
            || word.starts_with("pg_advisory_xact_lock") && calls.contains(&word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::schedule::Actor;
    use crate::explore::search::access::Shareable;

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
            ("/* app:shop */ select balance from users -- for update", true),
            ("select xmax from users", false),
            ("select current_timestamp", false),
            ("select 'now'::timestamptz", false),
            ("select count(*) from (select 1) as one(n)", true),
            ("select \"count\"(1)", false),
            ("select * from pg_locks", false),
            ("select 1;", true),
            ("select 1; commit", false),
        ];
        for (sql, expected) in table {
            assert_eq!(is_plain_read(sql), expected, "{sql}");
        }
    }

    fn entry(sql: &str) -> TranscriptStep {
        TranscriptStep {
            actor: Actor::Client(0),
            name: String::new(),
            sql: sql.to_owned(),
            values: Vec::new(),
            wait: None,
            returned_with: None,
            outcome: StepOutcome::Done,
            notices: Vec::new(),
            ended: None,
        }
    }

    #[test]
    fn the_kind_of_a_step_depends_on_the_steps_before_it() {
        let update = "update users set balance = 1";
        let table: [(&[&str], &str, StatementKind, bool); 19] = [
            (&[], "begin", StatementKind::Begin, false),
            (&[], "begin; update users set balance = 1", StatementKind::Visible, false),
            (&[], update, StatementKind::Visible, false),
            (&["begin"], update, StatementKind::Within, false),
            (&["begin", "commit"], update, StatementKind::Visible, false),
            (&["begin"], "select balance from users for update", StatementKind::Within, false),
            (&["/* app */ begin"], "insert into log (at) values (1)", StatementKind::Within, false),
            (&["begin"], "insert into log (at) values (now())", StatementKind::Visible, false),
            (&["begin"], "insert into log values (current_timestamp)", StatementKind::Visible, false),
            (&["begin"], "update users set balance = next_balance(1)", StatementKind::Visible, false),
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
            let taken = taken(&entries, before.len(), None);
            assert_eq!((taken.kind, taken.serializable), (kind, serializable), "{before:?} {sql}");
        }
    }

    fn step(kind: StatementKind) -> TakenStep {
        TakenStep { kind, first: false, last: false, entangled: false, serializable: false, access: None }
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
                assert_eq!(independent(&one, &other), expected, "{one:?} {other:?}");
                let (first, last) =
                    (TakenStep { first: true, ..one.clone() }, TakenStep { last: true, ..other.clone() });
                assert!(!independent(&TakenStep { entangled: true, ..one }, &other));
                assert!(!independent(&first, &last));
                assert!(!independent(&first, &TakenStep { first: true, ..other }));
            }
        }
        let serializable = |kind| TakenStep { serializable: true, ..step(kind) };
        assert!(!independent(&serializable(PlainRead), &step(Within)));
        assert!(independent(&serializable(PlainRead), &serializable(PlainRead)));
    }

    #[test]
    fn steps_that_share_nothing_commute_and_a_commit_has_all_of_its_transaction() {
        #[derive(Debug)]
        struct LastWord;
        impl StatementAccess for LastWord {
            fn access(&self, sql: &str) -> Option<Access> {
                let table = sql.rsplit(' ').next().filter(|word| *word != "unknown")?;
                let writes = [Shareable::Relation(table.to_owned())].into();
                Some(if sql.starts_with("update") { Access { writes, ..Access::default() } } else { Access::default() })
            }
        }
        let own = ["begin", "update a", "commit", "begin", "update b", "update c", "commit"];
        for (theirs, commutes) in
            [("update a", true), ("update b", false), ("update c", false), ("update unknown", false)]
        {
            let mine = own.iter().map(|sql| (Actor::Client(0), *sql));
            let entries: Vec<TranscriptStep> = [(Actor::Client(1), "update d")]
                .into_iter()
                .chain(mine)
                .chain([(Actor::Client(1), theirs), (Actor::Client(1), "update d")])
                .map(|(actor, sql)| TranscriptStep { actor, ..entry(sql) })
                .collect();
            let (commit, other) =
                (taken(&entries, own.len(), Some(&LastWord)), taken(&entries, own.len() + 1, Some(&LastWord)));
            assert_eq!(independent(&commit, &other), commutes, "{theirs}");
            assert_eq!(independent(&other, &commit), commutes, "{theirs}");
            assert!(!independent(&taken(&entries, own.len(), None), &other), "not known");
        }
    }
}
