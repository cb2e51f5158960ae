//! What an experiment tells while it goes on: `run` and `explore` with `--events` write one of these as a line of JSON for each thing
//! that happens, and whoever started them reads it.
//!
//! A [`LiveSlice`] is what happened in a quarter of a second. Its latencies are a histogram of a few buckets and nothing else: slices can be
//! added, and a percentile of the sum is that of all its answers, which a mean of percentiles would not be. What a round's own report
//! says is exact; this is for looking on.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::results::{Round, Waits};
use crate::explore::findings::{Exploration, Subject};
use referee::history::{Outcome, RoundTitle};

/// How long a slice is: what changes more often than this nobody can read, and each one costs its reader a look.
pub const SLICE: Duration = Duration::from_millis(250);

/// Buckets of latency for each power of ten.
const BUCKETS_PER_DECADE: f64 = 10.0;

/// Where the first bucket ends, in µs: faster than any answer over HTTP.
const FIRST_US: f64 = 10.0;

/// Buckets in all: to 100 s, which is longer than anybody waits for an answer. What took longer is counted to the last.
pub const BUCKETS: usize = 71;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum FeedEvent {
    /// Of `run`: what there will be.
    Race {
        /// Rounds in all.
        rounds: u64,
        /// Who is raced.
        approaches: Vec<String>,
        /// Who does not offer the scenario.
        not_offered: Vec<String>,
    },
    /// A round begins: with the reset, and the warm-up if there is one.
    RoundBegins {
        /// Which.
        title: RoundTitle,
        /// Its requests, if their number decides.
        requests: Option<u64>,
        /// Its duration in ms, if that decides.
        duration_ms: Option<u64>,
    },
    /// What happened since the last slice.
    Tick(LiveSlice),
    /// How the server's connections stand.
    Pool(PoolGauges),
    /// The load is over; the referee reads what was heard.
    Judging,
    /// A round is judged.
    RoundEnds {
        /// Which.
        title: RoundTitle,
        /// What was found, without its course: the slices were told.
        round: Box<Round>,
    },
    /// Of `explore`: what there will be.
    Plan {
        /// Explorations in all.
        explorations: u64,
    },
    /// So far one has come.
    Exploring {
        /// Its number in the order of the plan, from 0.
        job: u64,
        /// Of what.
        subject: Subject,
        /// Interleavings that were run.
        interleavings: u64,
        /// How many there seem to be.
        estimate: f64,
    },
    /// One is done.
    Explored {
        /// Its number in the order of the plan, from 0.
        job: u64,
        /// What was found. Of its witness only the schedule; its outcomes by what is wrong with them.
        exploration: Box<Exploration>,
    },
    /// Something that whoever looks on should know.
    Warning {
        /// In plain words.
        text: String,
    },
    /// What was found is on disk.
    Saved {
        /// The name of the folder below the run folder.
        folder: String,
    },
}

/// What happened in a short time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LiveSlice {
    /// Its beginning, in ms from the first request.
    pub from_ms: u64,
    /// Its end.
    pub to_ms: u64,
    /// Answers by how they ended.
    #[serde(flatten)]
    pub tally: OutcomeCounts,
    /// Latencies of the requests that were done or refused: the number of a bucket ([`bucket`]), and how many are in it. Ascending.
    pub latencies: Vec<(u8, u64)>,
    /// Where requests waited: means over all that were traced since the round began.
    pub waits: Option<Waits>,
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
    /// Counts one answer.
    pub fn count(&mut self, outcome: &Outcome, retried: bool) {
        match outcome {
            Outcome::Done(_) => self.done += 1,
            Outcome::Refused(_) => self.refused += 1,
            Outcome::NotDone => self.gave_up += 1,
            Outcome::Unknown | Outcome::Unexpected => self.other += 1,
        }
        self.retried += u64::from(retried);
    }

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
        self.tally.add(&next.tally);
        let mut counts = [0; BUCKETS];
        for (bucket, count) in self.latencies.iter().chain(&next.latencies) {
            counts[usize::from(*bucket).min(BUCKETS - 1)] += count;
        }
        self.latencies = sparse(&counts);
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

