//! What a PostgreSQL says of itself: figures mean nothing without it.

use std::collections::BTreeMap;

use sqlx::Connection;

use super::Database;

/// The settings that decide on durability, isolation and speed. Those that a version does not have are left out.
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
    /// The server's version, and the settings of a session of ours, as `SHOW` gives them. On a connection of its own.
    ///
    /// # Errors
    /// As PostgreSQL says.
    pub async fn settings(&self) -> Result<(String, BTreeMap<String, String>), sqlx::Error> {
        let _turn = self.aside.checks.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
        let mut connection = self.aside.connect().await?;
        let version = sqlx::query_scalar("select current_setting('server_version')");
        let version = self.heard(version.fetch_one(&mut connection)).await?;
        let settings = sqlx::query_as("select name, current_setting(name) from pg_settings where name = any($1)");
        let settings: Vec<(String, String)> = self.heard(settings.bind(NAMES).fetch_all(&mut connection)).await?;
        self.heard(connection.close()).await?;
        Ok((version, settings.into_iter().collect()))
    }
}
