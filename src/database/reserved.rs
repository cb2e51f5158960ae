//! Connections beside the pool, for what must not wait for a busy pool: resets, health checks, key expiry.
//!
//! They are bounded, because a flood of such requests would otherwise take every connection that PostgreSQL allows.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::seed::Seed;
use super::{Database, schema, within};
use crate::config::Limits;

/// Resets at once: a second one would only wait for the same locks.
const RESETS: usize = 1;

/// Health checks at once: more would tell nothing more.
const CHECKS: usize = 2;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct ReservedConnections {
    pub(super) options: PgConnectOptions,
    connect_timeout: Duration,
    pub(super) answer_timeout: Duration,
    queue_wait: Duration,
    resets: Arc<Semaphore>,
    pub(super) checks: Semaphore,
}

impl ReservedConnections {
    pub(super) fn new(options: PgConnectOptions, limits: &Limits) -> Self {
        Self {
            options,
            connect_timeout: limits.connect_timeout,
            answer_timeout: limits.statement_timeout + limits.statement_grace,
            queue_wait: limits.queue_wait,
            resets: Arc::new(Semaphore::new(RESETS)),
            checks: Semaphore::new(CHECKS),
        }
    }

    pub(super) async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        within(self.connect_timeout, PgConnection::connect_with(&self.options)).await
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
#[error("{error}")]
pub struct ResetError {
    /// What PostgreSQL or the connection reported.
    #[source]
    pub error: sqlx::Error,
    /// Whether COMMIT was the statement that failed. If not, nothing was changed.
    pub at_commit: bool,
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
        let committed = self.await_answer(transaction.commit()).await;
        committed.map_err(|error| ResetError { error, at_commit: true })?;
        if let Err(error) = self.await_answer(connection.close()).await {
            tracing::debug!(%error, "the reset is done, but its connection did not close cleanly");
        }
        Ok(())
    }

    /// Waits until no other reset is in progress; `None` if that took longer than `queue_wait`.
    pub async fn reset_permit(&self) -> Option<ResetPermit> {
        let permit = Arc::clone(&self.reserved.resets).acquire_owned();
        let permit = tokio::time::timeout(self.reserved.queue_wait, permit).await.ok()?.ok()?;
        Some(ResetPermit { permit })
    }

    /// Whether the database answers, asked on a connection of its own.
    ///
    /// # Errors
    /// As PostgreSQL reports.
    pub async fn check(&self) -> Result<(), sqlx::Error> {
        let _permit = self.reserved.checks.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
        let mut connection = self.reserved.connect().await?;
        self.await_answer(connection.ping()).await?;
        self.await_answer(connection.close()).await
    }
}