/// How the server's connections to its database stand, and who waits in the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolGauges {
    /// Connections at work.
    pub in_use: u64,
    /// Connections that may be open.
    pub limit: u64,
    /// Requests that wait for a connection.
    pub waiting_for_connection: u64,
    /// Requests that wait for their turn at a row.
    pub waiting_for_row: u64,
    /// Requests that wait for a mutex in the process.
    pub waiting_for_mutex: u64,
    /// Requests that wait for the next batch.
    pub waiting_for_batch: u64,
}

impl PoolGauges {
    /// Reads it from a server's `/metrics`; `None` if that is not one of ours.
    #[must_use]
    pub fn of_metrics(text: &str) -> Option<Self> {
        let gauge = |name: &str| {
            let value = |line: &str| line.strip_prefix("concurrency_lab_")?.strip_prefix(name)?.trim().parse().ok();
            text.lines().find_map(value)
        };
        Some(Self {
            in_use: gauge("pool_connections{state=\"in-use\"}")?,
            limit: gauge("pool_connections_limit ")?,
            waiting_for_connection: gauge("pool_waiting_requests ")?,
            waiting_for_row: gauge("row_waiting_requests ")?,
            waiting_for_mutex: gauge("mutex_waiting_requests ")?,
            waiting_for_batch: gauge("batch_waiting_requests ")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slice(from_ms: u64, latencies_us: &[u64]) -> LiveSlice {
        let mut counts = [0; BUCKETS];
        for latency in latencies_us {
            counts[usize::from(bucket(*latency))] += 1;
        }
        let tally = OutcomeCounts { done: latencies_us.len() as u64, ..OutcomeCounts::default() };
        LiveSlice { from_ms, to_ms: from_ms + 250, tally, latencies: sparse(&counts), waits: None }
    }

    #[test]
    fn a_percentile_of_a_sum_is_that_of_all_its_answers() {
        let mut sum = slice(0, &[1_000; 98]);
        sum.append(&slice(250, &[50_000, 50_000]));
        assert_eq!((sum.from_ms, sum.to_ms, sum.tally.answers()), (0, 500, 100));
        let near = |share, expected: f64| {
            let found = sum.quantile_us(share).unwrap();
            assert!((found / expected).ln().abs() < 0.24, "{share}: {found} is not about {expected}");
        };
        near(0.5, 1_000.0);
        near(0.9, 1_000.0);
        near(0.99, 50_000.0);
        assert_eq!(slice(0, &[]).quantile_us(0.5), None);
    }

    #[test]
    fn the_gauges_of_a_server_are_read_from_its_metrics() {
        let text = "# HELP x\nconcurrency_lab_pool_connections{state=\"in-use\"} 5\nconcurrency_lab_pool_connections{state=\"idle\"} 3\n\
                    concurrency_lab_pool_connections_limit 32\nconcurrency_lab_pool_waiting_requests 7\n\
                    concurrency_lab_row_waiting_requests 200\nconcurrency_lab_mutex_waiting_requests 0\n\
                    concurrency_lab_batch_waiting_requests 1\n# EOF\n";
        let pool = PoolGauges::of_metrics(text).unwrap();
        assert_eq!((pool.in_use, pool.limit, pool.waiting_for_connection, pool.waiting_for_row), (5, 32, 7, 200));
        assert_eq!(PoolGauges::of_metrics("go_goroutines 5"), None, "somebody else's");
    }

    #[test]
    fn an_event_is_read_as_it_was_written() {
        let events = [
            FeedEvent::Tick(slice(250, &[500, 1_000])),
            FeedEvent::Judging,
            FeedEvent::Pool(PoolGauges { in_use: 4, limit: 32, ..PoolGauges::default() }),
            FeedEvent::Saved { folder: "1700000000-1".to_owned() },
        ];
        for event in events {
            let line = serde_json::to_string(&event).unwrap();
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(serde_json::from_str::<FeedEvent>(&line).unwrap(), event);
        }
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
