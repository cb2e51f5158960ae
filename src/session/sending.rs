//! How a session sends a statement and reads the answer: the only way from a strategy to PostgreSQL.

use std::time::Instant;

use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::{Executor, Postgres};

use super::probe::Completed;
use super::statement::{COMMIT, Effect, ITS_COMMIT, Parameters, Statement};
use super::{AttemptError, Session, Transaction, bug, sqlstate};
use crate::database::{ErrorText, commit_warning};

impl Session {
    pub(super) async fn control(&mut self, statement: &'static Statement) -> Result<(), AttemptError> {
        let statement = self.amended(statement);
        self.run(statement, &[], async |connection: &mut PgConnection| {
            connection.execute(sqlx::raw_sql(statement.sql)).await.map(|_| None)
        })
        .await
        .map(|_: Option<PgRow>| ())
    }

    pub(super) async fn send(
        &mut self,
        statement: &'static Statement,
        values: impl Parameters,
    ) -> Result<Option<PgRow>, AttemptError> {
        self.prepare_for_key().await?;
        self.send_without_key(statement, values).await
    }

    pub(super) async fn send_without_key(
        &mut self,
        statement: &'static Statement,
        values: impl Parameters,
    ) -> Result<Option<PgRow>, AttemptError> {
        let statement = self.amended(statement);
        let texts = self.texts_for_probes(&values);
        let arguments = encode(statement, values)?;
        self.run(statement, &texts, async |connection: &mut PgConnection| {
            connection.fetch_optional(sqlx::query_with::<Postgres, _>(statement.sql, arguments)).await
        })
        .await
    }

    /// Sends one statement. Every statement of every strategy passes here.
    pub(super) async fn run<R: Rows>(
        &mut self,
        statement: &'static Statement,
        values: &[String],
        exchange: impl AsyncFnOnce(&mut PgConnection) -> Result<R, sqlx::Error>,
    ) -> Result<R, AttemptError> {
        let observed = !self.probes.is_empty();
        if observed {
            self.hold(statement, values).await;
        }
        let leasing = (observed && self.lease.is_none()).then(Instant::now);
        let by_itself = statement.effect == Effect::Writes && !self.in_transaction();
        let apart = by_itself && self.server.conditions().commits_apart;
        let decisive = by_itself && !apart || [COMMIT, ITS_COMMIT].contains(statement);
        let lease = match &mut self.lease {
            Some(lease) => lease,
            none => none.insert(self.server.database().pool().lease(self.wait_until).await?),
        };
        let sent = observed.then(Instant::now);
        self.in_flight = true;
        let connection = lease.connection();
        let mut in_doubt = None;
        let answer = async {
            if apart {
                connection.execute("begin").await?;
            }
            let answer = if decisive {
                let (answer, warning) = commit_warning::noticed(exchange(connection)).await;
                if let (Ok(_), Some(warning)) = (&answer, warning) {
                    in_doubt = commit_warning::doubt(connection, &warning).await?;
                }
                answer
            } else {
                exchange(connection).await
            };
            if apart && answer.is_err() {
                connection.execute("rollback").await?;
            }
            answer
        };
        let result = self.server.database().await_answer(answer).await;
        self.in_flight = false;
        if let Some(sent) = sent {
            let completed = Completed {
                session: self.id,
                statement,
                waited_for_row: std::mem::take(&mut self.waited_for_row),
                waited_for_connection: leasing.map(|leasing| sent - leasing).unwrap_or_default(),
                took: sent.elapsed(),
                outcome: result.as_ref().map(Rows::rows),
            };
            self.probes.iter_mut().for_each(|probe| probe.completed(&completed));
        }
        if self.probes.iter_mut().any(|probe| probe.cuts_after(statement)) {
            self.discard_connection();
            return Err(sqlstate::lost("the connection was cut".to_owned(), decisive));
        }
        if let Some(reason) = in_doubt {
            return Err(AttemptError::OutcomeUnknown(reason.into()));
        }
        match result {
            Ok(rows) if apart => Box::pin(self.commit_apart()).await.map(|()| rows),
            Ok(rows) => Ok(rows),
            Err(error) => Err(self.failed(statement, &error, decisive)),
        }
    }

    /// Commits a statement that is a transaction by itself, in a step of its own.
    async fn commit_apart(&mut self) -> Result<(), AttemptError> {
        self.transaction = Transaction::Open;
        self.commit_by(&ITS_COMMIT).await
    }

    /// Decides what an error means, and whether the connection can be used again.
    fn failed(&mut self, statement: &'static Statement, error: &sqlx::Error, decisive: bool) -> AttemptError {
        if sqlstate::connection_survives(error) {
            if self.in_transaction() {
                self.transaction = Transaction::Aborted;
            }
        } else {
            tracing::warn!(session = %self.id, statement = statement.name, error = %ErrorText(error), "database connection discarded");
            self.discard_connection();
        }
        sqlstate::classify(error, decisive)
    }
}

/// The rows of an answer, for probes.
pub(super) trait Rows {
    fn rows(&self) -> &[PgRow];
}

impl Rows for Option<PgRow> {
    fn rows(&self) -> &[PgRow] {
        self.as_slice()
    }
}

impl Rows for Vec<PgRow> {
    fn rows(&self) -> &[PgRow] {
        self
    }
}

pub(super) fn encode(statement: &'static Statement, values: impl Parameters) -> Result<PgArguments, AttemptError> {
    values.encode().map_err(|error| bug(statement, &error))
}
