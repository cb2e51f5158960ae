//! Idempotency keys are deleted when they are too old or too many.

use super::Database;
use crate::config::Limits;

/// Keys deleted by one statement: few enough for the statement timeout, and for the requests that claim keys meanwhile
/// and would wait for the statement's locks.
const CHUNK: i64 = 5_000;

/// The time before which a key is deleted: it is older than the limit ($1), or as many newer ones are kept ($2).
const CUTOFF: &str = "select greatest( \
         now() - make_interval(secs => $1), \
         (select made_at from idempotency_keys order by made_at desc offset $2 limit 1) \
     )::text";

/// Deletes the oldest of them.
const FORGET: &str = "delete from idempotency_keys where key in ( \
         select key from idempotency_keys where made_at < $1::timestamptz order by made_at limit $2)";

impl Database {
    /// Deletes idempotency keys that are older than `limits.idempotency_ttl`, or older than the newest
    /// `limits.idempotency_keys`, and returns their number. It works on a connection beside the pool, a chunk at a time. It
    /// ends, because it deletes only keys that were there when it began.
    ///
    /// # Errors
    /// As PostgreSQL reports.
    pub async fn forget_old_keys(&self, limits: &Limits) -> Result<u64, sqlx::Error> {
        let mut connection = self.reserved.connect().await?;
        let cutoff = sqlx::query_scalar(CUTOFF)
            .bind(limits.idempotency_ttl.as_secs_f64())
            .bind(i64::from(limits.idempotency_keys));
        let cutoff: String = self.await_answer(cutoff.fetch_one(&mut connection)).await?;
        let mut forgotten = 0;
        loop {
            let forget = sqlx::query(FORGET).bind(&cutoff).bind(CHUNK);
            let deleted = self.await_answer(forget.execute(&mut connection)).await?.rows_affected();
            forgotten += deleted;
            if deleted == 0 {
                break;
            }
        }
        self.await_answer(sqlx::Connection::close(connection)).await?;
        Ok(forgotten)
    }
}
