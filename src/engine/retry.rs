//! One policy for repeating an attempt that lost a race: exponential backoff with full jitter, under a deadline.
//!
//! Full jitter is a uniformly random pause up to the bound. It spreads the losers of one round over the next; with equal
//! pauses they would collide again. Source: Marc Brooker, "Exponential Backoff and Jitter", AWS Architecture
//! Blog, 2015.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::config::RetryPolicy;
use crate::metrics::{ApproachIndex, Metrics};

/// The retries of one operation.
#[derive(Debug)]
pub struct Retries {
    policy: RetryPolicy,
    started: Option<Instant>,
    /// Shared with the request, which may be answered before the operation ends.
    attempts: Arc<AtomicU32>,
    /// The metrics that count the attempts too, and the approach they belong to.
    counted: Option<(Metrics, ApproachIndex)>,
}

impl Retries {
    /// The retries of an operation that has made no attempt yet; `attempts` counts them.
    #[must_use]
    pub fn new(policy: RetryPolicy, attempts: Arc<AtomicU32>) -> Self {
        Self { policy, started: None, attempts, counted: None }
    }

    /// Counts the attempts in these metrics too, for this approach.
    #[must_use]
    pub fn counted(self, metrics: Metrics, approach: ApproachIndex) -> Self {
        Self { counted: Some((metrics, approach)), ..self }
    }

    /// Counts an attempt.
    pub fn count_attempt(&mut self) {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        if let Some((metrics, approach)) = &self.counted {
            metrics.attempt(*approach);
        }
    }

    /// How long to pause before the next attempt; `None` if the limits allow no further one. The deadline runs from the first
    /// lost attempt: a wait in the queue before it does not count.
    pub fn backoff(&mut self, now: Instant) -> Option<Duration> {
        let elapsed = now - *self.started.get_or_insert(now);
        let attempts = self.attempts.load(Ordering::Relaxed);
        if attempts >= self.policy.attempts || elapsed >= self.policy.deadline {
            if let Some((metrics, approach)) = &self.counted {
                metrics.retries_exhausted(*approach);
            }
            return None;
        }
        let doublings = attempts.saturating_sub(1).min(16);
        let bound = self.policy.backoff_base.saturating_mul(1 << doublings).min(self.policy.backoff_cap);
        Some(bound.mul_f64(fastrand::f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        deadline: Duration::from_secs(10),
        attempts: 5,
        backoff_base: Duration::from_millis(1),
        backoff_cap: Duration::from_millis(3),
    };

    #[test]
    fn the_bound_doubles_up_to_the_cap_and_attempts_are_limited() {
        let now = Instant::now();
        let mut retries = Retries::new(POLICY, Arc::default());
        for bound_ms in [1, 2, 3, 3] {
            retries.count_attempt();
            let pause = retries.backoff(now).expect("within the limits");
            assert!(pause <= Duration::from_millis(bound_ms), "{pause:?} under {bound_ms} ms");
        }
        retries.count_attempt();
        assert_eq!(retries.backoff(now), None);
    }

    #[test]
    fn the_deadline_runs_from_the_first_lost_attempt() {
        let now = Instant::now();
        let mut retries = Retries::new(POLICY, Arc::default());
        retries.count_attempt();
        assert!(retries.backoff(now).is_some());
        retries.count_attempt();
        assert!(retries.backoff(now + Duration::from_millis(9_999)).is_some());
        assert_eq!(retries.backoff(now + Duration::from_secs(10)), None);
    }
}
