//! Medians over the rounds, and ratios.

use std::collections::HashMap;

pub use concurrency_lab::lab::results::Spread;
use concurrency_lab::strategy::Approach;

use crate::groups::Group;
use crate::points::{Load, PGBENCH_CLIENTS, Point};

/// A point, measured for a group.
pub type Key = (Group, Point);

/// The result of measuring a point once.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Measured {
    /// The rate per second.
    pub per_second: f64,
    /// The time within which 99 of 100 requests were answered, if it was measured.
    pub p99_ms: Option<f64>,
    /// Requests that were not answered in time. It is more than 0 only for the crowd.
    pub unanswered: u64,
}

impl Measured {
    /// A rate alone.
    pub fn rate(per_second: f64) -> Self {
        Self { per_second, ..Self::default() }
    }

    /// The mean of several slices.
    pub fn mean(slices: &[Self]) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "slices are few")]
        let count = slices.len() as f64;
        let p99_ms = spread(slices.iter().filter_map(|slice| slice.p99_ms)).map(|p99_ms| p99_ms.median);
        Self {
            per_second: slices.iter().map(|slice| slice.per_second).sum::<f64>() / count,
            p99_ms,
            unanswered: slices.iter().map(|slice| slice.unanswered).sum(),
        }
    }
}

/// All measurements, one per round.
#[derive(Debug, Default)]
pub struct Results {
    measured: HashMap<Key, Vec<Measured>>,
}

/// The spread of these; `None` without any.
fn spread(values: impl Iterator<Item = f64>) -> Option<Spread> {
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| Spread::of(values))
}

impl Results {
    /// Adds the measurement of a round.
    pub fn add(&mut self, key: Key, measured: Measured) {
        self.measured.entry(key).or_default().push(measured);
    }

    /// A point's rates, if it was measured.
    pub fn rate(&self, key: Key) -> Option<Spread> {
        spread(self.measured.get(&key)?.iter().map(|measured| measured.per_second))
    }

    /// A point's 99th percentiles, if it was measured.
    pub fn p99_ms(&self, key: Key) -> Option<Spread> {
        spread(self.measured.get(&key)?.iter().filter_map(|measured| measured.p99_ms))
    }

    /// The number of requests that were not answered in time, in all rounds.
    pub fn unanswered(&self, key: Key) -> Option<u64> {
        Some(self.measured.get(&key)?.iter().map(|measured| measured.unanswered).sum())
    }

    /// The ratio of one point to another, computed within each round: the two measurements of a round are closer in
    /// time than two medians, so the state of the machine differs less between them.
    pub fn ratio(&self, key: Key, reference: Key) -> Option<Spread> {
        let pairs = self.measured.get(&key)?.iter().zip(self.measured.get(&reference)?);
        spread(pairs.map(|(measured, reference)| measured.per_second / reference.per_second))
    }

    /// pgbench's best: the number of clients with the highest median.
    pub fn best_pgbench(&self, group: Group, approach: Approach, load: Load) -> Option<(u32, Key)> {
        let tried = PGBENCH_CLIENTS.map(|clients| (clients, (group, Point::Pgbench { approach, load, clients })));
        let measured = tried.into_iter().filter_map(|(clients, key)| Some((clients, key, self.rate(key)?)));
        let best = measured.max_by(|(_, _, left), (_, _, right)| left.median.total_cmp(&right.median));
        best.map(|(clients, key, _)| (clients, key))
    }
}
