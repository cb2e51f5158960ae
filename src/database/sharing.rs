//! Whether a session has its server process to itself, which a second connection shows.
//!
//! A pooler in transaction mode takes the server process from a session at the end of each transaction, and gives it to the
//! next client. A single connection may not notice: with no other client it gets the same process each time. So two
//! connections, A and B, are used in turn:
//!
//! 1. A and B are in a transaction at the same time. Now there are two server processes. (If the pooler has only one, B waits until A's
//!    transaction ends.)
//! 2. B ends its transaction, then A. B begins again: a pooler that lends the process that was used last gives B the one of A.
//! 3. A sends a statement while B's transaction is open, and two after it: a pooler that takes its processes in turn gives A another.
//!
//! In session mode, and without a pooler, each connection meets one process throughout. The statements are sent by the simple
//! protocol and set nothing, so that the other clients of a shared process notice nothing.

use std::fmt;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Executor as _, Row as _};

use super::error_text::ErrorText;
use super::opening::is_protocol_violation;
use super::tls::connect;
use super::within;

/// How long the second connection waits for a server process, before and after the first one ends its transaction.
const SECOND_WAIT: Duration = Duration::from_secs(1);

/// How long an answer may take otherwise.
const ANSWER_WAIT: Duration = Duration::from_secs(3);

/// How long the pooler may take to tell its name, which only a message needs.
const NAME_WAIT: Duration = Duration::from_secs(1);

const PROCESS: &str = "select pg_backend_pid()";
const BEGIN: &str = "begin; select pg_backend_pid()";
const END: &str = "rollback";

/// How long a pooler lends a server process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolingMode {
    /// For a transaction.
    Transaction,
    /// For a statement.
    Statement,
}

impl fmt::Display for PoolingMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Transaction => "transaction",
            Self::Statement => "statement",
        })
    }
}

/// What a second connection shows.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The session has its server process to itself.
    Exclusive,
    /// It has not.
    Shared(PoolingMode),
    /// There was no second connection; the reason.
    NoSecond(String),
}

/// Looks whether the first connection has its server process to itself, with a second one that is closed at the end.
///
/// # Errors
/// A lost connection.
pub(super) async fn examine_beside(
    first: &mut PgConnection,
    connecting: impl Future<Output = Result<PgConnection, sqlx::Error>>,
) -> Result<Verdict, sqlx::Error> {
    let shared = Ok(Verdict::Shared(PoolingMode::Transaction));
    let process = ask(first, PROCESS).await?;
    match ask(first, BEGIN).await {
        Err(error) if is_protocol_violation(&error) => return Ok(Verdict::Shared(PoolingMode::Statement)),
        Err(error) => return Err(error),
        Ok(found) if found != process => return shared,
        Ok(_) => {}
    }
    let mut second = match connecting.await {
        Ok(second) => second,
        Err(error) => {
            end(first).await?;
            return Ok(Verdict::NoSecond(ErrorText(&error).to_string()));
        }
    };
    let mut beginning = Box::pin(second.fetch_all(sqlx::raw_sql(BEGIN)));
    let begun = match tokio::time::timeout(SECOND_WAIT, &mut beginning).await {
        Ok(begun) => begun,
        Err(_elapsed) => {
            // It waits for the end of the transaction, or for the end of the session.
            end(first).await?;
            match tokio::time::timeout(SECOND_WAIT, &mut beginning).await {
                Ok(begun) => begun,
                Err(_elapsed) => {
                    return Ok(Verdict::NoSecond("its first statement waits for a server process".to_owned()));
                }
            }
        }
    };
    drop(beginning);
    let second_process = match begun {
        Ok(rows) => number(&rows)?,
        Err(error) => {
            end(first).await?;
            return Ok(Verdict::NoSecond(ErrorText(&error).to_string()));
        }
    };
    if second_process == process {
        return shared;
    }
    end(&mut second).await?;
    end(first).await?;
    if ask(&mut second, BEGIN).await? != second_process || ask(first, PROCESS).await? != process {
        return shared;
    }
    end(&mut second).await?;
    for _ in 0..2 {
        if ask(first, PROCESS).await? != process {
            return shared;
        }
    }
    within(ANSWER_WAIT, second.close()).await?;
    Ok(Verdict::Exclusive)
}

async fn end(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    within(ANSWER_WAIT, connection.execute(sqlx::raw_sql(END))).await.map(drop)
}

/// Sends statements of which the last asks for the server process.
async fn ask(connection: &mut PgConnection, sql: &'static str) -> Result<i32, sqlx::Error> {
    number(&within(ANSWER_WAIT, connection.fetch_all(sqlx::raw_sql(sql))).await?)
}

fn number(rows: &[sqlx::postgres::PgRow]) -> Result<i32, sqlx::Error> {
    rows.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0)
}

/// The name of the pooler. PgBouncer tells it to its administrators, in a database of its own; others it refuses in its own way.
pub(super) async fn name_of_pooler(options: &PgConnectOptions) -> String {
    let asked = within(NAME_WAIT, async {
        let mut console = connect(&options.clone().database("pgbouncer")).await?;
        let row = console.fetch_one(sqlx::raw_sql("show version")).await?;
        row.try_get::<String, _>(0)
    });
    match asked.await {
        Ok(version) => version,
        Err(error) if is_protocol_violation(&error) => "a connection pooler (PgBouncer, as it seems)".to_owned(),
        Err(_) => "a connection pooler, such as PgBouncer,".to_owned(),
    }
}
