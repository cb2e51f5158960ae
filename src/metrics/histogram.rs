//! A histogram of whole numbers without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

/// The buckets of a histogram, and the unit of its whole numbers.
#[derive(Debug, Clone, Copy)]
pub struct BucketScale {
    /// The largest value of each bucket, ascending; one more bucket takes the values that are larger than all of them.
    pub bounds: &'static [u64],
    /// How many of them are one unit of the exposition: nanoseconds are counted, seconds are shown.
    pub per_unit: f64,
}

/// Counts values by size.
#[derive(Debug)]
pub struct Histogram {
    scale: BucketScale,
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// A histogram's figures at a moment, in the unit of the exposition.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramReading {
    /// Values observed.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Each bucket's bound (the last one is infinite) with the number of values in this bucket alone.
    pub buckets: Vec<(f64, u64)>,
}

impl Histogram {
    /// An empty histogram.
    #[must_use]
    pub fn new(scale: BucketScale) -> Self {
        let buckets = scale.bounds.iter().map(|_| AtomicU64::new(0)).chain([AtomicU64::new(0)]).collect();
        Self { scale, buckets, sum: AtomicU64::new(0) }
    }

    /// Counts a value.
    pub fn observe(&self, value: u64) {
        let bucket = self.scale.bounds.partition_point(|&bound| bound < value);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// The figures now. The count is the sum of the buckets, so the two always agree; a value that is observed at this
    /// moment may be in its bucket and not yet in the sum.
    #[must_use]
    #[allow(
        clippy::cast_precision_loss,
        reason = "from 2^53 on, which are 104 days of ns, a sum may lose its last digits"
    )]
    pub fn read(&self) -> HistogramReading {
        let bounds = self.scale.bounds.iter().map(|&bound| bound as f64 / self.scale.per_unit).chain([f64::INFINITY]);
        let counts = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        HistogramReading { count, sum: self.sum.load(Ordering::Relaxed) as f64 / self.scale.per_unit, buckets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket_and_no_value_is_too_large() {
        let histogram = Histogram::new(BucketScale { bounds: &[10, 100], per_unit: 10.0 });
        for value in [0, 10, 11, 100, 101, 5_000] {
            histogram.observe(value);
        }
        let expected =
            HistogramReading { count: 6, sum: 522.2, buckets: vec![(1.0, 2), (10.0, 2), (f64::INFINITY, 2)] };
        assert_eq!(histogram.read(), expected);
    }

    #[test]
    fn no_observation_is_lost_between_threads() {
        let histogram = Histogram::new(BucketScale { bounds: &[1], per_unit: 1.0 });
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| histogram.observe(2)));
            }
        });
        assert_eq!(
            histogram.read(),
            HistogramReading { count: 40_000, sum: 80_000.0, buckets: vec![(1.0, 0), (f64::INFINITY, 40_000)] }
        );
    }
}
