//! A statement of a file, sent as it is written, and what PostgreSQL answered.

use futures_util::StreamExt as _;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Either, Executor as _};

use crate::explore::sql_words::one_statement;

/// Sends a statement by the simple protocol, and returns its rows and how many rows it changed.
///
/// # Errors
/// PostgreSQL's answer, or that there was none.
pub async fn fetch(connection: &mut PgConnection, sql: &str) -> Result<(Vec<PgRow>, u64), sqlx::Error> {
    let (mut rows, mut affected) = (Vec::new(), 0);
    let mut answers = connection.fetch_many(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())));
    while let Some(answer) = answers.next().await.transpose()? {
        match answer {
            Either::Left(done) => affected += done.rows_affected(),
            Either::Right(row) => rows.push(row),
        }
    }
    Ok((rows, affected))
}

/// The command tag of a statement that changes rows, as PostgreSQL gives it; empty for others.
#[must_use]
pub fn tag(sql: &str, affected: u64) -> String {
    match one_statement(sql).as_ref().map(|words| words[0].as_str()) {
        Some("insert") => format!("INSERT 0 {affected}"),
        Some(word @ ("update" | "delete" | "merge")) => format!("{} {affected}", word.to_uppercase()),
        _ => String::new(),
    }
}

/// Whether PostgreSQL does not understand the statement (`syntax_error`, `undefined_column`, `undefined_function`). That is a
/// mistake in the file, and not a finding.
#[must_use]
pub fn is_mistyped(error: &sqlx::Error) -> bool {
    matches!(sqlstate(error).as_deref(), Some("42601" | "42703" | "42883"))
}

/// Whether the session has ended with this error: it was terminated (57P01 and its relatives), or there is no answer any more.
#[must_use]
pub fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(_) => sqlstate(error).is_some_and(|sqlstate| sqlstate.starts_with("57P0")),
        sqlx::Error::Io(_) => true,
        _ => false,
    }
}

/// The SQLSTATE of PostgreSQL's answer.
#[must_use]
pub fn sqlstate(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// The error's text, with its SQLSTATE if PostgreSQL has returned it.
#[must_use]
pub fn error_text(error: &sqlx::Error) -> String {
    match error.as_database_error() {
        Some(answer) => format!("{} {}", answer.code().unwrap_or_default(), answer.message()),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_postgresqls() {
        for (sql, affected, expected) in [
            ("update t set n = 1", 0, "UPDATE 0"),
            ("/* a */ insert into t values (1)", 1, "INSERT 0 1"),
            ("delete from t", 3, "DELETE 3"),
            ("begin", 0, ""),
        ] {
            assert_eq!(tag(sql, affected), expected, "{sql}");
        }
    }
}
