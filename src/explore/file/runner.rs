//! Runs a session of a file: sends each statement when the barrier lets it, keeps the values that it reads, and reacts to errors as
//! the file says.
//!
//! Statements are sent by the simple protocol, as by psql: one round trip each, and the server receives the text as it is written.
//! Like a pooled connection, the connection stays open after the last statement, so the locks that it still holds go on blocking
//! other sessions.

use async_trait::async_trait;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Column, Connection, Executor, Row, SqlSafeStr, Statement as _, TypeInfo, ValueRef};

use super::script::{OnError, ScriptStatement, SessionScript};
use super::template::{Literal, MissingVariable, Variables};
use crate::explore::sql_words::returns_rows;

/// A session waits here before each of its statements, and reports what each returned.
#[async_trait]
pub trait StatementBarrier: Send {
    /// Waits until this statement is let go.
    async fn step(&mut self, name: &str, sql: &str);

    /// Reports what the statement returned. `rows` says that it returns rows, so that none is an answer as well.
    fn returned(&mut self, outcome: Result<&[PgRow], &sqlx::Error>, rows: bool);

    /// Reports that the statement was executed, and its connection is cut before the answer is received.
    fn cut(&mut self);
}

/// The end of a session.
#[derive(Debug)]
pub struct SessionEnd {
    /// How it ended, such as `done` or `gave up: 40001 could not serialize access due to concurrent update`.
    pub heard: String,
    /// Its connection, if it was not cut.
    pub connection: Option<PgConnection>,
}

/// Why a session could not be run to its end. The cause is the file or the machine; it is not a finding.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// A statement has a placeholder for a value that was not read.
    #[error("{statement}: {missing}")]
    Missing {
        /// The statement's name.
        statement: String,
        /// The missing value.
        missing: MissingVariable,
    },
    /// There was no answer, or it cannot be used.
    #[error("{statement}: {}", error_text(error))]
    Unanswered {
        /// The statement's name.
        statement: String,
        /// The error.
        error: sqlx::Error,
    },
}

/// Runs a session to its end.
///
/// # Errors
/// [`ScriptError`]. An error that PostgreSQL returns is none: the session reacts to it as the file says.
pub async fn run(
    script: &SessionScript,
    connection: PgConnection,
    barrier: &mut dyn StatementBarrier,
) -> Result<SessionEnd, ScriptError> {
    let mut runner =
        ScriptRunner { script, connection, barrier, variables: Variables::new(), in_transaction: false, error: None };
    let heard = runner.run().await?;
    let Some(heard) = heard else {
        // The connection is closed without a Terminate message, as when a client dies.
        let _ = runner.connection.close_hard().await;
        let heard = format!("cut after statement {}", script.cut_after.unwrap_or_default());
        return Ok(SessionEnd { heard, connection: None });
    };
    Ok(SessionEnd { heard, connection: Some(runner.connection) })
}

struct ScriptRunner<'a> {
    script: &'a SessionScript,
    connection: PgConnection,
    barrier: &'a mut dyn StatementBarrier,
    /// The values that this attempt has read.
    variables: Variables,
    in_transaction: bool,
    /// The first error after which this attempt has continued.
    error: Option<String>,
}

/// How an attempt ended.
enum AttemptEnd {
    Done,
    Cut,
    Failed(sqlx::Error),
}

