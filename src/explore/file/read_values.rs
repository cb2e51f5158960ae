//! The values that a statement returned, as literals for later statements.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{
    AssertSqlSafe, Column as _, Executor as _, Row as _, SqlSafeStr as _, Statement as _, TypeInfo as _, ValueRef as _,
};

use super::template::Literal;

/// The columns of the only row, lists of those of several rows, or nulls if there is no row.
///
/// # Errors
/// An error of the database.
pub async fn read_values(
    connection: &mut PgConnection,
    sql: &str,
    rows: &[PgRow],
) -> Result<Vec<(String, Literal)>, sqlx::Error> {
    let Some(first) = rows.first() else {
        // An answer without rows does not name its columns.
        let prepared = connection.prepare(AssertSqlSafe(sql).into_sql_str()).await?;
        return Ok(prepared.columns().iter().map(|column| (column.name().to_owned(), Literal::null())).collect());
    };
    let list = |column: &sqlx::postgres::PgColumn| {
        let values = rows.iter().map(|row| literal(row, column.ordinal())).collect::<Result<Vec<_>, _>>()?;
        Ok((column.name().to_owned(), Literal::list(&values)))
    };
    first.columns().iter().map(list).collect()
}

fn literal(row: &PgRow, column: usize) -> Result<Literal, sqlx::Error> {
    let value = row.try_get_raw(column)?;
    let text = if value.is_null() { None } else { Some(value.as_str().map_err(sqlx::Error::Decode)?) };
    Ok(Literal::new(value.type_info().name(), text))
}
