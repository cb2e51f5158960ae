//! Plays a session of a file: sends its statements, each when it is let go, keeps what it reads, and does about errors what the
//! file says.
//!
//! Statements go by the simple protocol, as from psql: one round trip each, and the server sees them as they are written. Like a
//! pooled connection, the session's stays open when its work is done, so what it still holds there goes on blocking others.

use async_trait::async_trait;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Column, Connection, Executor, Row, SqlSafeStr, Statement as _, TypeInfo, ValueRef};

use super::template::{Literal, MissingVariable, Variables};
use super::{OnError, ScriptStatement, SessionScript};
use crate::explore::named_ids::returns_rows;

/// Where a session waits before each of its statements, and tells what came back.
#[async_trait]
pub trait StatementBarrier: Send {
    /// Waits until this statement may be sent.
    async fn step(&mut self, name: &str, sql: &str);

    /// Hears what came back from it; `rows` where no row is an answer too.
    fn returned(&mut self, outcome: Result<&[PgRow], &sqlx::Error>, rows: bool);

    /// Hears that it was carried out, and that its connection is cut before the answer is heard.
    fn cut(&mut self);
}

/// The end of a session.
#[derive(Debug)]
pub struct SessionEnd {
    /// How it ended, such as `done` or `gave up: 40001 could not serialize access due to concurrent update`.
    pub heard: String,
    /// Its connection, if that was not cut.
    pub connection: Option<PgConnection>,
}

/// Why a session could not be played to its end: the fault of the file or of the surroundings, not a finding.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// A statement has a place for something that was not read.
    #[error("{statement}: {missing}")]
    Missing {
        /// The statement's name.
        statement: String,
        /// What it lacks.
        missing: MissingVariable,
    },
    /// There was no answer, or none that can be read.
    #[error("{statement}: {}", said(error))]
    Unanswered {
        /// The statement's name.
        statement: String,
        /// What was there instead.
        error: sqlx::Error,
    },
}

/// Plays a session to its end.
///
/// # Errors
/// [`ScriptError`]. An error that PostgreSQL answers with is not one: the session deals with it.
pub async fn play(
    script: &SessionScript,
    connection: PgConnection,
    turnstile: &mut dyn StatementBarrier,
) -> Result<SessionEnd, ScriptError> {
    let mut player =
        ScriptRunner { script, connection, turnstile, variables: Variables::new(), in_transaction: false, error: None };
    let heard = player.play().await?;
    let Some(heard) = heard else {
        // Neither a Terminate message nor an answer: the server sees what it sees when a client dies.
        let _ = player.connection.close_hard().await;
        let heard = format!("cut after statement {}", script.cut_after.unwrap_or_default());
        return Ok(SessionEnd { heard, connection: None });
    };
    Ok(SessionEnd { heard, connection: Some(player.connection) })
}

struct ScriptRunner<'a> {
    script: &'a SessionScript,
    connection: PgConnection,
    turnstile: &'a mut dyn StatementBarrier,
    /// What this attempt has read.
    variables: Variables,
    in_transaction: bool,
    /// The first error that this attempt went on after.
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
    async fn play(&mut self) -> Result<Option<String>, ScriptError> {
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
                return Ok(Some(format!("gave up: {}", said(&error))));
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
                    self.error.get_or_insert_with(|| said(&error));
                }
                Err(error) => return Ok(AttemptEnd::Failed(error)),
            }
        }
        Ok(AttemptEnd::Done)
    }

    /// Sends a statement when it is let go. The inner error is PostgreSQL's answer.
    async fn send(&mut self, name: &str, sql: &str, cut: bool) -> Result<Result<Vec<PgRow>, sqlx::Error>, ScriptError> {
        self.turnstile.step(name, sql).await;
        let answer = self.connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(sql))).await;
        self.in_transaction = in_transaction_after(sql, self.in_transaction);
        match &answer {
            Ok(_) if cut => self.turnstile.cut(),
            answer => self.turnstile.returned(answer.as_deref(), returns_rows(sql)),
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
            // What it answers changes nothing: the connection is lost with it, or the transaction is over.
            let _ = self.send("rollback", "rollback", false).await?;
        }
        Ok(())
    }

    /// Keeps what a statement returned for those that come after it: the columns of its only row, nulls if it has none.
    async fn keep(&mut self, sql: &str, rows: &[PgRow], later: &[ScriptStatement]) -> Result<(), sqlx::Error> {
        if later.iter().all(|statement| statement.sql.places().next().is_none()) {
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
                // An answer without rows does not tell its columns.
                let prepared = (&mut self.connection).prepare(AssertSqlSafe(sql).into_sql_str()).await?;
                let columns = prepared.columns().iter().map(|column| column.name().to_owned());
                self.variables.extend(columns.map(|name| (name, Literal::new("", None))));
            }
            // What was read into them before is no longer what was read last.
            [row, ..] => row.columns().iter().for_each(|column| {
                self.variables.remove(column.name());
            }),
        }
        Ok(())
    }
}

/// Whether a transaction is open after this statement: by its words, since the driver keeps what the server says to itself.
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

/// Whether PostgreSQL does not understand the statement (`syntax_error`, `undefined_column`, `undefined_function`): a mistake in
/// the file, and no finding.
fn is_mistyped(error: &sqlx::Error) -> bool {
    matches!(sqlstate(error).as_deref(), Some("42601" | "42703" | "42883"))
}

fn sqlstate(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// What PostgreSQL says, with its SQLSTATE.
#[must_use]
pub fn said(error: &sqlx::Error) -> String {
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
