//! Questions to PostgreSQL's catalog.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use crate::explore::error::ExploreError;

/// The values of a query with one column.
///
/// # Errors
/// [`ExploreError::Database`].
pub async fn query_scalars<T>(connection: &mut PgConnection, sql: String) -> Result<Vec<T>, ExploreError>
where
    (T,): for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>,
    T: Send + Unpin,
{
    Ok(sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(connection).await?)
}

/// The value of a query with one row of one column.
///
/// # Errors
/// [`ExploreError::Database`].
pub async fn query_one<T>(connection: &mut PgConnection, sql: String) -> Result<T, ExploreError>
where
    (T,): for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>,
    T: Send + Unpin,
{
    Ok(sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await?)
}

/// The rows of a query.
///
/// # Errors
/// [`ExploreError::Database`].
pub async fn query<T>(connection: &mut PgConnection, sql: String) -> Result<Vec<T>, ExploreError>
where
    T: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
{
    connection.ping().await?;
    Ok(sqlx::query_as(AssertSqlSafe(sql)).fetch_all(connection).await?)
}
