//! What a step reads, and what it changes or locks, down to single rows: steps that share nothing commute.

use std::collections::BTreeSet;
use std::fmt;

/// Something that steps can share.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shareable {
    /// All rows of a table, or a sequence.
    Relation(String),
    /// The row of a table with this primary key.
    Row {
        /// The table.
        table: String,
        /// The key, as it is written in every statement that names it.
        key: String,
    },
    /// All advisory locks.
    AdvisoryLocks,
}

impl Shareable {
    /// Whether the two are the same, or one is a part of the other.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Relation(relation), Self::Row { table, .. })
            | (Self::Row { table, .. }, Self::Relation(relation)) => relation == table,
            _ => self == other,
        }
    }
}

/// What a step accesses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// What it reads.
    pub reads: BTreeSet<Shareable>,
    /// What it changes or locks.
    pub writes: BTreeSet<Shareable>,
}

impl Access {
    /// Whether neither changes or locks what the other reads, changes or locks.
    #[must_use]
    pub fn shares_nothing_with(&self, other: &Self) -> bool {
        let apart = |writes: &BTreeSet<Shareable>, other: &Self| {
            writes.iter().all(|own| !other.reads.iter().chain(&other.writes).any(|theirs| own.overlaps(theirs)))
        };
        apart(&self.writes, other) && apart(&other.writes, self)
    }
}

/// Tells what statements access, by their text.
pub trait StatementAccess: fmt::Debug + Send + Sync {
    /// What a statement accesses; `None` if that is not known. Nothing for BEGIN and COMMIT.
    fn access(&self, sql: &str) -> Option<Access>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_accesses_share_what_one_of_them_changes() {
        let relation = |name: &str| Shareable::Relation(name.to_owned());
        let row = |table: &str, key: &str| Shareable::Row { table: table.to_owned(), key: key.to_owned() };
        let access = |reads: &[Shareable], writes: &[Shareable]| Access {
            reads: reads.iter().cloned().collect(),
            writes: writes.iter().cloned().collect(),
        };
        for (one, other, apart) in [
            (access(&[relation("t")], &[]), access(&[relation("t")], &[]), true),
            (access(&[relation("t")], &[]), access(&[], &[relation("t")]), false),
            (access(&[], &[relation("t")]), access(&[], &[relation("t")]), false),
            (access(&[], &[relation("t")]), access(&[], &[relation("u")]), true),
            (access(&[], &[row("t", "1")]), access(&[], &[row("t", "2")]), true),
            (access(&[], &[row("t", "1")]), access(&[], &[row("u", "1")]), true),
            (access(&[], &[row("t", "1")]), access(&[row("t", "1")], &[]), false),
            (access(&[], &[row("t", "1")]), access(&[relation("t")], &[]), false),
            (access(&[], &[relation("t")]), access(&[row("t", "2")], &[]), false),
            (access(&[], &[Shareable::AdvisoryLocks]), access(&[], &[Shareable::AdvisoryLocks]), false),
            (access(&[], &[Shareable::AdvisoryLocks]), access(&[], &[relation("t")]), true),
        ] {
            assert_eq!(one.shares_nothing_with(&other), apart, "{one:?} {other:?}");
            assert_eq!(other.shares_nothing_with(&one), apart, "{other:?} {one:?}");
        }
    }
}
