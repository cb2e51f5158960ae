//! A bounded count of the requests that wait for something.

use std::sync::atomic::{AtomicUsize, Ordering};

/// One waiting request. It is counted until the guard is dropped, however the wait ends.
#[derive(Debug)]
pub struct WaitingGuard<'a> {
    count: &'a AtomicUsize,
}

impl<'a> WaitingGuard<'a> {
    /// Counts one more waiting request; `None` if `limit` requests wait already.
    pub fn join(count: &'a AtomicUsize, limit: usize) -> Option<Self> {
        let before = count.fetch_add(1, Ordering::Relaxed);
        // A guard too many is dropped at once, which corrects the count.
        let waiting = Self { count };
        (before < limit).then_some(waiting)
    }
}

impl Drop for WaitingGuard<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_limit_wait_and_a_wait_that_ends_makes_room() {
        let count = AtomicUsize::new(0);
        let first = WaitingGuard::join(&count, 1).expect("room for one");
        assert!(WaitingGuard::join(&count, 1).is_none());
        assert_eq!(count.load(Ordering::Relaxed), 1, "a refused request is not counted");
        drop(first);
        assert!(WaitingGuard::join(&count, 1).is_some());
    }
}
