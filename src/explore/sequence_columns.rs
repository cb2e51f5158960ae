//! Columns that a sequence fills. Their values differ between serial orders and interleavings that do the same, so they are not compared.
//!
//! A column of an answer is recognised by the column of the table that it comes from, as PostgreSQL's row description tells, and not by its
//! name: `returning id as order_id` comes from a sequence, and a column `id` of another table does not. An expression has no such origin; it
//! counts as filled by a sequence if it has the name of such a column. Ids that were there before the first statement are compared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgColumn, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Column as _, Row as _};

use super::row_text::columns;

/// What stands in the place of a value.
const FROM_SEQUENCE: &str = "(from a sequence)";

/// A table by its OID, and a column of it by its number.
type ColumnOrigin = (u32, i16);

/// More values of a column than these are not kept: then none of them is compared.
const KNOWN_MAX: usize = 1_000;

/// A table; and of each of its columns with a value of a sequence the number, the name, and the table and number of the column that it comes from.
type FilledColumn = (Oid, Option<i16>, Option<String>, Option<Oid>, Option<i16>);

/// Values of a column that were there before.
type KnownValues = Arc<BTreeSet<String>>;

/// See the [module](self).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SequenceColumns {
    /// The OIDs of all tables.
    tables: BTreeSet<u32>,
    /// Each column, with the column of a sequence to which it refers, or itself.
    columns: BTreeMap<ColumnOrigin, ColumnOrigin>,
    /// The names of these columns, and where they come from.
    names: BTreeMap<String, BTreeSet<ColumnOrigin>>,
    /// The names of these columns, by their table.
    by_table: BTreeMap<u32, BTreeSet<String>>,
    /// The values of the columns of a sequence before the first statement.
    known: BTreeMap<ColumnOrigin, KnownValues>,
}

impl SequenceColumns {
    /// Reads which columns of the tables in these schemas have a sequence, or refer by a foreign key to one that has. `schemas` is a condition
    /// on `nspname`.
    ///
    /// # Errors
    /// An error of the database.
    pub async fn read(connection: &mut PgConnection, schemas: &str) -> Result<Self, sqlx::Error> {
        let query = format!(
            "with recursive tables as (select pg_class.oid from pg_class join pg_namespace on pg_namespace.oid = relnamespace \
                                       where {schemas} and relkind in ('r', 'p')), \
             filled(relation, number, of_relation, of_number) as ( \
               select attrelid, attnum, attrelid, attnum from pg_attribute \
               left join pg_attrdef on adrelid = attrelid and adnum = attnum \
               where attrelid in (select oid from tables) and attnum > 0 and not attisdropped \
                 and (attidentity <> '' or pg_get_expr(adbin, adrelid) like '%nextval(%') \
               union select conrelid, conkey[place], of_relation, of_number from filled \
               join pg_constraint on contype = 'f' and confrelid = relation \
               cross join lateral generate_subscripts(confkey, 1) as place where confkey[place] = number) \
             select oid::oid, attnum, attname::text, of_relation, of_number from tables left join \
               (filled join pg_attribute on attrelid = relation and attnum = number) on relation = oid"
        );
        let found: Vec<FilledColumn> = sqlx::query_as(AssertSqlSafe(query)).fetch_all(connection).await?;
        let mut columns = Self::default();
        for (table, number, name, of_table, of_number) in found {
            columns.tables.insert(table.0);
            let (Some(number), Some(name)) = (number, name) else { continue };
            let (Some(of_table), Some(of_number)) = (of_table, of_number) else { continue };
            let of = (of_table.0, of_number);
            columns.columns.insert((table.0, number), of);
            columns.by_table.entry(table.0).or_default().insert(name.clone());
            columns.names.entry(name).or_default().insert(of);
        }
        Ok(columns)
    }

    /// Keeps the values that these columns have now: the state before the first statement.
    ///
    /// # Errors
    /// An error of the database.
    pub async fn keep_values(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let origins: BTreeSet<ColumnOrigin> = self.columns.values().copied().collect();
        for (table, number) in origins {
            let query = "select format('select distinct %I::text from %s where %1$I is not null limit $1', attname, attrelid::regclass) \
                         from pg_attribute where attrelid = $1 and attnum = $2";
            let query: String =
                sqlx::query_scalar(query).bind(Oid(table)).bind(number).fetch_one(&mut *connection).await?;
            let limit = i64::try_from(KNOWN_MAX).unwrap_or(i64::MAX).saturating_add(1);
            let values: Vec<String> =
                sqlx::query_scalar(AssertSqlSafe(query)).bind(limit).fetch_all(&mut *connection).await?;
            if values.len() <= KNOWN_MAX {
                self.known.insert((table, number), Arc::new(values.into_iter().collect()));
            }
        }
        Ok(())
    }

    /// Takes over the values that were kept before.
    #[must_use]
    pub fn with_values_of(mut self, before: &Self) -> Self {
        self.known.clone_from(&before.known);
        self
    }

    /// The columns of a row as `name = value`, without the values that a sequence gave.
    #[must_use]
    pub fn comparable(&self, row: &PgRow) -> Vec<String> {
        let column = |(column, shown): (&PgColumn, String)| {
            let value = shown.split_once(" = ").map_or("", |(_, value)| value);
            if self.gives(column, value) { format!("{} = {FROM_SEQUENCE}", column.name()) } else { shown }
        };
        row.columns().iter().zip(columns(row)).map(column).collect()
    }

    /// Whether a sequence may have given this value of a column since the first statement.
    fn gives(&self, column: &PgColumn, value: &str) -> bool {
        let is_new =
            |of: &ColumnOrigin| value != "null" && !self.known.get(of).is_some_and(|known| known.contains(value));
        let origin = column.relation_id().zip(column.relation_attribute_no());
        match origin {
            Some((table, number)) if self.tables.contains(&table.0) => {
                self.columns.get(&(table.0, number)).is_some_and(is_new)
            }
            // An expression, or a column of a view.
            _ => self.names.get(column.name()).is_some_and(|of| of.iter().all(is_new)),
        }
    }

    /// The names of the columns of this table that a sequence fills.
    #[must_use]
    pub fn of_table(&self, table: u32) -> BTreeSet<String> {
        self.by_table.get(&table).cloned().unwrap_or_default()
    }
}

/// A column, as `name = value`, without its value if that is one of these.
#[must_use]
pub fn without_values(column: &str, given: &BTreeSet<String>) -> String {
    match column.split_once(" = ") {
        Some((name, value)) if given.contains(value) => format!("{name} = {FROM_SEQUENCE}"),
        _ => column.to_owned(),
    }
}

/// Whether a column, as `name = value`, has a value of a sequence, which is not there.
#[must_use]
pub fn is_from_sequence(value: &str) -> bool {
    value.split_once(" = ").is_some_and(|(_, value)| value == FROM_SEQUENCE)
}
