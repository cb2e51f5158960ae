//! A round under load, as a bounded number of slices of time.

use crate::feed::{LiveSlice, LiveWaits, OutcomeCounts, PoolGauges};
use referee::history::RoundTitle;

/// Slices at most, an even number: about one for every second pixel of a chart. When there are more, neighbours are merged. So a long round is
/// drawn with wider columns, and needs no more memory or time than a short one.
const SLICES_MAX: usize = 160;

/// A round under load.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveRound {
    /// Which round.
    pub title: RoundTitle,
    /// Its number of requests, if it ends by number.
    pub requests: Option<u64>,
    /// Its duration in ms, if it ends by time.
    pub duration_ms: Option<u64>,
    /// What happened, slice by slice.
    pub slices: Vec<LiveSlice>,
    /// The sum of all slices.
    pub counts: OutcomeCounts,
    /// Where requests waited.
    pub waits: Option<LiveWaits>,
    /// The server's connection pool, when it was last read.
    pub pool: Option<PoolGauges>,
    /// The load is over, and the referee reads the history.
    pub judging: bool,
    /// How many of the process's slices make one of these.
    merged: u64,
    /// How many of the process's slices the last one holds so far.
    in_last: u64,
}

impl LiveRound {
    /// A round that begins.
    #[must_use]
    pub fn new(title: RoundTitle, requests: Option<u64>, duration_ms: Option<u64>) -> Self {
        Self {
            title,
            requests,
            duration_ms,
            slices: Vec::new(),
            counts: OutcomeCounts::default(),
            waits: None,
            pool: None,
            judging: false,
            merged: 1,
            in_last: 0,
        }
    }

    /// Adds the next slice.
    pub fn push(&mut self, slice: LiveSlice) {
        self.counts.add(&slice.counts);
        self.waits = slice.waits.or(self.waits);
        match self.slices.last_mut() {
            Some(last) if self.in_last < self.merged => {
                last.append(&slice);
                self.in_last += 1;
            }
            _ => {
                self.slices.push(slice);
                self.in_last = 1;
            }
        }
        if self.slices.len() > SLICES_MAX {
            self.merge_neighbours();
        }
    }

    /// Merges pairs of slices. The number of slices is odd. The last slice has just begun and is not merged.
    fn merge_neighbours(&mut self) {
        let mut merged: Vec<LiveSlice> = Vec::with_capacity(SLICES_MAX);
        for (index, slice) in std::mem::take(&mut self.slices).into_iter().enumerate() {
            match merged.last_mut() {
                Some(last) if index % 2 == 1 => last.append(&slice),
                _ => merged.push(slice),
            }
        }
        self.slices = merged;
        self.merged *= 2;
    }

    /// How long it has lasted, in s.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub fn elapsed_s(&self) -> f64 {
        self.slices.last().map_or(0.0, |slice| slice.to_ms as f64 / 1e3)
    }

    /// How much of it is done, from 0 to 1.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub fn share(&self) -> f64 {
        let of = |done: f64, all: Option<u64>| all.map(|all| done / (all as f64).max(1.0));
        let by_number = of(self.counts.answers() as f64, self.requests);
        let by_time = of(self.elapsed_s() * 1e3, self.duration_ms);
        by_number.into_iter().chain(by_time).fold(0.0, f64::max).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use referee::history::ClaimedSafety;

    pub fn round(requests: Option<u64>, duration_ms: Option<u64>) -> LiveRound {
        let title = RoundTitle {
            scenario: "withdrawal".to_owned(),
            approach: "naive".to_owned(),
            claim: ClaimedSafety::Broken,
            servers: 1,
            round: 1,
            point: None,
        };
        LiveRound::new(title, requests, duration_ms)
    }

    fn slice(number: u64) -> LiveSlice {
        let counts = OutcomeCounts { done: 10, retried: 1, ..OutcomeCounts::default() };
        LiveSlice { from_ms: number * 250, to_ms: (number + 1) * 250, counts, latencies: vec![(20, 10)], waits: None }
    }

    #[test]
    fn a_round_of_hours_has_few_slices_and_loses_no_answer() {
        let mut round = round(None, Some(10_000_000));
        for number in 0..40_000 {
            round.push(slice(number));
            assert!(round.slices.len() <= SLICES_MAX);
        }
        assert!(round.slices.len() > SLICES_MAX / 2, "and not too few: {}", round.slices.len());
        assert_eq!((round.counts.done, round.counts.retried), (400_000, 40_000));
        assert_eq!(round.slices.iter().map(|slice| slice.counts.done).sum::<u64>(), 400_000);
        let counts = round.slices.iter().flat_map(|slice| &slice.latencies).map(|(_, count)| count);
        assert_eq!(counts.sum::<u64>(), 400_000);
        assert!(round.slices.windows(2).all(|pair| pair[0].to_ms == pair[1].from_ms), "no gap");
        let widths: Vec<u64> = round.slices.iter().map(|slice| slice.to_ms - slice.from_ms).collect();
        let (last, others) = widths.split_last().unwrap();
        assert!(others.iter().all(|width| width == &others[0]) && last <= &others[0], "{widths:?}");
        assert!((round.elapsed_s() - 10_000.0).abs() < 1e-9);
        assert!((round.share() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_share_follows_the_number_of_requests_or_the_duration() {
        for (requests, duration_ms, expected) in
            [(Some(100), None, 0.2), (None, Some(1_000), 0.5), (Some(100), Some(1_000), 0.5), (None, None, 0.0)]
        {
            let mut round = round(requests, duration_ms);
            round.push(slice(0));
            round.push(slice(1));
            assert!((round.share() - expected).abs() < 1e-9, "{requests:?} {duration_ms:?}: {}", round.share());
        }
    }
}
