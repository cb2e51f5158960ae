//! What happened, counted, for Prometheus at `/metrics`.
//!
//! Counting must be cheap enough to stay on. Every series is there from the start, in a table whose cells are found by
//! arithmetic: an observation needs no look-up, no lock and no allocation; it is a few atomic additions. The histograms
//! are our own ([`histogram`]), because those of the library that writes the text ([`exposition`]) lock a mutex for every
//! observation. `make bench` compares a server that counts with one that does not.
//!
//! The labels are approach, workload and [`RequestEnding`], all of them closed sets: never an id, never a path. The names of
//! the approaches are handed in ([`Metrics::on`]), and an observation names one of them by its [`ApproachIndex`]. The figures
//! belong to one [`crate::server::Server`] and not to the process: several servers in one process count apart.

pub mod exposition;
pub mod histogram;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use strum::{EnumCount, EnumIter, IntoStaticStr};

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
    /// 504: the outcome is unknown.
    Unknown,
    /// 501: the approach does not offer it.
    Unsupported,
    /// 500: a bug in this program.
    Bug,
    /// The client's connection was reset before its answer. The operation goes on to its end in a task of its own.
    Abandoned,
}

impl RequestEnding {
    /// The ending that a status stands for, on a route that exists.
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

/// Durations of requests: from what a fast disk takes up to the longest wait in a queue.
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

/// Numbers of requests in a batch.
const REQUESTS: BucketScale =
    BucketScale { bounds: &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096], per_unit: 1.0 };

/// The figures of one server, or nothing if counting is off. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    counted: Option<Arc<MetricSeries>>,
}

/// An approach's position in the list of names that [`Metrics::on`] got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApproachIndex(pub usize);

/// All series.
#[derive(Debug)]
struct MetricSeries {
    approaches: &'static [&'static str],
    /// By route owner, workload and ending, in this order.
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

/// The owner of a route: an approach, or `None` for the ceiling, which does all that an approach does but for the database.
type RouteOwner = Option<ApproachIndex>;

impl Metrics {
    /// Figures that start from 0, with a series for each of these approaches.
    #[must_use]
    pub fn on(approaches: &'static [&'static str]) -> Self {
        let cells = (approaches.len() + 1) * Workload::COUNT * RequestEnding::COUNT;
        let counted = MetricSeries {
            approaches,
            requests: std::iter::repeat_with(|| Histogram::new(SECONDS)).take(cells).collect(),
            retries: approaches.iter().map(|_| ApproachSeries::default()).collect(),
            batches: Histogram::new(REQUESTS),
        };
        Self { counted: Some(Arc::new(counted)) }
    }

    /// Counts nothing and costs nothing.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// Whether anything is counted.
    #[must_use]
    pub fn are_on(&self) -> bool {
        self.counted.is_some()
    }

    /// Counts a request that was answered or abandoned; without an approach it is the ceiling's.
    pub fn request(&self, owner: Option<ApproachIndex>, workload: Workload, ending: RequestEnding, took: Duration) {
        if let Some(counted) = &self.counted {
            counted.requests_of(owner, workload, ending).observe(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    /// Requests counted so far with these labels.
    #[must_use]
    pub fn requests(&self, owner: Option<ApproachIndex>, workload: Workload, ending: RequestEnding) -> u64 {
        self.counted.as_ref().map_or(0, |counted| counted.requests_of(owner, workload, ending).read().count)
    }

    /// Counts one transaction that so many requests shared: a batch of group-commit.
    pub fn batch(&self, requests: usize) {
        if let Some(counted) = &self.counted {
            counted.batches.observe(u64::try_from(requests).unwrap_or(u64::MAX));
        }
    }

    /// Counts an attempt of an operation.
    pub fn attempt(&self, approach: ApproachIndex) {
        if let Some(counted) = &self.counted {
            counted.retries[approach.0].attempts.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts an operation that lost its last race: no attempt or no time was left.
    pub fn retries_exhausted(&self, approach: ApproachIndex) {
        if let Some(counted) = &self.counted {
            counted.retries[approach.0].exhausted.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl MetricSeries {
    /// All owners, in the order of the table.
    fn owners(&self) -> impl Iterator<Item = RouteOwner> + use<> {
        (0..self.approaches.len()).map(ApproachIndex).map(Some).chain([None])
    }

    fn requests_of(&self, owner: RouteOwner, workload: Workload, ending: RequestEnding) -> &Histogram {
        // The ceiling comes after the approaches.
        let owner = owner.map_or(self.approaches.len(), |approach| approach.0);
        &self.requests[(owner * Workload::COUNT + workload as usize) * RequestEnding::COUNT + ending as usize]
    }
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator as _;

    use super::*;

    const APPROACHES: &[&str] = &["naive", "pessimistic", "serializable"];

    #[test]
    fn every_series_has_a_cell_of_its_own() {
        let metrics = Metrics::on(APPROACHES);
        let counted = metrics.counted.as_ref().expect("on");
        for owner in counted.owners() {
            for workload in Workload::iter() {
                for ending in RequestEnding::iter() {
                    assert_eq!(counted.requests_of(owner, workload, ending).read().count, 0);
                    metrics.request(owner, workload, ending, Duration::from_millis(1));
                    assert_eq!(counted.requests_of(owner, workload, ending).read().count, 1);
                }
            }
        }
        assert!(counted.requests.iter().all(|cell| cell.read().count == 1), "and no cell is left over");
        for approach in 0..APPROACHES.len() {
            metrics.attempt(ApproachIndex(approach));
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
    fn metrics_that_are_off_count_nothing() {
        let metrics = Metrics::off();
        metrics.request(None, Workload::Balance, RequestEnding::Done, Duration::ZERO);
        metrics.batch(3);
        metrics.attempt(ApproachIndex(0));
        assert!(!metrics.are_on());
    }
}
