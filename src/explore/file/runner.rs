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

use std::sync::Arc;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Executor};

use super::barrier::{StatementAnswer, StatementBarrier};
use super::notices::SessionNotices;
use super::read_values::read_values;
use super::script::{OnError, ScriptStatement, SessionScript};
use super::sending::{error_text, fetch, is_lost, is_mistyped, sqlstate, tag};
use super::session_end::{ScriptAnswer, ScriptError, SessionConnections, SessionEnd, SessionResult, StatementRun};
use super::sessions::ROWS;
use super::template::{SqlTemplate, Variables};
use super::transaction_state::TransactionState;
use crate::explore::sequence_columns::SequenceColumns;
use crate::explore::sql_words::{begins_with, returns_rows};
use crate::explore::transcript::GAVE_UP;

/// Runs a session to its end.
///
/// # Errors
/// [`ScriptError`]. An error that PostgreSQL returns is none: the session reacts to it as the file says.
pub async fn run(
    script: &SessionScript,
    connections: SessionConnections,
    barrier: &mut dyn StatementBarrier,
    by_sequence: Arc<SequenceColumns>,
) -> Result<SessionEnd, ScriptError> {
    let mut runner = ScriptRunner {
        script,
        connection: connections.own,
        notices: connections.notices,
        conditions: connections.conditions,
        barrier,
        by_sequence,
        variables: Variables::new(),
        transaction: TransactionState::default(),
        error: None,
        answers: Vec::new(),
        changed: false,
        sent: Vec::new(),
    };
    let end = runner.run().await?;
    let ScriptRunner { connection, notices, conditions, answers, changed, sent, variables, .. } = runner;
    let (heard, sqlstate) = match &end {
        RunEnd::Cut => (format!("cut after statement {}", script.cut_after.unwrap_or_default()), None),
        RunEnd::Done(None) => ("done".to_owned(), None),
        RunEnd::Done(Some(error)) => (format!("done, in spite of {}", error_text(error)), sqlstate(error)),
        RunEnd::Stopped(before) => (format!("stopped before {before}"), None),
        RunEnd::GaveUp(AttemptFailure::Error(error)) => (format!("{GAVE_UP}{}", error_text(error)), sqlstate(error)),
        RunEnd::GaveUp(AttemptFailure::Rows(what)) => (format!("{GAVE_UP}{what}"), None),
        RunEnd::Lost(error) => (format!("lost its connection: {}", error_text(error)), sqlstate(error)),
    };
    let result = SessionResult { heard, answers, sqlstate, changed, sent, variables };
    Ok(match end {
        RunEnd::Cut | RunEnd::Lost(_) => {
            // The connection is closed without a Terminate message, as when a client dies.
            let _ = connection.close_hard().await;
            SessionEnd { result, connections: None }
        }
        _ => SessionEnd { result, connections: Some(SessionConnections { own: connection, notices, conditions }) },
    })
}

struct ScriptRunner<'a> {
    script: &'a SessionScript,
    connection: PgConnection,
    notices: SessionNotices,
    conditions: Option<PgConnection>,
    barrier: &'a mut dyn StatementBarrier,
    by_sequence: Arc<SequenceColumns>,
    /// The values that this attempt has read.
    variables: Variables,
    transaction: TransactionState,
    /// The first error after which this attempt has continued.
    error: Option<sqlx::Error>,
    answers: Vec<ScriptAnswer>,
    changed: bool,
    sent: Vec<StatementRun>,
}

/// How a session ended.
enum RunEnd {
    Done(Option<sqlx::Error>),
    Cut,
    /// Before this statement, by its condition.
    Stopped(String),
    GaveUp(AttemptFailure),
    Lost(sqlx::Error),
}

/// How an attempt ended.
enum AttemptEnd {
    Done,
    Cut,
    Stopped(String),
    Failed(AttemptFailure),
    Lost(sqlx::Error),
}

/// Why an attempt failed.
enum AttemptFailure {
    Error(sqlx::Error),
    /// A statement changed or returned another number of rows than the file expects.
    Rows(String),
}

