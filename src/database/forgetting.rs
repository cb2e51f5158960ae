//! Idempotency keys do not stay for ever.

use super::Database;
use crate::config::Limits;

/// Keys deleted by one statement: few enough for its time limit, and for the locks of those that claim keys meanwhile.
const CHUNK: i64 = 5_000;

/// Before when a key must have been made to be forgotten: it has expired, or there are as many as are kept that are newer.
const CUTOFF: &str = "select greatest( \
         now() - make_interval(secs => $1), \
         (select made_at from idempotency_keys order by made_at desc offset $2 limit 1) \
     )::text";

/// Deletes the oldest of them.
const FORGET: &str = "delete from idempotency_keys where key in ( \
         select key from idempotency_keys where made_at < $1::timestamptz order by made_at limit $2)";

impl Database {
    /// Forgets idempotency keys that are older than `limits.idempotency_ttl`, or older than the newest
    /// `limits.idempotency_keys`, and says how many. On a connection beside the pool, a chunk at a time; there is an end, as
    /// only those are deleted that were there when it began.
    ///
    /// # Errors
    /// As PostgreSQL says.
    pub async fn forget_old_keys(&self, limits: &Limits) -> Result<u64, sqlx::Error> {
        let mut connection = self.aside.connect().await?;
        let cutoff = sqlx::query_scalar(CUTOFF)
            .bind(limits.idempotency_ttl.as_secs_f64())
            .bind(i64::from(limits.idempotency_keys));
        let cutoff: String = self.heard(cutoff.fetch_one(&mut connection)).await?;
        let mut forgotten = 0;
        loop {
            let forget = sqlx::query(FORGET).bind(&cutoff).bind(CHUNK);
            let deleted = self.heard(forget.execute(&mut connection)).await?.rows_affected();
            forgotten += deleted;
            if deleted == 0 {
                break;
            }
        }
        self.heard(sqlx::Connection::close(connection)).await?;
        Ok(forgotten)
    }
}
