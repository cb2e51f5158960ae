//! The version and the settings of the PostgreSQL: measured figures mean nothing without them.

use std::collections::BTreeMap;

use sqlx::Connection;

use super::Database;

/// The settings that decide on durability, isolation and speed. A setting that the server's version does not have is left out.
const NAMES: &[&str] = &[
    "autovacuum",
    "checkpoint_timeout",
    "commit_delay",
    "deadlock_timeout",
    "default_transaction_isolation",
    "enable_seqscan",
    "fsync",
    "full_page_writes",
    "idle_in_transaction_session_timeout",
    "jit",
    "lock_timeout",
    "max_connections",
    "max_wal_size",
    "plan_cache_mode",
    "shared_buffers",
    "statement_timeout",
    "synchronous_commit",
    "wal_level",
    "wal_sync_method",
];

impl Database {
    /// The server's version, and the settings of one of our sessions as `SHOW` gives them, read on a connection of its own.
    ///
    /// # Errors
    /// As PostgreSQL reports.
    pub async fn settings(&self) -> Result<(String, BTreeMap<String, String>), sqlx::Error> {
        let _permit = self.reserved.checks.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
        let mut connection = self.reserved.connect().await?;
        let version = sqlx::query_scalar("select current_setting('server_version')");
        let version = self.await_answer(version.fetch_one(&mut connection)).await?;
        let settings = sqlx::query_as("select name, current_setting(name) from pg_settings where name = any($1)");
        let settings: Vec<(String, String)> =
            self.await_answer(settings.bind(NAMES).fetch_all(&mut connection)).await?;
        self.await_answer(connection.close()).await?;
        Ok((version, settings.into_iter().collect()))
    }
}
