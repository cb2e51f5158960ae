//! The version and the settings of the PostgreSQL: measured figures mean nothing without them.

use std::collections::BTreeMap;

use sqlx::Connection;

use super::{CheckError, Database};

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

/// Settings without which a crash can take back what was committed, and what can then happen.
const DURABILITY: [(&str, &str); 3] = [
    ("fsync", "a crash of the machine can destroy the database"),
    ("full_page_writes", "a crash of the machine can destroy pages of the database"),
    ("synchronous_commit", "a crash of PostgreSQL can take back the last changes, although they were answered as done"),
];

/// Which of these settings are off, and what can then happen, as a text: `fsync = off: …`. `None` if a commit is durable.
#[must_use]
pub fn lost_by_a_crash(settings: &BTreeMap<String, String>) -> Option<String> {
    let is_off = |name: &str| settings.get(name).is_some_and(|value| value == "off");
    let off = DURABILITY.iter().filter(|(name, _)| is_off(name));
    let off: Vec<String> = off.map(|(name, loss)| format!("{name} = off: {loss}")).collect();
    (!off.is_empty()).then(|| off.join("; "))
}

impl Database {
    /// The server's version, and the settings of one of our sessions as `SHOW` gives them, read on a connection of its own.
    ///
    /// # Errors
    /// As PostgreSQL reports.
    pub async fn settings(&self) -> Result<(String, BTreeMap<String, String>), CheckError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_that_is_off_is_named() {
        let settings = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>()
        };
        assert_eq!(
            lost_by_a_crash(&settings(&[("fsync", "on"), ("synchronous_commit", "local"), ("jit", "off")])),
            None
        );
        let found = lost_by_a_crash(&settings(&[("fsync", "off"), ("synchronous_commit", "off")])).expect("two");
        assert!(found.starts_with("fsync = off: ") && found.contains("; synchronous_commit = off: "), "{found}");
    }
}
