//! Where a session of a file waits before each of its statements, and reports what each returned.

use async_trait::async_trait;
use sqlx::postgres::PgRow;

use crate::explore::run::gate::Gate;

/// A session waits here before each of its statements, and reports what each returned.
#[async_trait]
pub trait StatementBarrier: Send {
    /// Waits until this statement is let go.
    async fn step(&mut self, name: &str, sql: &str);

    /// Reports the notices that the statement received, before its result.
    fn noticed(&mut self, notices: Vec<String>);

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

#[async_trait]
impl StatementBarrier for Gate {
    async fn step(&mut self, name: &str, sql: &str) {
        Self::step(self, name, sql, &[]).await;
    }

    fn noticed(&mut self, notices: Vec<String>) {
        Self::noticed(self, notices);
    }

    fn returned(&mut self, outcome: Result<StatementAnswer<'_>, &sqlx::Error>) {
        match outcome {
            Ok(StatementAnswer::Rows(rows)) => self.returned_rows(Ok(rows)),
            Ok(StatementAnswer::Tag(tag)) => self.returned_tag(tag),
            Err(error) => self.returned_rows(Err(error)),
        }
    }

    fn cut(&mut self) {
        self.was_cut();
    }
}
