//! Prepared transactions that an interleaving leaves open (the manual, "PREPARE TRANSACTION"): they would keep their locks for ever.

use std::collections::BTreeSet;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _};

use super::script::{ScriptStatement, SessionScript};
use crate::explore::sql_words::statements;

/// The prepared transactions of the database before the first interleaving, which belong to others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PreparedTransactions {
    /// `None` if no session prepares any.
    others: Option<BTreeSet<String>>,
}

impl PreparedTransactions {
    /// Looks for them, if a session prepares any.
    ///
    /// # Errors
    /// An error of the database.
    pub async fn read(connection: &mut PgConnection, sessions: &[SessionScript]) -> Result<Self, sqlx::Error> {
        let prepares = |sql: &str| {
            statements(sql).iter().any(|words| words.len() > 1 && words[0] == "prepare" && words[1] == "transaction")
        };
        let any = sessions
            .iter()
            .flat_map(|session| &session.statements)
            .flat_map(ScriptStatement::sent)
            .any(|template| prepares(&template.shape()));
        Ok(Self { others: if any { Some(open(connection).await?) } else { None } })
    }

    /// Rolls back those that the sessions left open.
    ///
    /// # Errors
    /// An error of the database.
    pub async fn roll_back_new(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let Some(others) = &self.others else { return Ok(()) };
        for gid in open(connection).await?.difference(others) {
            let sql = format!("rollback prepared '{}'", gid.replace('\'', "''"));
            connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await?;
        }
        Ok(())
    }
}

async fn open(connection: &mut PgConnection) -> Result<BTreeSet<String>, sqlx::Error> {
    let gids: Vec<String> = sqlx::query_scalar("select gid from pg_prepared_xacts where database = current_database()")
        .fetch_all(connection)
        .await?;
    Ok(gids.into_iter().collect())
}
