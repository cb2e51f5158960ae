//! Figures of an approach over its rounds.

use crate::lab::results::{ApproachResult, Round, Spread};
use crate::report::figures::float;

/// How far the rounds are from their median at most, such as ` ±3%`; empty if there is only one.
#[must_use]
pub fn deviation(spread: &Spread, rounds: usize) -> String {
    if rounds < 2 || spread.median.is_nan() || spread.median <= 0.0 {
        return String::new();
    }
    let farthest = (spread.max - spread.median).max(spread.median - spread.min);
    format!(" ±{:.0}%", 100.0 * farthest / spread.median)
}

/// Mean attempts: `None` if no round reported any.
#[must_use]
pub fn attempts(result: &ApproachResult) -> Option<Spread> {
    let reported: Vec<f64> = result.rounds.iter().filter_map(|round| round.attempts).collect();
    (!reported.is_empty()).then(|| Spread::of(reported))
}

/// The median of a count over the rounds.
#[must_use]
pub fn median(result: &ApproachResult, count: impl Fn(&Round) -> u64) -> f64 {
    result.spread(|round| float(count(round))).median
}

/// Operations that were neither accepted nor refused.
#[must_use]
pub fn other(round: &Round) -> u64 {
    let counts = &round.judgement.counts;
    counts.not_done + counts.unknown + counts.unexpected
}

/// A figure of a round's latency.
pub type LatencyPercentile = fn(&Round) -> u64;

/// The figures of latency that are shown, in µs.
pub const LATENCIES: [(&str, LatencyPercentile); 5] = [
    ("p50", |round| round.latency.p50_us),
    ("p90", |round| round.latency.p90_us),
    ("p99", |round| round.latency.p99_us),
    ("p99.9", |round| round.latency.p999_us),
    ("max", |round| round.latency.max_us),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_round_has_no_deviation() {
        assert_eq!(deviation(&Spread { min: 97.0, median: 100.0, max: 102.0 }, 3), " ±3%");
        assert_eq!(deviation(&Spread { min: 97.0, median: 97.0, max: 97.0 }, 1), "");
    }
}
