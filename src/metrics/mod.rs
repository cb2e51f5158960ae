//! What happened, counted: for Prometheus at `/metrics`.
//!
//! Counting must be cheap enough to be left on. Every series is there from the start, in a table that is reached by
//! arithmetic: an observation looks nothing up, takes no lock and allocates nothing; it is a few atomic additions. Hence
//! histograms of our own ([`histogram`]): those of the library, which writes the text ([`exposition`]), lock a mutex for
//! every observation. `make bench` compares a server that counts with one that does not.
//!
//! Labels are approach, workload and [`RequestEnding`], all of which are closed sets: never an id, never a path. So the number of
//! series is known at compile time. The figures belong to one [`crate::database::Database`], not to the process: several
//! servers in one process each count their own.

pub mod exposition;
pub mod histogram;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use strum::{EnumCount, EnumIter, IntoEnumIterator, IntoStaticStr};

use crate::strategy::Approach;
use domain::Workload;

use histogram::{BucketScale, Histogram};

/// How a request to one of an approach's routes ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, EnumIter, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum RequestEnding {
    /// 2xx: done, or read.
    Done,
    /// 404, 409, 412: the state refused.
    Refused,
    /// 400, 413, 415, 422 and their like: the input was not valid.
    Rejected,
    /// 503: certainly not done.
    NotDone,
    /// 504: nobody knows.
    Unknown,
    /// 501: the approach does not offer it.
    Unsupported,
    /// 500: a fault of ours.
    Bug,
    /// The client hung up before its answer. What it asked for goes on to its end, in a task of its own.
    Abandoned,
}

impl RequestEnding {
    /// What a status means, on a route that exists.
    #[must_use]
    pub const fn of(status: u16) -> Self {
        match status {
            200..=299 => Self::Done,
            404 | 409 | 412 => Self::Refused,
            503 => Self::NotDone,
            504 => Self::Unknown,
            501 => Self::Unsupported,
            500 => Self::Bug,
            _ => Self::Rejected,
        }
    }
}

/// Times of requests: what a fast disk takes, up to as long as a request may wait in its queue.
const SECONDS: BucketScale = BucketScale {
    bounds: &[
        500_000,
        1_000_000,
        2_500_000,
        5_000_000,
        10_000_000,
        25_000_000,
        50_000_000,
        100_000_000,
        250_000_000,
        500_000_000,
        1_000_000_000,
        2_500_000_000,
        5_000_000_000,
        10_000_000_000,
        30_000_000_000,
        120_000_000_000,
    ],
    per_unit: 1e9,
};

/// Requests in a batch.
const REQUESTS: BucketScale =
    BucketScale { bounds: &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096], per_unit: 1.0 };

/// The figures of one server, or nothing where they are turned off. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    counted: Option<Arc<MetricSeries>>,
}

/// All series.
#[derive(Debug)]
struct MetricSeries {
    /// By subject, workload and ending, in this order.
    requests: Box<[Histogram]>,
    /// By approach.
    retries: Box<[ApproachSeries]>,
    batches: Histogram,
}

#[derive(Debug, Default)]
struct ApproachSeries {
    attempts: AtomicU64,
    exhausted: AtomicU64,
}

/// Whose route it was: an approach's, or the ceiling, which pays for everything that an approach pays for.
type MetricOwner = Option<Approach>;

/// All subjects, in the order of the table.
fn subjects() -> impl Iterator<Item = MetricOwner> {
    Approach::iter().map(Some).chain([None])
}

impl Metrics {
    /// Figures that start from 0.
    #[must_use]
    pub fn on() -> Self {
        let cells = subjects().count() * Workload::COUNT * RequestEnding::COUNT;
        let counted = MetricSeries {
            requests: std::iter::repeat_with(|| Histogram::new(SECONDS)).take(cells).collect(),
            retries: Approach::iter().map(|_| ApproachSeries::default()).collect(),
            batches: Histogram::new(REQUESTS),
        };
        Self { counted: Some(Arc::new(counted)) }
    }

    /// Counts nothing, at the cost of nothing.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// Whether anything is counted.
    #[must_use]
    pub fn are_on(&self) -> bool {
        self.counted.is_some()
    }

    /// Counts a request that has been answered, or left alone.
    pub fn request(&self, subject: Option<Approach>, workload: Workload, ending: RequestEnding, took: Duration) {
        if let Some(counted) = &self.counted {
            counted.requests_of(subject, workload, ending).observe(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    /// Requests counted so far with these labels.
    #[must_use]
    pub fn requests(&self, subject: Option<Approach>, workload: Workload, ending: RequestEnding) -> u64 {
        self.counted.as_ref().map_or(0, |counted| counted.requests_of(subject, workload, ending).read().count)
    }

    /// Counts one transaction that `requests` requests shared: group-commit's batch.
    pub fn batch(&self, requests: usize) {
        if let Some(counted) = &self.counted {
            counted.batches.observe(u64::try_from(requests).unwrap_or(u64::MAX));
        }
    }

    /// Counts an attempt of an operation.
    pub fn attempt(&self, approach: Approach) {
        if let Some(counted) = &self.counted {
            counted.retries[approach as usize].attempts.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts an operation that lost its last race: no more attempts, or no more time.
    pub fn retries_exhausted(&self, approach: Approach) {
        if let Some(counted) = &self.counted {
            counted.retries[approach as usize].exhausted.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl MetricSeries {
    fn requests_of(&self, subject: MetricOwner, workload: Workload, ending: RequestEnding) -> &Histogram {
        // The ceiling stands behind the approaches.
        let subject = subject.map_or(self.retries.len(), |approach| approach as usize);
        &self.requests[(subject * Workload::COUNT + workload as usize) * RequestEnding::COUNT + ending as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_has_a_place_of_its_own() {
        let metrics = Metrics::on();
        let counted = metrics.counted.as_ref().expect("on");
        for subject in subjects() {
            for workload in Workload::iter() {
                for ending in RequestEnding::iter() {
                    assert_eq!(counted.requests_of(subject, workload, ending).read().count, 0);
                    metrics.request(subject, workload, ending, Duration::from_millis(1));
                    assert_eq!(counted.requests_of(subject, workload, ending).read().count, 1);
                }
            }
        }
        assert!(counted.requests.iter().all(|cell| cell.read().count == 1), "and there is none that nobody has");
        for approach in Approach::iter() {
            metrics.attempt(approach);
        }
        assert!(counted.retries.iter().all(|cell| cell.attempts.load(Ordering::Relaxed) == 1));
    }

    #[test]
    fn a_status_means_one_ending() {
        for (status, ending) in [
            (200, RequestEnding::Done),
            (201, RequestEnding::Done),
            (204, RequestEnding::Done),
            (400, RequestEnding::Rejected),
            (404, RequestEnding::Refused),
            (408, RequestEnding::Rejected),
            (409, RequestEnding::Refused),
            (412, RequestEnding::Refused),
            (413, RequestEnding::Rejected),
            (415, RequestEnding::Rejected),
            (422, RequestEnding::Rejected),
            (500, RequestEnding::Bug),
            (501, RequestEnding::Unsupported),
            (503, RequestEnding::NotDone),
            (504, RequestEnding::Unknown),
        ] {
            assert_eq!(RequestEnding::of(status), ending, "{status}");
        }
    }

    #[test]
    fn what_is_off_counts_nothing() {
        let metrics = Metrics::off();
        metrics.request(None, Workload::Balance, RequestEnding::Done, Duration::ZERO);
        metrics.batch(3);
        metrics.attempt(Approach::Naive);
        assert!(!metrics.are_on());
    }
}
