//! The rows in the end of an interleaving: of a file's own query, or of all tables.

use sqlx::postgres::PgConnection;
use sqlx::postgres::types::Oid;
use sqlx::{AssertSqlSafe, Executor as _};

use super::sending::error_text;
use crate::explore::error::ExploreError;
use crate::explore::row_text::columns;
use crate::explore::sequence_columns::SequenceColumns;

/// Rows of a table that are read one by one. Of a larger table, a checksum is.
const ROWS_READ: i64 = 1_000;

/// Rows, each row's columns as `name = value`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FinalRows {
    /// As they are shown.
    pub shown: Vec<Vec<String>>,
    /// As they are compared: without what a sequence gave.
    pub compared: Vec<Vec<String>>,
}

impl FinalRows {
    /// The rows of a query, the `outcome` of a file.
    ///
    /// # Errors
    /// [`ExploreError::Script`] if the query fails.
    pub async fn of_query(
        connection: &mut PgConnection,
        query: &str,
        by_sequence: &SequenceColumns,
    ) -> Result<Self, ExploreError> {
        let rows = connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(query.to_owned()))).await;
        let rows = rows.map_err(|error| ExploreError::Script(format!("outcome: {}", error_text(&error))))?;
        Ok(Self {
            shown: rows.iter().map(columns).collect(),
            compared: rows.iter().map(|row| by_sequence.comparable(row)).collect(),
        })
    }

    /// The rows of all tables and materialized views of these schemas, with columns as `table.column = value`. `schemas` is a condition on
    /// `nspname`.
    ///
    /// # Errors
    /// [`ExploreError::Database`].
    pub async fn of_all_tables(
        connection: &mut PgConnection,
        schemas: &str,
        by_sequence: &SequenceColumns,
    ) -> Result<Self, ExploreError> {
        let query = format!(
            "select pg_class.oid, relname::text, format('%I.%I', nspname, relname) from pg_class \
             join pg_namespace on pg_namespace.oid = relnamespace \
             where {schemas} and (relkind in ('r', 'p') and not relispartition or relkind = 'm' and relispopulated) order by 2, 3"
        );
        let tables: Vec<(Oid, String, String)> =
            sqlx::query_as(AssertSqlSafe(query)).fetch_all(&mut *connection).await?;
        let mut found = Self::default();
        for (oid, name, table) in tables {
            let count = format!("select count(*) from {table}");
            let count: i64 = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut *connection).await?;
            if count > ROWS_READ {
                let row = vec![checksum(connection, oid, &name, &table, count, by_sequence).await?];
                found.shown.push(row.clone());
                found.compared.push(row);
                continue;
            }
            // No column has the name of this alias, which would stand for it.
            let query =
                format!("select \"the whole row\".* from {table} \"the whole row\" order by \"the whole row\"::text");
            let rows = connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(query))).await?;
            let named = |columns: Vec<String>| columns.into_iter().map(|column| format!("{name}.{column}")).collect();
            found.shown.extend(rows.iter().map(|row| named(columns(row))));
            found.compared.extend(rows.iter().map(|row| named(by_sequence.comparable(row))));
        }
        Ok(found)
    }
}

/// The number of rows of a table, and a checksum over all columns but those that a sequence fills.
async fn checksum(
    connection: &mut PgConnection,
    oid: Oid,
    name: &str,
    table: &str,
    count: i64,
    by_sequence: &SequenceColumns,
) -> Result<String, ExploreError> {
    let columns: Vec<String> = sqlx::query_scalar(
        "select quote_ident(attname) from pg_attribute where attrelid = $1 and attnum > 0 and not attisdropped \
         and not attname::text = any($2) order by attnum",
    )
    .bind(oid)
    .bind(by_sequence.of_table(oid.0).into_iter().collect::<Vec<String>>())
    .fetch_all(&mut *connection)
    .await?;
    let columns = columns.join(", ");
    let query = format!(
        "select coalesce(md5(string_agg(\"the whole row\"::text, E'\\n' order by \"the whole row\"::text collate \"C\")), '') \
         from (select {columns} from {table}) \"the whole row\""
    );
    let checksum: String = sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(connection).await?;
    Ok(format!("{name} has {count} rows, checksum = {checksum}"))
}
