//! What happened in a quarter of a second. Its latencies are a histogram of a few buckets and nothing else: slices can be added, and a
//! percentile of the sum is that of all its answers, which a mean of percentiles would not be.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long a slice is: figures that change more often cannot be read, and the reader handles each slice.
pub const SLICE: Duration = Duration::from_millis(250);

/// Buckets of latency for each power of ten.
const BUCKETS_PER_DECADE: f64 = 10.0;

/// Where the first bucket ends, in µs: faster than any answer over HTTP.
const FIRST_US: f64 = 10.0;

/// Buckets in all: to 100 s, longer than any request timeout. What took longer is counted in the last one.
pub const BUCKETS: usize = 71;

/// What happened in a short time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LiveSlice {
    /// Its beginning, in ms from the first request.
    pub from_ms: u64,
    /// Its end.
    pub to_ms: u64,
    /// Answers by how they ended.
    #[serde(flatten)]
    pub counts: OutcomeCounts,
    /// Latencies of the requests that were done or refused: the number of a bucket ([`bucket`]), and how many are in it. Ascending.
    pub latencies: Vec<(u8, u64)>,
    /// Where requests waited: means over all that were traced since the round began.
    pub waits: Option<LiveWaits>,
}

/// Where a request's time went, as means over the traced requests, in µs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct LiveWaits {
    /// Requests that were traced.
    pub traced: u64,
    /// Queued for the row.
    pub row_us: f64,
    /// Waiting for a connection.
    pub pool_us: f64,
    /// In statements, waiting for locks of PostgreSQL.
    pub locks_us: f64,
    /// In statements: round trip and work.
    pub statements_us: f64,
    /// In COMMIT.
    pub commit_us: f64,
}

/// Answers by how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeCounts {
    /// Requests done.
    pub done: u64,
    /// Requests refused by the state.
    pub refused: u64,
    /// Certainly not done for another reason.
    pub gave_up: u64,
    /// Unknown, or unexpected.
    pub other: u64,
    /// Requests that took more than one attempt; they are among the others too.
    pub retried: u64,
}

impl OutcomeCounts {
    /// Adds another.
    pub fn add(&mut self, other: &Self) {
        self.done += other.done;
        self.refused += other.refused;
        self.gave_up += other.gave_up;
        self.other += other.other;
        self.retried += other.retried;
    }

    /// All answers.
    #[must_use]
    pub fn answers(&self) -> u64 {
        self.done + self.refused + self.gave_up + self.other
    }
}

impl LiveSlice {
    /// Adds the one that follows.
    pub fn append(&mut self, next: &Self) {
        self.to_ms = next.to_ms;
        self.counts.add(&next.counts);
        let mut buckets = [0; BUCKETS];
        for (bucket, count) in self.latencies.iter().chain(&next.latencies) {
            buckets[usize::from(*bucket).min(BUCKETS - 1)] += count;
        }
        self.latencies = sparse(&buckets);
        self.waits = next.waits.or(self.waits);
    }

    /// About the latency in µs that this share of the answers does not exceed; `None` without answers.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub fn quantile_us(&self, share: f64) -> Option<f64> {
        let total: u64 = self.latencies.iter().map(|(_, count)| count).sum();
        let wanted = share * total as f64;
        let mut before = 0.0;
        for (bucket, count) in &self.latencies {
            let count = *count as f64;
            if count > 0.0 && before + count >= wanted {
                let (low, high) = bounds_us(*bucket);
                return Some(low * (high / low).powf((wanted - before) / count));
            }
            before += count;
        }
        None
    }
}

/// The buckets that hold anything.
#[must_use]
pub fn sparse(counts: &[u64; BUCKETS]) -> Vec<(u8, u64)> {
    let numbered = (0_u8..).zip(counts);
    numbered.filter(|(_, count)| **count > 0).map(|(bucket, count)| (bucket, *count)).collect()
}

/// The bucket of a latency in µs.
#[must_use]
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
pub fn bucket(latency_us: u64) -> u8 {
    let place = ((latency_us.max(1) as f64 / FIRST_US).log10() * BUCKETS_PER_DECADE).ceil();
    place.clamp(0.0, (BUCKETS - 1) as f64) as u8
}

/// Where a bucket begins and ends, in µs.
#[must_use]
pub fn bounds_us(bucket: u8) -> (f64, f64) {
    let end = |bucket: f64| FIRST_US * 10f64.powf(bucket / BUCKETS_PER_DECADE);
    (end(f64::from(bucket) - 1.0), end(f64::from(bucket)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slice(from_ms: u64, latencies_us: &[u64]) -> LiveSlice {
        let mut buckets = [0; BUCKETS];
        for latency in latencies_us {
            buckets[usize::from(bucket(*latency))] += 1;
        }
        let counts = OutcomeCounts { done: latencies_us.len() as u64, ..OutcomeCounts::default() };
        LiveSlice { from_ms, to_ms: from_ms + 250, counts, latencies: sparse(&buckets), waits: None }
    }

    #[test]
    fn a_percentile_of_a_sum_is_that_of_all_its_answers() {
        let mut sum = slice(0, &[1_000; 98]);
        sum.append(&slice(250, &[50_000, 50_000]));
        assert_eq!((sum.from_ms, sum.to_ms, sum.counts.answers()), (0, 500, 100));
        let near = |share, expected: f64| {
            let found = sum.quantile_us(share).unwrap();
            assert!((found / expected).ln().abs() < 0.24, "{share}: {found} is not about {expected}");
        };
        near(0.5, 1_000.0);
        near(0.9, 1_000.0);
        near(0.99, 50_000.0);
        assert_eq!(slice(0, &[]).quantile_us(0.5), None);
    }

    proptest! {
        #[test]
        fn a_latency_lies_in_its_bucket(latency_us in 11..99_000_000_u64) {
            let (low, high) = bounds_us(bucket(latency_us));
            let latency = f64::from(u32::try_from(latency_us).unwrap());
            prop_assert!(low * (1.0 - 1e-9) < latency && latency <= high * (1.0 + 1e-9), "{low} {latency} {high}");
        }

        #[test]
        fn every_latency_has_a_bucket(latency_us: u64) {
            prop_assert!(usize::from(bucket(latency_us)) < BUCKETS);
        }
    }
}
