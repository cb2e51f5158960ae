//! Runs a session of a file: sends each statement when the barrier lets it, keeps the values that it reads, and reacts to errors as
//! the file says.
//!
//! Statements are sent by the simple protocol, as by psql: one round trip each, and the server receives the text as it is written.
//! Like a pooled connection, the connection stays open after the last statement, so the locks that it still holds go on blocking
//! other sessions.
//!
//! A statement outside a transaction commits by itself. Where that matters ([`super::own_commit`]) its commit is a step of its own: the
//! runner begins a transaction right before the statement, and commits it with the next step. That is what PostgreSQL does inside
//! (the manual, "Transactions"), with the same snapshot and the same `now()`.

use async_trait::async_trait;
use futures_util::StreamExt as _;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Column, Connection, Either, Executor, Row, SqlSafeStr, Statement as _, TypeInfo, ValueRef};

use super::script::{OnError, ScriptStatement, SessionScript};
use super::template::{Literal, MissingVariable, Variables};
use crate::explore::row_text::columns;
use crate::explore::search::independence::is_plain_read;
use crate::explore::sql_words::{TransactionControl, one_statement, returns_rows, transaction_control};
use crate::explore::transcript::GAVE_UP;

/// A session waits here before each of its statements, and reports what each returned.
#[async_trait]
pub trait StatementBarrier: Send {
    /// Waits until this statement is let go.
    async fn step(&mut self, name: &str, sql: &str);

    /// Reports what the statement returned.
    fn returned(&mut self, outcome: Result<StatementAnswer<'_>, &sqlx::Error>);

    /// Reports that the statement was executed, and its connection is cut before the answer is received.
    fn cut(&mut self);
}

/// What a statement returned.
#[derive(Debug, Clone, Copy)]
pub enum StatementAnswer<'a> {
    /// Rows, maybe none.
    Rows(&'a [PgRow]),
    /// No rows, but a command tag, such as `UPDATE 0`; empty if there is nothing to say.
    Tag(&'a str),
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionResult {
    /// In words, such as `done` or `gave up: 40001 could not serialize access due to concurrent update`.
    pub heard: String,
    /// What each statement of the last attempt returned.
    pub answers: Vec<ScriptAnswer>,
    /// The SQLSTATE of the error that ended it, or in spite of which it went on.
    pub sqlstate: Option<String>,
    /// It has committed a statement that may have changed something.
    pub changed: bool,
    /// What each statement that it sent came to, in order.
    pub sent: Vec<StatementRun>,
}

/// The rows that a statement of a session returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptAnswer {
    /// The statement's name.
    pub statement: String,
    /// The rows: each row's columns as `name = value`.
    pub rows: Vec<Vec<String>>,
}

/// What a statement came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementRun {
    /// The statement's name.
    pub name: String,
    /// The rows that it changed, or returned.
    pub rows: u64,
    /// Its error, with the SQLSTATE.
    pub error: Option<(String, String)>,
}

/// The end of a session.
#[derive(Debug)]
pub struct SessionEnd {
    /// How it ended.
    pub result: SessionResult,
    /// Its connection, if it was not cut.
    pub connection: Option<PgConnection>,
}

/// Why a session could not be run to its end. The cause is the file or the machine; it is not a finding.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// A statement has a placeholder for a value that was not read.
    #[error("{missing}")]
    Missing {
        /// The statement's name.
        statement: String,
        /// The missing value.
        missing: MissingVariable,
    },
    /// There was no answer, or it cannot be used.
    #[error("{}", error_text(error))]
    Unanswered {
        /// The statement's name.
        statement: String,
        /// The error.
        error: sqlx::Error,
    },
}

impl ScriptError {
    /// The name of the statement.
    #[must_use]
    pub fn statement(&self) -> &str {
        match self {
            Self::Missing { statement, .. } | Self::Unanswered { statement, .. } => statement,
        }
    }
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
    let mut runner = ScriptRunner {
        script,
        connection,
        barrier,
        variables: Variables::new(),
        transaction: TransactionState::default(),
        error: None,
        answers: Vec::new(),
        changed: false,
        sent: Vec::new(),
    };
    let end = runner.run().await?;
    let ScriptRunner { connection, answers, changed, sent, .. } = runner;
    let result = |heard, sqlstate| SessionResult { heard, answers, sqlstate, changed, sent };
    Ok(match end {
        RunEnd::Cut => {
            // The connection is closed without a Terminate message, as when a client dies.
            let _ = connection.close_hard().await;
            let heard = format!("cut after statement {}", script.cut_after.unwrap_or_default());
            SessionEnd { result: result(heard, None), connection: None }
        }
        RunEnd::Done(None) => SessionEnd { result: result("done".to_owned(), None), connection: Some(connection) },
        RunEnd::Done(Some(error)) => {
            let heard = format!("done, in spite of {}", error_text(&error));
            SessionEnd { result: result(heard, sqlstate(&error)), connection: Some(connection) }
        }
        RunEnd::GaveUp(error) => {
            let heard = format!("{GAVE_UP}{}", error_text(&error));
            SessionEnd { result: result(heard, sqlstate(&error)), connection: Some(connection) }
        }
    })
}

