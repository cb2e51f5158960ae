//! A bounded count of those who wait.

use std::sync::atomic::{AtomicUsize, Ordering};

/// One of those who wait, counted for as long as it waits, however the wait ends.
#[derive(Debug)]
pub struct WaitingGuard<'a> {
    count: &'a AtomicUsize,
}

impl<'a> WaitingGuard<'a> {
    /// Joins those who wait, unless as many as may wait do.
    pub fn join(count: &'a AtomicUsize, most: usize) -> Option<Self> {
        let before = count.fetch_add(1, Ordering::Relaxed);
        // Dropped at once where it is one too many, which takes it off the count again.
        let waiting = Self { count };
        (before < most).then_some(waiting)
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
    fn no_more_than_allowed_wait_and_whoever_leaves_makes_room() {
        let count = AtomicUsize::new(0);
        let first = WaitingGuard::join(&count, 1).expect("room for one");
        assert!(WaitingGuard::join(&count, 1).is_none());
        assert_eq!(count.load(Ordering::Relaxed), 1, "who was turned away is not counted");
        drop(first);
        assert!(WaitingGuard::join(&count, 1).is_some());
    }
}
