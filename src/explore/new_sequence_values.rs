//! Values that the sequences have given since the first statement. Where a statement or a function calls `nextval` itself, they may be in any
//! column.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

/// Values of one sequence that are looked at.
const VALUES_MAX: usize = 1_000;

/// Where each sequence stood, by its name (a schema that is set up again has the same names): its last value, whether it has given it, and its
/// increment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SequencePositions {
    last: BTreeMap<String, (i64, bool, i64)>,
}

impl SequencePositions {
    /// Reads where the sequences of these schemas stand. `schemas` is a condition on `nspname`.
    ///
    /// # Errors
    /// An error of the database.
    pub async fn read(connection: &mut PgConnection, schemas: &str) -> Result<Self, sqlx::Error> {
        let query = format!(
            "select format('%I.%I', nspname, relname), seqincrement from pg_class \
             join pg_namespace on pg_namespace.oid = relnamespace join pg_sequence on seqrelid = pg_class.oid where {schemas}"
        );
        let sequences: Vec<(String, i64)> = sqlx::query_as(AssertSqlSafe(query)).fetch_all(&mut *connection).await?;
        let mut last = BTreeMap::new();
        for (name, increment) in sequences {
            let query = format!("select last_value, is_called from {name}");
            let (value, called): (i64, bool) = sqlx::query_as(AssertSqlSafe(query)).fetch_one(&mut *connection).await?;
            last.insert(name, (value, called, increment));
        }
        Ok(Self { last })
    }

    /// The values that were given between two readings, as text.
    #[must_use]
    pub fn given_since(&self, before: &Self) -> BTreeSet<String> {
        let mut given = BTreeSet::new();
        for (sequence, (value, called, increment)) in &self.last {
            // One that was made since began somewhere: its first value is not known.
            let (first, was_called, _) = before.last.get(sequence).copied().unwrap_or((*value, false, *increment));
            if !called || *increment == 0 || was_called && first == *value {
                continue;
            }
            let next = if was_called { first.saturating_add(*increment) } else { first };
            let values = (0..VALUES_MAX).map_while(|step| {
                let step = i64::try_from(step).ok()?.checked_mul(*increment)?;
                let given = next.checked_add(step)?;
                (if *increment > 0 { given <= *value } else { given >= *value }).then_some(given)
            });
            given.extend(values.map(|value| value.to_string()));
        }
        given
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_between_two_readings_were_given() {
        let at = |value, called, increment| SequencePositions {
            last: [("s".to_owned(), (value, called, increment))].into(),
        };
        for (before, now, expected) in [
            (at(1, false, 1), at(1, false, 1), vec![]),
            (at(1, false, 1), at(1, true, 1), vec!["1"]),
            (at(2, true, 1), at(4, true, 1), vec!["3", "4"]),
            (at(2, true, 1), at(2, true, 1), vec![]),
            (at(10, true, 50), at(110, true, 50), vec!["110", "60"]),
            (at(-1, true, -1), at(-3, true, -1), vec!["-2", "-3"]),
        ] {
            let expected: BTreeSet<String> = expected.into_iter().map(str::to_owned).collect();
            assert_eq!(now.given_since(&before), expected, "{before:?} {now:?}");
        }
    }
}