struct ScriptRunner<'a> {
    script: &'a SessionScript,
    connection: PgConnection,
    barrier: &'a mut dyn StatementBarrier,
    /// The values that this attempt has read.
    variables: Variables,
    transaction: TransactionState,
    /// The first error after which this attempt has continued.
    error: Option<sqlx::Error>,
    answers: Vec<ScriptAnswer>,
    changed: bool,
    sent: Vec<StatementRun>,
}

/// The transaction of the session, as its statements say: the driver does not expose the server's answer.
#[derive(Debug, Clone, Copy, Default)]
struct TransactionState {
    open: bool,
    /// A statement failed in it, so that its COMMIT rolls back.
    failed: bool,
    /// A statement in it may have changed something.
    changed: bool,
}

/// How a session ended.
enum RunEnd {
    Done(Option<sqlx::Error>),
    Cut,
    GaveUp(sqlx::Error),
}

/// How an attempt ended.
enum AttemptEnd {
    Done,
    Cut,
    Failed(sqlx::Error),
}

impl ScriptRunner<'_> {
    async fn run(&mut self) -> Result<RunEnd, ScriptError> {
        let mut attempts_left = match self.script.on_error {
            OnError::Retry { attempts } => attempts,
            OnError::Stop | OnError::Continue => 1,
        };
        loop {
            let error = match self.attempt().await? {
                AttemptEnd::Cut => return Ok(RunEnd::Cut),
                AttemptEnd::Done => return Ok(RunEnd::Done(self.error.take())),
                AttemptEnd::Failed(error) => error,
            };
            self.roll_back().await?;
            attempts_left -= 1;
            if attempts_left == 0 || !matches!(sqlstate(&error).as_deref(), Some("40001" | "40P01")) {
                return Ok(RunEnd::GaveUp(error));
            }
        }
    }

    async fn attempt(&mut self) -> Result<AttemptEnd, ScriptError> {
        self.variables.clear();
        self.answers.clear();
        for (index, statement) in self.script.statements.iter().enumerate() {
            let filled = statement.sql.fill(&self.variables);
            let sql = filled.map_err(|missing| ScriptError::Missing { statement: statement.name.clone(), missing })?;
            let last_before_cut = self.script.cut_after == Some(index + 1);
            let answer = if statement.own_commit && !self.transaction.open && !last_before_cut {
                self.send_with_own_commit(&statement.name, &sql).await?
            } else {
                self.send(&statement.name, &sql, last_before_cut).await?
            };
            match answer {
                Ok(_) if last_before_cut => return Ok(AttemptEnd::Cut),
                Ok(rows) => {
                    let kept = self.keep(&sql, &rows, &self.script.statements[index + 1..]).await;
                    kept.map_err(|error| ScriptError::Unanswered { statement: statement.name.clone(), error })?;
                }
                Err(error) if self.script.on_error == OnError::Continue => {
                    self.error.get_or_insert(error);
                }
                Err(error) => return Ok(AttemptEnd::Failed(error)),
            }
        }
        Ok(AttemptEnd::Done)
    }

    /// Sends a statement that commits by itself, and its commit as the next step. The inner error is PostgreSQL's answer to one of
    /// the two.
    async fn send_with_own_commit(
        &mut self,
        name: &str,
        sql: &str,
    ) -> Result<Result<Vec<PgRow>, sqlx::Error>, ScriptError> {
        let unanswered = |error| ScriptError::Unanswered { statement: name.to_owned(), error };
        self.barrier.step(name, sql).await;
        self.connection.execute(sqlx::raw_sql("begin")).await.map_err(unanswered)?;
        self.transaction = TransactionState { open: true, ..TransactionState::default() };
        let answer = self.execute(name, sql, false).await?;
        let end = if answer.is_ok() {
            self.barrier.step(&format!("{name}: commit"), OWN_COMMIT).await;
            self.connection.execute(sqlx::raw_sql("commit")).await
        } else {
            self.connection.execute(sqlx::raw_sql("rollback")).await
        };
        self.changed |= end.is_ok() && answer.is_ok() && self.transaction.changed;
        self.transaction = TransactionState::default();
        match end {
            Ok(_) => {
                if answer.is_ok() {
                    self.barrier.returned(Ok(StatementAnswer::Tag("")));
                }
                Ok(answer)
            }
            // A constraint that is checked at the commit.
            Err(error) if matches!(error, sqlx::Error::Database(_)) => {
                self.barrier.returned(Err(&error));
                if let (Some(sent), Some(sqlstate)) = (self.sent.last_mut(), sqlstate(&error)) {
                    sent.error = Some((sqlstate, error_text(&error)));
                }
                Ok(Err(error))
            }
            Err(error) => Err(unanswered(error)),
        }
    }

    /// Sends a statement when the barrier lets it. The inner error is PostgreSQL's answer.
    async fn send(&mut self, name: &str, sql: &str, cut: bool) -> Result<Result<Vec<PgRow>, sqlx::Error>, ScriptError> {
        self.barrier.step(name, sql).await;
        self.execute(name, sql, cut).await
    }

    async fn execute(
        &mut self,
        name: &str,
        sql: &str,
        cut: bool,
    ) -> Result<Result<Vec<PgRow>, sqlx::Error>, ScriptError> {
        let answer = fetch(&mut self.connection, sql).await;
        let rolled_back = self.follow(sql, answer.is_ok());
        let affected = answer.as_ref().map_or(0, |(rows, affected)| (*affected).max(rows.len() as u64));
        let error = answer.as_ref().err().and_then(|error| Some((sqlstate(error)?, error_text(error))));
        self.sent.push(StatementRun { name: name.to_owned(), rows: affected, error });
        match &answer {
            Ok(_) if cut => self.barrier.cut(),
            Ok((rows, _)) if returns_rows(sql) || !rows.is_empty() => {
                self.barrier.returned(Ok(StatementAnswer::Rows(rows)));
                let rows = rows.iter().map(columns).collect();
                self.answers.push(ScriptAnswer { statement: name.to_owned(), rows });
            }
            Ok((_, affected)) => {
                let tag = if rolled_back { "ROLLBACK".to_owned() } else { tag(sql, *affected) };
                self.barrier.returned(Ok(StatementAnswer::Tag(&tag)));
            }
            Err(error) => self.barrier.returned(Err(error)),
        }
        match answer {
            Err(error) if !matches!(error, sqlx::Error::Database(_)) || is_mistyped(&error) => {
                Err(ScriptError::Unanswered { statement: name.to_owned(), error })
            }
            answer => Ok(answer.map(|(rows, _)| rows)),
        }
    }

    /// Follows what a statement did to the transaction. Returns whether it was a COMMIT that rolled back.
    fn follow(&mut self, sql: &str, succeeded: bool) -> bool {
        let before = self.transaction;
        let control = transaction_control(sql);
        let may_change = control == TransactionControl::None && !is_plain_read(sql);
        match control {
            // A failed COMMIT rolls back.
            TransactionControl::Ends => {
                let commits = one_statement(sql).is_some_and(|words| matches!(words[0].as_str(), "commit" | "end"));
                self.changed |= succeeded && !before.failed && before.changed && commits;
                self.transaction = TransactionState::default();
                return commits && before.open && before.failed && succeeded;
            }
            TransactionControl::Opens if succeeded => {
                // COMMIT AND CHAIN ends one, too.
                self.changed |= before.open && !before.failed && before.changed;
                self.transaction = TransactionState { open: true, ..TransactionState::default() };
            }
            TransactionControl::None if before.open => {
                self.transaction.changed |= succeeded && may_change;
                let to_savepoint = one_statement(sql).is_some_and(|words| words[0] == "rollback");
                self.transaction.failed = !succeeded || before.failed && !to_savepoint;
            }
            TransactionControl::None => self.changed |= succeeded && may_change,
            TransactionControl::Opens => {}
        }
        false
    }

    async fn roll_back(&mut self) -> Result<(), ScriptError> {
        if self.transaction.open {
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

/// What the step of a statement's own commit shows in place of SQL.
const OWN_COMMIT: &str = "-- the statement before commits";

/// Sends a statement, and returns its rows and how many rows it changed.
async fn fetch(connection: &mut PgConnection, sql: &str) -> Result<(Vec<PgRow>, u64), sqlx::Error> {
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
fn tag(sql: &str, affected: u64) -> String {
    let words = one_statement(sql).unwrap_or_default();
    match words.first().map(String::as_str) {
        Some("insert") => format!("INSERT 0 {affected}"),
        Some(word @ ("update" | "delete" | "merge")) => format!("{} {affected}", word.to_uppercase()),
        _ => String::new(),
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
