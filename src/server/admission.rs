//! Admission: at most `row_sessions` sessions may work on a row at once. The others wait here, first come, first served.
//!
//! A hot row is worked on by one transaction at a time, whatever the pool's size, because its lock is held until the
//! COMMIT is on disk. A session that waits for the lock *inside* PostgreSQL costs a connection and makes every hand-over of
//! the lock more expensive; a session that waits here costs a queue entry. A few sessions per row are admitted all the same:
//! the next one has its statement sent and waiting when the lock comes free, and a race remains possible (with one session
//! per row, `naive` would look correct).
//!
//! A session enters its rows in order and before it takes a connection, so there is no circular wait. This is one server's
//! own queue: it only lowers the cost, and no approach may rely on it to be correct.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::database::waiting::WaitingGuard;
use domain::Row;

/// Shards of the map of rows, so that requests for different rows do not contend for one mutex.
const SHARDS: usize = 64;

type RowShard = Mutex<HashMap<Row, Arc<Semaphore>>>;

/// The permits of all rows that a session works on or waits for.
#[derive(Debug)]
pub struct Admission {
    shards: Vec<RowShard>,
    hasher: RandomState,
    per_row: usize,
    waiting: AtomicUsize,
    queue: usize,
    wait: Duration,
}

/// Why a session was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdmissionRefused {
    /// As many requests as may wait are waiting.
    QueueFull,
    /// The wait ended before a permit came free.
    WaitedTooLong,
}

/// Permits to work on rows, given back when dropped.
#[derive(Debug)]
pub struct RowPermits {
    #[expect(dead_code, reason = "held for their Drop")]
    held: Vec<RowPermit>,
}

impl Admission {
    /// Admits `per_row` sessions to each row; `queue` requests may wait, each at most `wait` long.
    #[must_use]
    pub fn new(per_row: usize, queue: usize, wait: Duration) -> Arc<Self> {
        let shards = std::iter::repeat_with(Mutex::default).take(SHARDS).collect();
        Arc::new(Self { shards, hasher: RandomState::new(), per_row, waiting: AtomicUsize::new(0), queue, wait })
    }

    /// Takes a permit for each of the rows, in the order of the rows.
    ///
    /// # Errors
    /// [`AdmissionRefused`]; the permits taken so far are given back.
    pub async fn enter(self: &Arc<Self>, rows: &[Row]) -> Result<RowPermits, AdmissionRefused> {
        let mut ordered = rows.to_vec();
        ordered.sort_unstable();
        ordered.dedup();
        let mut held = Vec::with_capacity(ordered.len());
        for row in ordered {
            held.push(self.enter_one(row).await?);
        }
        Ok(RowPermits { held })
    }

    /// The number of requests that wait for a row now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    async fn enter_one(self: &Arc<Self>, row: Row) -> Result<RowPermit, AdmissionRefused> {
        let semaphore =
            Arc::clone(self.shard(row).entry(row).or_insert_with(|| Arc::new(Semaphore::new(self.per_row))));
        let mut permit = RowPermit { admission: Arc::clone(self), row, semaphore: Some(semaphore), admitted: false };
        permit.admitted = permit.try_enter() || permit.wait().await?;
        Ok(permit)
    }

    fn shard(&self, row: Row) -> MutexGuard<'_, HashMap<Row, Arc<Semaphore>>> {
        let index = usize::try_from(self.hasher.hash_one(row) % SHARDS as u64).unwrap_or(0);
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The permit for one row: first waited for, then held. The row leaves the map with its last permit.
#[derive(Debug)]
struct RowPermit {
    admission: Arc<Admission>,
    row: Row,
    /// `None` only while the permit is dropped.
    semaphore: Option<Arc<Semaphore>>,
    admitted: bool,
}

impl RowPermit {
    fn try_enter(&self) -> bool {
        self.semaphore
            .as_ref()
            .and_then(|semaphore| semaphore.try_acquire().ok())
            .map(SemaphorePermit::forget)
            .is_some()
    }

    async fn wait(&self) -> Result<bool, AdmissionRefused> {
        let Some(semaphore) = &self.semaphore else { return Ok(false) };
        let _waiting =
            WaitingGuard::join(&self.admission.waiting, self.admission.queue).ok_or(AdmissionRefused::QueueFull)?;
        match tokio::time::timeout(self.admission.wait, semaphore.acquire()).await {
            Ok(Ok(permit)) => {
                permit.forget();
                Ok(true)
            }
            Ok(Err(_)) | Err(_) => Err(AdmissionRefused::WaitedTooLong),
        }
    }
}

impl Drop for RowPermit {
    fn drop(&mut self) {
        // References are taken and dropped only under the shard's mutex, so the count is exact and no row stays in the map.
        let mut shard = self.admission.shard(self.row);
        if let Some(semaphore) = self.semaphore.take()
            && self.admitted
        {
            semaphore.add_permits(1);
        }
        if let Entry::Occupied(entry) = shard.entry(self.row)
            && Arc::strong_count(entry.get()) == 1
        {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: Row = Row::User(1);
    const LONG: Duration = Duration::from_mins(1);

    fn rows(admission: &Admission) -> usize {
        admission.shards.iter().map(|shard| shard.lock().unwrap().len()).sum()
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_per_row_is_kept_and_the_next_session_waits() {
        let admission = Admission::new(2, 10, LONG);
        let first = admission.enter(&[ROW]).await.unwrap();
        let _second = admission.enter(&[ROW, ROW]).await.unwrap();
        let third = tokio::spawn({
            let admission = Arc::clone(&admission);
            async move { admission.enter(&[ROW]).await.map(drop) }
        });
        while admission.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        assert!(admission.enter(&[Row::User(2)]).await.is_ok(), "another row is free");
        drop(first);
        assert_eq!(third.await.unwrap(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_and_a_wait_too_long_are_different_refusals() {
        let admission = Admission::new(1, 1, LONG);
        let _held = admission.enter(&[ROW]).await.unwrap();
        let waiter = {
            let admission = Arc::clone(&admission);
            tokio::spawn(async move { admission.enter(&[ROW]).await.map(drop) })
        };
        while admission.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(admission.enter(&[ROW]).await.map(drop), Err(AdmissionRefused::QueueFull));
        assert_eq!(waiter.await.unwrap(), Err(AdmissionRefused::WaitedTooLong));
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_leaves_the_map_with_its_last_permit() {
        let admission = Admission::new(1, 10, LONG);
        let held = admission.enter(&[Row::User(2), ROW]).await.unwrap();
        assert_eq!(rows(&admission), 2);
        let abandoned = tokio::time::timeout(Duration::from_secs(1), admission.enter(&[ROW])).await;
        assert!(abandoned.is_err(), "the wait was dropped before it ended");
        assert_eq!(admission.waiting(), 0);
        drop(held);
        assert_eq!(rows(&admission), 0);
        assert!(admission.enter(&[ROW]).await.is_ok());
    }
}
