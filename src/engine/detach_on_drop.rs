//! A future that runs to its end even if its caller no longer waits for it.
//!
//! axum drops a request's future when its client hangs up. The operation must not end there, because a transaction would be
//! cancelled half-way. A task for every operation would do, but would wake another worker thread twice for each request. So
//! the operation runs inside its request, and only when the request is dropped does the rest of it move into a task.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Runs a future inside its caller, and in a task of its own once this is dropped. A tracker counts it until it has ended, in
/// either place.
pub struct DetachOnDrop<F: Future<Output: Send> + Send + 'static> {
    /// `None` after the end, and during a poll, so that a future that panicked is not polled again.
    unfinished: Option<(Pin<Box<F>>, TaskTrackerToken)>,
}

impl<F: Future<Output: Send> + Send + 'static> DetachOnDrop<F> {
    /// See [`DetachOnDrop`].
    pub fn new(tracker: &TaskTracker, future: F) -> Self {
        Self { unfinished: Some((Box::pin(future), tracker.token())) }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Future for DetachOnDrop<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Some((mut future, token)) = self.unfinished.take() else {
            // Polled after its end. No caller does this; a future that never ends is better than a panic.
            return Poll::Pending;
        };
        let polled = future.as_mut().poll(context);
        if polled.is_pending() {
            self.unfinished = Some((future, token));
        }
        polled
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for DetachOnDrop<F> {
    fn drop(&mut self) {
        // Without a runtime the process is ending: the future is dropped, and the database rolls back.
        if let Some((future, token)) = self.unfinished.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move {
                future.await;
                drop(token);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_dropped_future_runs_to_its_end_and_the_tracker_waits_for_it() {
        let tracker = TaskTracker::new();
        let done = Arc::new(AtomicBool::new(false));
        let operation = {
            let done = Arc::clone(&done);
            async move {
                tokio::time::sleep(Duration::from_secs(5)).await;
                done.store(true, Ordering::SeqCst);
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(1), DetachOnDrop::new(&tracker, operation)).await;
        assert!(waited.is_err() && !done.load(Ordering::SeqCst));
        assert_eq!(tracker.len(), 1, "it still counts");
        tracker.close();
        tracker.wait().await;
        assert!(done.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn a_future_that_is_awaited_returns_its_result_and_is_not_tracked_any_more() {
        let tracker = TaskTracker::new();
        assert_eq!(DetachOnDrop::new(&tracker, async { 7 }).await, 7);
        assert!(tracker.is_empty());
    }
}
