//! Connections beside the pool, for what must not wait for a busy pool: resets, health checks, key expiry.
//!
//! They are bounded, because a flood of such requests would otherwise take every connection that PostgreSQL allows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::opening::{ConnectionOpener, Examination, OpenError, OpenedSession};
use super::seed::Seed;
use super::{Database, ErrorText, commit_warning, schema};
use crate::config::Limits;

/// Resets at once: a second one would only wait for the same locks.
const RESETS: usize = 1;

/// Health checks at once: more would tell nothing more.
const CHECKS: usize = 2;

/// How long a health check waits for a connection of its own, and for one of the pool's.
const CHECK_OPENING: Duration = Duration::from_millis(900);

/// See the [module](self).
#[derive(Debug)]
pub(super) struct ReservedConnections {
    pub(super) opener: Arc<ConnectionOpener>,
    pub(super) answer_timeout: Duration,
    queue_wait: Duration,
    resets: Arc<Semaphore>,
    pub(super) checks: Semaphore,
}

impl ReservedConnections {
    pub(super) fn new(opener: Arc<ConnectionOpener>, limits: &Limits) -> Self {
        Self {
            opener,
            answer_timeout: limits.statement_timeout + limits.statement_grace,
            queue_wait: limits.queue_wait,
            resets: Arc::new(Semaphore::new(RESETS)),
            checks: Semaphore::new(CHECKS),
        }
    }

    pub(super) async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        Ok(self.open().await?.connection)
    }

    async fn open(&self) -> Result<OpenedSession, OpenError> {
        self.opener.open(Examination::Alone).await
    }
}

/// The permission to reset; the next reset waits until it is dropped.
#[derive(Debug)]
pub struct ResetPermit {
    #[expect(dead_code, reason = "held for its Drop")]
    permit: OwnedSemaphorePermit,
}

/// A reset that failed. Its SQLSTATE is not classified here.
#[derive(Debug, thiserror::Error)]
#[error("{}", ErrorText(error))]
pub struct ResetError {
    /// What PostgreSQL or the connection reported.
    #[source]
    pub error: sqlx::Error,
    /// Whether COMMIT was the statement that failed. If not, nothing was changed.
    pub at_commit: bool,
}

/// Why no change is possible now.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The database does not answer, or refuses the connection.
    #[error("{}", ErrorText(.0))]
    Lost(#[from] sqlx::Error),
    /// The connection cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It is a standby, or `default_transaction_read_only` is on.
    #[error("it accepts no changes, because its transactions are read-only")]
    ReadOnly,
}

impl Database {
    /// Replaces all data by a seed's, in one transaction on a connection of its own, so that a busy pool cannot delay it.
    ///
    /// # Errors
    /// [`ResetError`]. A deadlock is possible: a reset locks whole tables, and each approach locks rows in its own order.
    pub async fn reset(&self, seed: Seed) -> Result<(), ResetError> {
        let before_commit = |error| ResetError { error, at_commit: false };
        let mut connection = self.reserved.connect().await.map_err(before_commit)?;
        let mut transaction = self.await_answer(connection.begin()).await.map_err(before_commit)?;
        self.await_answer(schema::replace_data(&mut transaction, seed)).await.map_err(before_commit)?;
        let at_commit = |error| ResetError { error, at_commit: true };
        let (committed, warning) = commit_warning::noticed(self.await_answer(transaction.commit())).await;
        committed.map_err(at_commit)?;
        if let Some(warning) = warning {
            let doubt = self.await_answer(commit_warning::doubt(&mut connection, &warning)).await.map_err(at_commit)?;
            if let Some(doubt) = doubt {
                return Err(at_commit(sqlx::Error::Io(std::io::Error::other(doubt))));
            }
        }
        if let Err(error) = self.await_answer(connection.close()).await {
            tracing::debug!(error = %ErrorText(&error), "the reset is done, but its connection did not close cleanly");
        }
        Ok(())
    }

    /// Waits until no other reset is in progress; `None` if that took longer than `queue_wait`.
    pub async fn reset_permit(&self) -> Option<ResetPermit> {
        let permit = Arc::clone(&self.reserved.resets).acquire_owned();
        let permit = tokio::time::timeout(self.reserved.queue_wait, permit).await.ok()?.ok()?;
        Some(ResetPermit { permit })
    }

    /// Whether the database answers and takes changes, asked on a connection of its own, or on one of the pool's if the database gives no
    /// other.
    ///
    /// # Errors
    /// [`CheckError`].
    pub async fn check(&self) -> Result<(), CheckError> {
        let _permit = self.reserved.checks.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
        let opening = tokio::time::timeout(CHECK_OPENING, self.reserved.open()).await;
        let refused = match opening {
            Ok(Ok(opened)) => {
                self.await_answer(opened.connection.close()).await?;
                return if opened.read_only { Err(CheckError::ReadOnly) } else { Ok(()) };
            }
            Ok(Err(error)) => error,
            Err(_elapsed) => OpenError::Connect(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
        };
        // The pool may have all connections that the database allows.
        match self.pool.examine_one(Instant::now() + CHECK_OPENING).await {
            Some(false) => Ok(()),
            Some(true) => Err(CheckError::ReadOnly),
            None => Err(refused.into()),
        }
    }
}
