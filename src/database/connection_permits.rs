//! Permits to use a connection: as many as the pool may open, or fewer where the database refuses more.
//!
//! A request that takes a permit finds an idle connection, or opens one. If the database refuses it, because a limit of its own is
//! reached, and others are open, the request gives up its permit and waits for a permit of another request, whose connection is then
//! idle. So the permits become as many as the connections. One that was given up comes back after a while, because a limit can be
//! raised; if a connection is opened with it, the next one comes back at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, TryAcquireError};

use super::pool::LeaseError;

/// How long after a refusal one more connection is tried. Behind a pooler, a try that is refused takes as long as connecting may.
const RETRY: Duration = Duration::from_secs(30);

/// See the [module](self).
#[derive(Debug)]
pub(super) struct ConnectionPermits {
    permits: Arc<Semaphore>,
    size: usize,
    /// Permits that were given up.
    missing: AtomicUsize,
    /// When the next one comes back, in milliseconds since the pool was made.
    next_try: AtomicUsize,
    made: Instant,
}

impl ConnectionPermits {
    pub fn new(size: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(size)),
            size,
            missing: AtomicUsize::new(0),
            next_try: AtomicUsize::new(0),
            made: Instant::now(),
        }
    }

    /// A permit, if one is free.
    pub fn try_take(&self) -> Result<Option<OwnedSemaphorePermit>, LeaseError> {
        self.restore_when_due();
        match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => Ok(Some(permit)),
            Err(TryAcquireError::NoPermits) => Ok(None),
            Err(TryAcquireError::Closed) => Err(LeaseError::Stopping),
        }
    }

    /// Waits for a permit, in order of arrival.
    pub async fn take(&self, wait_until: Instant) -> Result<OwnedSemaphorePermit, LeaseError> {
        let permit = Arc::clone(&self.permits).acquire_owned();
        let taken = tokio::time::timeout_at(wait_until.into(), permit).await;
        taken.map_err(|_elapsed| LeaseError::WaitedTooLong)?.map_err(|_: AcquireError| LeaseError::Stopping)
    }

    /// The database has refused a connection.
    pub fn give_up(&self, permit: OwnedSemaphorePermit, reason: &dyn std::fmt::Display) {
        permit.forget();
        let missing = self.missing.fetch_add(1, Ordering::Relaxed) + 1;
        if missing == 1 {
            tracing::warn!(
                %reason,
                wanted = self.size,
                "the database refuses connections that --pool-size allows; requests wait for those that are open"
            );
        }
        self.next_try.store(self.now() + milliseconds(RETRY), Ordering::Relaxed);
    }

    /// A connection was opened.
    pub fn opened(&self) {
        if self.missing.load(Ordering::Relaxed) > 0 {
            self.restore();
        }
    }

    /// Gives out no more.
    pub fn close(&self) {
        self.permits.close();
    }

    fn restore_when_due(&self) {
        if self.missing.load(Ordering::Relaxed) == 0 {
            return;
        }
        let (now, due) = (self.now(), self.next_try.load(Ordering::Relaxed));
        let next = now + milliseconds(RETRY);
        let is_first = || self.next_try.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if now >= due && is_first() {
            self.restore();
        }
    }

    fn restore(&self) {
        let fewer = self.missing.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |missing| missing.checked_sub(1));
        if fewer.is_ok() {
            self.permits.add_permits(1);
        }
    }

    fn now(&self) -> usize {
        milliseconds(self.made.elapsed())
    }
}

fn milliseconds(time: Duration) -> usize {
    usize::try_from(time.as_millis()).unwrap_or(usize::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_permit_that_was_given_up_comes_back_when_a_connection_is_opened() {
        let permits = ConnectionPermits::new(2);
        let first = permits.try_take().expect("open").expect("free");
        let second = permits.try_take().expect("open").expect("free");
        permits.give_up(second, &"full");
        assert!(permits.try_take().expect("open").is_none());
        let soon = Instant::now() + Duration::from_millis(10);
        assert_eq!(permits.take(soon).await.expect_err("none"), LeaseError::WaitedTooLong);
        drop(first);
        let first = permits.take(soon + RETRY).await.expect("the one that came back");
        permits.opened();
        let second = permits.try_take().expect("open").expect("restored");
        permits.opened();
        assert!(permits.try_take().expect("open").is_none(), "never more than at the start");
        drop((first, second));
        permits.close();
        assert_eq!(permits.try_take().expect_err("closed"), LeaseError::Stopping);
    }
}
