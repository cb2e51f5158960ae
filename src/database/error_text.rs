//! What went wrong in the database, in PostgreSQL's words.

use std::fmt;

use sqlx::postgres::PgDatabaseError;

/// An error as a text for people. sqlx's own text of an answer of PostgreSQL ends with a line number of PostgreSQL's source code, which
/// reads as if it were a line of the SQL; this one ends with the SQLSTATE.
#[derive(Debug, Clone, Copy)]
pub struct ErrorText<'a>(pub &'a sqlx::Error);

impl fmt::Display for ErrorText<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            sqlx::Error::Database(database) => match database.try_downcast_ref::<PgDatabaseError>() {
                Some(answer) => write!(formatter, "{} (SQLSTATE {})", answer.message(), answer.code()),
                None => formatter.write_str(database.message()),
            },
            sqlx::Error::Tls(error) => error.fmt(formatter),
            other => other.fmt(formatter),
        }
    }
}

/// The SQLSTATE of an answer of PostgreSQL.
pub(super) fn sqlstate(error: &sqlx::Error) -> Option<&str> {
    let sqlx::Error::Database(database) = error else { return None };
    database.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::code)
}
