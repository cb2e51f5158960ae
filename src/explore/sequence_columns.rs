//! Columns that a sequence fills. Their values differ between serial orders and interleavings that do the same, so they are not compared.
//!
//! A column of an answer is recognised by the column of the table that it comes from, as PostgreSQL's row description tells, and not by its
//! name: `returning id as order_id` comes from a sequence, and a column `id` of another table does not. An expression has no such origin; it
//! counts as filled by a sequence if it has the name of such a column.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::postgres::{PgColumn, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Column as _, Row as _};

use super::row_text::columns;

/// What stands in the place of a value.
const FROM_SEQUENCE: &str = "(from a sequence)";

/// A table by its OID, and a column of it by its number.
type ColumnOrigin = (u32, i16);

/// See the [module](self).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SequenceColumns {
    /// The OIDs of all tables.
    tables: BTreeSet<u32>,
    columns: BTreeSet<ColumnOrigin>,
    /// The names of these columns.
    names: BTreeSet<String>,
    /// The names of these columns, by their table.
    by_table: BTreeMap<u32, BTreeSet<String>>,
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
             filled(relation, number) as ( \
               select attrelid, attnum from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum \
               where attrelid in (select oid from tables) and attnum > 0 and not attisdropped \
                 and (attidentity <> '' or pg_get_expr(adbin, adrelid) like '%nextval(%') \
               union select conrelid, conkey[place] from filled \
               join pg_constraint on contype = 'f' and confrelid = relation \
               cross join lateral generate_subscripts(confkey, 1) as place where confkey[place] = number) \
             select oid::oid, attnum, attname::text from tables left join \
               (filled join pg_attribute on attrelid = relation and attnum = number) on relation = oid"
        );
        let found: Vec<(sqlx::postgres::types::Oid, Option<i16>, Option<String>)> =
            sqlx::query_as(AssertSqlSafe(query)).fetch_all(connection).await?;
        let mut columns = Self::default();
        for (table, number, name) in found {
            columns.tables.insert(table.0);
            let (Some(number), Some(name)) = (number, name) else { continue };
            columns.columns.insert((table.0, number));
            columns.by_table.entry(table.0).or_default().insert(name.clone());
            columns.names.insert(name);
        }
        Ok(columns)
    }

    /// The columns of a row as `name = value`, without the values that a sequence gave.
    #[must_use]
    pub fn comparable(&self, row: &PgRow) -> Vec<String> {
        let column = |(column, shown): (&PgColumn, String)| {
            if self.fills(column) { format!("{} = {FROM_SEQUENCE}", column.name()) } else { shown }
        };
        row.columns().iter().zip(columns(row)).map(column).collect()
    }

    fn fills(&self, column: &PgColumn) -> bool {
        let origin = column.relation_id().zip(column.relation_attribute_no());
        match origin {
            Some((table, number)) if self.tables.contains(&table.0) => self.columns.contains(&(table.0, number)),
            // An expression, or a column of a view.
            _ => self.names.contains(column.name()),
        }
    }

    /// The names of the columns of this table that a sequence fills.
    #[must_use]
    pub fn of_table(&self, table: u32) -> BTreeSet<String> {
        self.by_table.get(&table).cloned().unwrap_or_default()
    }
}

/// Whether a column, as `name = value`, has a value of a sequence, which is not there.
#[must_use]
pub fn is_from_sequence(value: &str) -> bool {
    value.split_once(" = ").is_some_and(|(_, value)| value == FROM_SEQUENCE)
}
