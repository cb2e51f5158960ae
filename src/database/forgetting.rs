//! Idempotency keys do not stay for ever.

use super::Database;
use crate::config::Limits;

/// Keys deleted by one statement: few enough for its time limit, and for the locks of those that claim keys meanwhile.
const CHUNK: i64 = 5_000;

/// Statements of one sweep; what they leave, the next one takes.
const CHUNKS: usize = 200;

/// Deletes the oldest keys that have expired, or that are more than are kept.
const FORGET: &str = "delete from idempotency_keys where key in ( \
         select key from idempotency_keys \
         where made_at < greatest( \
             now() - make_interval(secs => $1), \
             (select made_at from idempotency_keys order by made_at desc offset $2 limit 1) \
         ) order by made_at limit $3)";

impl Database {
    /// Forgets idempotency keys that are older than `limits.idempotency_ttl`, or older than the newest
    /// `limits.idempotency_keys`, and says how many. On a connection beside the pool, within bounds.
    ///
    /// # Errors
    /// As PostgreSQL says.
    pub async fn forget_old_keys(&self, limits: &Limits) -> Result<u64, sqlx::Error> {
        let mut connection = self.aside.connect().await?;
        let mut forgotten = 0;
        for _ in 0..CHUNKS {
            let forget = sqlx::query(FORGET)
                .bind(limits.idempotency_ttl.as_secs_f64())
                .bind(i64::from(limits.idempotency_keys))
                .bind(CHUNK);
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
