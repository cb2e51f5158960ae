//! Medians over the rounds, and ratios.

use std::collections::HashMap;

use concurrency_lab::strategy::Approach;

use crate::points::{Load, PGBENCH_CLIENTS, Point};

/// What was measured: each point's rates, one a round.
#[derive(Debug, Default)]
pub struct Results {
    rates: HashMap<Point, Vec<f64>>,
}

/// A number that was measured several times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The smallest.
    pub min: f64,
    /// The one in the middle.
    pub median: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[middle - 1], values[middle])
        } else {
            values[middle]
        };
        Some(Self { min, median, max })
    }
}

impl Results {
    /// Notes a round's rate of a point.
    pub fn add(&mut self, point: Point, per_second: f64) {
        self.rates.entry(point).or_default().push(per_second);
    }

    /// A point's rates, if it was measured.
    pub fn rate(&self, point: Point) -> Option<Spread> {
        Spread::of(self.rates.get(&point)?.clone())
    }

    /// One point by another one: by round, since a round's two measurements are closer to each other in time than two
    /// medians are, and so have more of the machine's mood in common.
    pub fn ratio(&self, point: Point, reference: Point) -> Option<Spread> {
        let pairs = self.rates.get(&point)?.iter().zip(self.rates.get(&reference)?);
        Spread::of(pairs.map(|(rate, reference)| rate / reference).collect())
    }

    /// pgbench at its best: with the number of clients that has the highest median.
    pub fn best_pgbench(&self, approach: Approach, load: Load) -> Option<(u32, Point)> {
        let tried = PGBENCH_CLIENTS.map(|clients| (clients, Point::Pgbench { approach, load, clients }));
        let measured = tried.into_iter().filter_map(|(clients, point)| Some((clients, point, self.rate(point)?)));
        let best = measured.max_by(|(_, _, left), (_, _, right)| left.median.total_cmp(&right.median));
        best.map(|(clients, point, _)| (clients, point))
    }
}