impl AttemptFailure {
    /// Whether a session that retries after these does so.
    fn is_in(&self, after: &[String]) -> bool {
        let name = match self {
            Self::Error(error) => sqlstate(error),
            Self::Rows(_) => Some(ROWS.to_owned()),
        };
        name.is_some_and(|name| after.contains(&name))
    }
}

/// How a session reacts to an error of a statement.
enum Reaction {
    /// Its attempt has failed.
    Fails,
    /// It continues with its next statement.
    Continues,
    /// It sends this first.
    Sends { name: String, sql: String },
}

/// PostgreSQL's answer to a statement.
type StatementEnd = Result<Vec<PgRow>, sqlx::Error>;

/// The name of the savepoint before each statement.
const SAVEPOINT: &str = "concurrency_lab";

impl ScriptRunner<'_> {
    async fn run(&mut self) -> Result<RunEnd, ScriptError> {
        let (mut attempts_left, after) = match &self.script.on_error {
            OnError::Retry { attempts, after } => (*attempts, after.as_slice()),
            OnError::Stop | OnError::Continue | OnError::Savepoint => (1, [].as_slice()),
        };
        loop {
            let failure = match self.attempt().await? {
                AttemptEnd::Cut => return Ok(RunEnd::Cut),
                AttemptEnd::Lost(error) => return Ok(RunEnd::Lost(error)),
                AttemptEnd::Done => return Ok(RunEnd::Done(self.error.take())),
                AttemptEnd::Stopped(before) => {
                    self.roll_back().await?;
                    return Ok(RunEnd::Stopped(before));
                }
                AttemptEnd::Failed(failure) => failure,
            };
            self.roll_back().await?;
            attempts_left -= 1;
            if attempts_left == 0 || !failure.is_in(after) {
                return Ok(RunEnd::GaveUp(failure));
            }
        }
    }

    async fn attempt(&mut self) -> Result<AttemptEnd, ScriptError> {
        self.variables.clear();
        self.answers.clear();
        self.error = None;
        for (index, statement) in self.script.statements.iter().enumerate() {
            let name = &statement.name;
            if let Some(condition) = &statement.stop_if
                && self.holds(name, condition).await?
            {
                return Ok(AttemptEnd::Stopped(name.clone()));
            }
            let sql = self.fill(name, &statement.sql)?;
            let last_before_cut = self.script.cut_after == Some(index + 1);
            match self.answer(statement, &sql, last_before_cut).await? {
                Ok(_) if last_before_cut => return Ok(AttemptEnd::Cut),
                Ok(rows) => {
                    let kept = self.keep(name, &sql, &rows).await;
                    kept.map_err(|error| ScriptError::Unanswered { statement: name.clone(), error })?;
                    if let Some(what) = self.wrong_rows(statement)
                        && let Some(failure) = self.react(statement, AttemptFailure::Rows(what)).await?
                    {
                        return Ok(AttemptEnd::Failed(failure));
                    }
                }
                Err(error) if is_lost(&error) => return Ok(AttemptEnd::Lost(error)),
                Err(error) => {
                    if let Some(failure) = self.react(statement, AttemptFailure::Error(error)).await? {
                        return Ok(AttemptEnd::Failed(failure));
                    }
                }
            }
        }
        Ok(AttemptEnd::Done)
    }

    /// Reacts to a failure of a statement. Returns the failure that ends the attempt, if the session does not go on.
    async fn react(
        &mut self,
        statement: &ScriptStatement,
        failure: AttemptFailure,
    ) -> Result<Option<AttemptFailure>, ScriptError> {
        let reaction = self.reaction(statement)?;
        if matches!(reaction, Reaction::Fails) {
            return Ok(Some(failure));
        }
        if let AttemptFailure::Error(error) = failure {
            self.error.get_or_insert(error);
        }
        if let Reaction::Sends { name, sql } = reaction
            && let Err(error) = self.send(&name, &sql, false).await?
        {
            return Ok(Some(AttemptFailure::Error(error)));
        }
        Ok(None)
    }

    /// How the session reacts to a failure of a statement.
    fn reaction(&self, statement: &ScriptStatement) -> Result<Reaction, ScriptError> {
        let name = format!("{}: on error", statement.name);
        if let Some(sql) = &statement.on_error {
            let sql = self.fill(&name, sql)?;
            return Ok(Reaction::Sends { name, sql });
        }
        Ok(match self.script.on_error {
            OnError::Savepoint if self.transaction.open => {
                Reaction::Sends { name, sql: format!("rollback to savepoint {SAVEPOINT}") }
            }
            OnError::Savepoint | OnError::Continue => Reaction::Continues,
            OnError::Stop | OnError::Retry { .. } => Reaction::Fails,
        })
    }

    fn fill(&self, statement: &str, sql: &SqlTemplate) -> Result<String, ScriptError> {
        let missing = |missing| ScriptError::Missing { statement: statement.to_owned(), missing };
        sql.fill(&self.variables).map_err(missing)
    }

    /// Whether a condition is true, for the values that were read.
    async fn holds(&mut self, statement: &str, condition: &SqlTemplate) -> Result<bool, ScriptError> {
        let sql = format!("select ({})", self.fill(statement, condition)?);
        let unanswered = |error| ScriptError::Unanswered { statement: format!("{statement}: stop_if"), error };
        let Some(connection) = &mut self.conditions else { return Ok(false) };
        let holds: Option<bool> =
            sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await.map_err(unanswered)?;
        Ok(holds == Some(true))
    }

    /// What is wrong with the number of rows of the last statement.
    fn wrong_rows(&self, statement: &ScriptStatement) -> Option<String> {
        let expected = statement.rows?;
        let found = self.sent.last().map_or(0, |sent| sent.rows);
        (found != expected).then(|| format!("{} had {found} rows instead of {expected}", statement.name))
    }

    async fn answer(&mut self, statement: &ScriptStatement, sql: &str, cut: bool) -> Result<StatementEnd, ScriptError> {
        let name = &statement.name;
        if statement.own_commit && !self.transaction.open && !cut {
            return self.send_with_own_commit(name, sql).await;
        }
        self.step(name, sql).await;
        // SET TRANSACTION comes before any savepoint.
        let savepoint = self.script.on_error == OnError::Savepoint && !begins_with(sql, &["set transaction"]);
        if savepoint && self.transaction.open && !self.transaction.failed {
            // Part of the step: no other session notices a savepoint.
            if let Some(lost) = self.send_within(name, format!("savepoint {SAVEPOINT}")).await? {
                return Ok(Err(lost));
            }
        }
        self.execute(name, sql, cut).await
    }

    /// Sends a statement that commits by itself, and its commit as the next step. The inner error is PostgreSQL's answer to one of
    /// the two.
    async fn send_with_own_commit(&mut self, name: &str, sql: &str) -> Result<StatementEnd, ScriptError> {
        let unanswered = |error| ScriptError::Unanswered { statement: name.to_owned(), error };
        self.step(name, sql).await;
        if let Some(lost) = self.send_within(name, "begin".to_owned()).await? {
            return Ok(Err(lost));
        }
        self.transaction = TransactionState::begun();
        let answer = self.execute(name, sql, false).await?;
        if let Err(error) = &answer
            && is_lost(error)
        {
            return Ok(answer);
        }
        let end = if answer.is_ok() {
            self.step(&format!("{name}: commit"), OWN_COMMIT).await;
            self.connection.execute(sqlx::raw_sql("commit")).await
        } else {
            self.connection.execute(sqlx::raw_sql("rollback")).await
        };
        self.changed |= end.is_ok() && answer.is_ok() && self.transaction.changed;
        self.transaction = TransactionState::default();
        match end {
            Ok(_) => {
                if answer.is_ok() {
                    self.returned(Ok(StatementAnswer::Tag("")));
                }
                Ok(answer)
            }
            // A constraint that is checked at the commit, or a lost connection.
            Err(error) if matches!(error, sqlx::Error::Database(_)) || is_lost(&error) => {
                self.returned(Err(&error));
                if let (Some(sent), Some(sqlstate)) = (self.sent.last_mut(), sqlstate(&error)) {
                    sent.error = Some((sqlstate, error_text(&error)));
                }
                Ok(Err(error))
            }
            Err(error) => Err(unanswered(error)),
        }
    }

    /// Sends SQL that is part of a step, before its statement. Returns the error with which the connection was lost, if it was.
    async fn send_within(&mut self, step: &str, sql: String) -> Result<Option<sqlx::Error>, ScriptError> {
        match self.connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await {
            Ok(_) => Ok(None),
            Err(error) if is_lost(&error) => {
                self.returned(Err(&error));
                Ok(Some(error))
            }
            Err(error) => Err(ScriptError::Unanswered { statement: step.to_owned(), error }),
        }
    }

    /// Sends a statement when the barrier lets it. The inner error is PostgreSQL's answer.
    async fn send(&mut self, name: &str, sql: &str, cut: bool) -> Result<StatementEnd, ScriptError> {
        self.step(name, sql).await;
        self.execute(name, sql, cut).await
    }

    /// Waits until the barrier lets a statement go.
    async fn step(&mut self, name: &str, sql: &str) {
        self.barrier.step(name, sql).await;
        // What came since the last answer belongs to no step: it was sent by the session's setup, or behind an error.
        drop(self.notices.take());
    }

    fn returned(&mut self, outcome: Result<StatementAnswer<'_>, &sqlx::Error>) {
        self.barrier.noticed(self.notices.take());
        self.barrier.returned(outcome);
    }

    async fn execute(&mut self, name: &str, sql: &str, cut: bool) -> Result<StatementEnd, ScriptError> {
        let answer = fetch(&mut self.connection, sql).await;
        let step = self.transaction.follow(sql, answer.is_ok());
        self.changed |= step.committed_change;
        let affected = answer.as_ref().map_or(0, |(rows, affected)| (*affected).max(rows.len() as u64));
        let error = answer.as_ref().err().and_then(|error| Some((sqlstate(error)?, error_text(error))));
        self.sent.push(StatementRun { name: name.to_owned(), rows: affected, error });
        match &answer {
            Ok(_) if cut => self.barrier.cut(),
            Ok((rows, _)) if returns_rows(sql) || !rows.is_empty() => {
                self.returned(Ok(StatementAnswer::Rows(rows)));
                let rows = rows.iter().map(|row| self.by_sequence.comparable(row)).collect();
                self.answers.push(ScriptAnswer { statement: name.to_owned(), rows });
            }
            Ok((_, affected)) => {
                let tag = if step.rolled_back { "ROLLBACK".to_owned() } else { tag(sql, *affected) };
                self.returned(Ok(StatementAnswer::Tag(&tag)));
            }
            Err(error) => self.returned(Err(error)),
        }
        match answer {
            Err(error) if !matches!(error, sqlx::Error::Database(_)) && !is_lost(&error) || is_mistyped(&error) => {
                Err(ScriptError::Unanswered { statement: name.to_owned(), error })
            }
            answer => Ok(answer.map(|(rows, _)| rows)),
        }
    }

    async fn roll_back(&mut self) -> Result<(), ScriptError> {
        if self.transaction.open {
            // Its answer changes nothing: either the connection is lost, or the transaction has ended.
            let _ = self.send("rollback", "rollback", false).await?;
        }
        Ok(())
    }

    /// Keeps the values that a statement returned for later ones.
    async fn keep(&mut self, statement: &str, sql: &str, rows: &[PgRow]) -> Result<(), sqlx::Error> {
        if !self.script.keeps_values || !returns_rows(sql) {
            return Ok(());
        }
        for (name, literal) in read_values(&mut self.connection, sql, rows).await? {
            self.variables.insert(format!("{statement}.{name}"), literal.clone());
            self.variables.insert(name, literal);
        }
        Ok(())
    }
}

/// What the step of a statement's own commit shows in place of SQL.
const OWN_COMMIT: &str = "-- the statement before commits";