impl ScriptRunner<'_> {
    /// How the session ended; `None` if it was cut.
    async fn run(&mut self) -> Result<Option<String>, ScriptError> {
        let mut attempts_left = match self.script.on_error {
            OnError::Retry { attempts } => attempts,
            OnError::Stop | OnError::Continue => 1,
        };
        loop {
            let error = match self.attempt().await? {
                AttemptEnd::Cut => return Ok(None),
                AttemptEnd::Done => {
                    let error = self.error.take();
                    return Ok(Some(error.map_or("done".to_owned(), |error| format!("done, in spite of {error}"))));
                }
                AttemptEnd::Failed(error) => error,
            };
            self.roll_back().await?;
            attempts_left -= 1;
            if attempts_left == 0 || !matches!(sqlstate(&error).as_deref(), Some("40001" | "40P01")) {
                return Ok(Some(format!("gave up: {}", error_text(&error))));
            }
        }
    }

    async fn attempt(&mut self) -> Result<AttemptEnd, ScriptError> {
        self.variables.clear();
        for (index, statement) in self.script.statements.iter().enumerate() {
            let filled = statement.sql.fill(&self.variables);
            let sql = filled.map_err(|missing| ScriptError::Missing { statement: statement.name.clone(), missing })?;
            let last_before_cut = self.script.cut_after == Some(index + 1);
            match self.send(&statement.name, &sql, last_before_cut).await? {
                Ok(_) if last_before_cut => return Ok(AttemptEnd::Cut),
                Ok(rows) => {
                    let kept = self.keep(&sql, &rows, &self.script.statements[index + 1..]).await;
                    kept.map_err(|error| ScriptError::Unanswered { statement: statement.name.clone(), error })?;
                }
                Err(error) if self.script.on_error == OnError::Continue => {
                    self.error.get_or_insert_with(|| error_text(&error));
                }
                Err(error) => return Ok(AttemptEnd::Failed(error)),
            }
        }
        Ok(AttemptEnd::Done)
    }

    /// Sends a statement when the barrier lets it. The inner error is PostgreSQL's answer.
    async fn send(&mut self, name: &str, sql: &str, cut: bool) -> Result<Result<Vec<PgRow>, sqlx::Error>, ScriptError> {
        self.barrier.step(name, sql).await;
        let answer = self.connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(sql))).await;
        self.in_transaction = in_transaction_after(sql, self.in_transaction);
        match &answer {
            Ok(_) if cut => self.barrier.cut(),
            answer => self.barrier.returned(answer.as_deref(), returns_rows(sql)),
        }
        match answer {
            Err(error) if !matches!(error, sqlx::Error::Database(_)) || is_mistyped(&error) => {
                Err(ScriptError::Unanswered { statement: name.to_owned(), error })
            }
            answer => Ok(answer),
        }
    }

    async fn roll_back(&mut self) -> Result<(), ScriptError> {
        if self.in_transaction {
            // Its answer changes nothing: either the connection is lost, or the transaction has ended.
            let _ = self.send("rollback", "rollback", false).await?;
        }
        Ok(())
    }

    /// Keeps the values that a statement returned for later ones: the columns of its only row, or nulls if it returned no row.
    async fn keep(&mut self, sql: &str, rows: &[PgRow], later: &[ScriptStatement]) -> Result<(), sqlx::Error> {
        if later.iter().all(|statement| statement.sql.placeholders().next().is_none()) {
            return Ok(());
        }
        match rows {
            [row] => {
                for column in row.columns() {
                    let value = row.try_get_raw(column.ordinal())?;
                    let text = if value.is_null() { None } else { Some(value.as_str().map_err(sqlx::Error::Decode)?) };
                    let literal = Literal::new(value.type_info().name(), text);
                    self.variables.insert(column.name().to_owned(), literal);
                }
            }
            [] => {
                // An answer without rows does not name its columns.
                let prepared = (&mut self.connection).prepare(AssertSqlSafe(sql).into_sql_str()).await?;
                let columns = prepared.columns().iter().map(|column| column.name().to_owned());
                self.variables.extend(columns.map(|name| (name, Literal::new("", None))));
            }
            // An older value of these columns is not the last one any more.
            [row, ..] => row.columns().iter().for_each(|column| {
                self.variables.remove(column.name());
            }),
        }
        Ok(())
    }
}

/// Whether a transaction is open after this statement. Its words decide, because the driver does not expose the server's answer.
fn in_transaction_after(sql: &str, before: bool) -> bool {
    let mut words = sql.split(|letter: char| !letter.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    let mut word = || words.next().unwrap_or_default().to_ascii_lowercase();
    match (word().as_str(), word().as_str()) {
        ("begin" | "start", _) => true,
        ("rollback", "to") => before,
        ("commit" | "end" | "rollback" | "abort", _) => false,
        _ => before,
    }
}

/// Whether PostgreSQL does not understand the statement (`syntax_error`, `undefined_column`, `undefined_function`). That is a
/// mistake in the file, and not a finding.
fn is_mistyped(error: &sqlx::Error) -> bool {
    matches!(sqlstate(error).as_deref(), Some("42601" | "42703" | "42883"))
}

fn sqlstate(error: &sqlx::Error) -> Option<String> {
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
    fn words_tell_whether_a_transaction_is_open() {
        for (sql, before, after) in [
            ("BEGIN ISOLATION LEVEL SERIALIZABLE", false, true),
            ("start transaction;", false, true),
            ("commit", true, false),
            ("rollback to savepoint s", true, true),
            ("ROLLBACK;", true, false),
            ("update beginnings set n = 1", false, false),
            ("savepoint s", true, true),
            ("", true, true),
        ] {
            assert_eq!(in_transaction_after(sql, before), after, "{sql}");
        }
    }
}
