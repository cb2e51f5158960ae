//! The protocol of `--events`: `run` and `explore` write one [`FeedEvent`] as a line of JSON for each thing that happens, and the process
//! that started them reads it.
//!
//! The protocol knows neither runs nor explorations: what a round or an exploration found is a payload, whose type the writer and the reader
//! agree on. What a round's own report says is exact; a [`LiveSlice`] is for watching.

mod pool;
mod slice;

use serde::{Deserialize, Serialize};

pub use pool::PoolGauges;
pub use slice::{BUCKETS, LiveSlice, LiveWaits, OutcomeCounts, SLICE, bounds_us, bucket, sparse};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum FeedEvent<Title, Round, Subject, Exploration> {
    /// Of `run`: what there will be.
    Race {
        /// Rounds in all.
        rounds: u64,
        /// The approaches that are run.
        approaches: Vec<String>,
        /// The approaches that do not offer the scenario.
        not_offered: Vec<String>,
    },
    /// A round begins: with the reset, and the warm-up if there is one.
    RoundBegins {
        /// Which round.
        title: Title,
        /// Its requests, if their number decides.
        requests: Option<u64>,
        /// Its duration in ms, if that decides.
        duration_ms: Option<u64>,
    },
    /// What happened since the last slice.
    Tick(LiveSlice),
    /// How many connections the server uses, and how many requests wait.
    Pool(PoolGauges),
    /// The load is over; the referee reads the history.
    Judging,
    /// A round is judged.
    RoundEnds {
        /// Which round.
        title: Title,
        /// What was found, without its course, which the slices have shown.
        round: Box<Round>,
    },
    /// Of `explore`: what there will be.
    Plan {
        /// Explorations in all.
        explorations: u64,
    },
    /// Progress of one exploration.
    Exploring {
        /// Its number in the order of the plan, from 0.
        job: u64,
        /// What is explored.
        subject: Subject,
        /// Interleavings that were run.
        interleavings: u64,
        /// How many there seem to be.
        estimate: f64,
    },
    /// One exploration is done.
    Explored {
        /// Its number in the order of the plan, from 0.
        job: u64,
        /// What was found. Of its witness only the schedule; its outcomes by what is wrong with them.
        exploration: Box<Exploration>,
    },
    /// A warning for the reader.
    Warning {
        /// In plain words.
        text: String,
    },
    /// The results are on disk.
    Saved {
        /// The name of the folder below the run folder.
        folder: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    type Event = FeedEvent<String, u64, String, u64>;

    #[test]
    fn an_event_is_read_as_it_was_written() {
        let slice = LiveSlice { from_ms: 250, to_ms: 500, latencies: vec![(17, 2)], ..LiveSlice::default() };
        let events = [
            Event::Tick(slice),
            Event::Judging,
            Event::Pool(PoolGauges { in_use: 4, limit: 32, ..PoolGauges::default() }),
            Event::RoundEnds { title: "naive".to_owned(), round: Box::new(1) },
            Event::Saved { folder: "1700000000-1".to_owned() },
        ];
        for event in events {
            let line = serde_json::to_string(&event).unwrap();
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
        }
    }
}
