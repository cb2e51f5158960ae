//! `run.json`: the results of a run and their conditions. [`FORMAT`] is its version; its JSON schema is docs/run.schema.json. All
//! reports (table, page, CSV, …) are made of this and nothing else.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::http::environment::ServerEnvironment;
use referee::history::ClaimedSafety;
use referee::judgement::{Anomaly, Judgement};

/// The version of the format. A reader refuses others.
pub const FORMAT: u32 = 1;

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// [`FORMAT`].
    pub format: u32,
    /// The scenario's name.
    pub scenario: String,
    /// When it began, in UTC (RFC 3339).
    pub started: String,
    /// From its beginning to its end, in s.
    pub elapsed_s: f64,
    /// Whether it was ended early (Ctrl-C). Then it has the results so far.
    pub interrupted: bool,
    /// The machine and the program.
    pub environment: Environment,
    /// The options of the run.
    pub settings: RunSettings,
    /// The sweep, if there was one.
    pub sweep: Option<Sweep>,
    /// Approaches that do not offer the scenario; shown as n/a.
    pub not_offered: Vec<String>,
    /// One entry for each approach, and for each approach and value of a sweep.
    pub results: Vec<ApproachResult>,
}

/// The machine and the program of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// This program's version.
    pub version: String,
    /// The commit that the program was built from, if that is known.
    pub commit: Option<String>,
    /// The command line. Passwords in URLs are left out.
    pub command_line: Vec<String>,
    /// Operating system and architecture.
    pub system: String,
    /// The processor, if that is known.
    pub processor: Option<String>,
    /// Cores that the load generator may use.
    pub cores: u32,
    /// The base URLs of the targets; empty if `run` started its own server.
    pub targets: Vec<String>,
    /// The environment of the server, if it is a concurrency-lab server.
    pub server: Option<ServerEnvironment>,
}

/// The options of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunSettings {
    /// Requests in a round; `None` if its duration decided.
    pub requests: Option<u64>,
    /// Duration of a round in ms; `None` if the number of requests decided.
    pub duration_ms: Option<u64>,
    /// How long load was sent before each round without being recorded, in ms.
    pub warmup_ms: u64,
    /// Rounds of each approach.
    pub repeat: u32,
    /// Clients, each with one connection.
    pub concurrency: u32,
    /// In an open loop: requests due per second. `None` in a closed loop.
    pub rate_per_s: Option<f64>,
    /// In the scenario withdrawal: the amount that each request adds.
    pub amount: Option<i64>,
    /// The number of rows that the requests are spread over, if the scenario lets the user choose it.
    pub hot_rows: Option<u64>,
    /// The exponent of Zipf's law, by which the requests are spread over the rows; `None` if they are spread evenly.
    pub zipf: Option<f64>,
    /// Pause before each statement that writes, in ms.
    pub think_time_ms: Option<u64>,
    /// The seed of everything that was chosen at random.
    pub random_seed: u64,
}

/// The parameter of a sweep and its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// The option's name, such as `pool-size`.
    pub parameter: String,
    /// Its values, in the order given.
    pub values: Vec<String>,
}

/// The verdict: claim and evidence together. Among several rounds the last one in this order counts: what one round has shown stays shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RunVerdict {
    /// Some serial order explains every answer.
    Correct,
    /// The approach is claimed to be broken, but this run did not show it.
    HeldThisTime,
    /// No request was accepted or refused, so nothing is proved.
    NoEvidence,
    /// No anomaly was found, but the data leave something open.
    Undecided,
    /// The approach is claimed to be broken, and this run shows it.
    BrokenAsClaimed,
    /// The approach is claimed to be safe, and this run shows that it is broken: the claim failed.
    ClaimFailed,
}

impl RunVerdict {
    /// The verdict of a judgement and a claim; `servers` is the number of replicas that received the requests.
    #[must_use]
    pub fn of(judgement: &Judgement, claim: ClaimedSafety, servers: u32) -> Self {
        let claimed_safe = claim.is_safe(servers == 1);
        if !judgement.has_evidence() {
            return Self::NoEvidence;
        }
        match (judgement.broken(), claimed_safe) {
            (true, true) => Self::ClaimFailed,
            (true, false) => Self::BrokenAsClaimed,
            (false, _) if !judgement.undecided.is_empty() => Self::Undecided,
            (false, true) => Self::Correct,
            (false, false) => Self::HeldThisTime,
        }
    }

    /// Whether the approach was shown to be broken, as claimed or not. Such a result is never ranked by its speed.
    #[must_use]
    pub fn is_broken(self) -> bool {
        matches!(self, Self::BrokenAsClaimed | Self::ClaimFailed)
    }
}

impl fmt::Display for RunVerdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Correct => "correct",
            Self::BrokenAsClaimed => "BROKEN",
            Self::HeldThisTime => "held this time",
            Self::Undecided => "undecided",
            Self::ClaimFailed => "CLAIM FAILED",
            Self::NoEvidence => "no evidence",
        })
    }
}

/// The result of an approach, at one value of a sweep if there is one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApproachResult {
    /// Its name.
    pub approach: String,
    /// The claim about it.
    pub claim: ClaimedSafety,
    /// The value of the sweep's parameter.
    pub value: Option<String>,
    /// The worst verdict of its rounds: broken if any round shows that it is.
    pub verdict: RunVerdict,
    /// Its rounds, in order.
    pub rounds: Vec<Round>,
}

/// One round of load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Round {
    /// Its number, from 1.
    pub round: u32,
    /// What the referee found.
    pub judgement: Judgement,
    /// What that means for the claim of the approach.
    pub verdict: RunVerdict,
    /// From the first request to the last answer, in s.
    pub elapsed_s: f64,
    /// Requests done or refused per second. Requests that the server gave up are not counted, because giving up is fast.
    pub rate_per_s: f64,
    /// Latencies of the requests that were done or refused.
    pub latency: Latency,
    /// The mean number of attempts of a request; `None` if the target does not report it.
    pub attempts: Option<f64>,
    /// Requests that took more than one attempt.
    pub retried: u64,
    /// Different answers (status and body).
    pub distinct_answers: u64,
    /// The counts of each second.
    pub series: Vec<Second>,
    /// Where the time went in the server, from the traced requests; `None` without traces.
    pub waits: Option<Waits>,
    /// The values of up to ten rows at the end: balance, value, or number of seats left.
    pub final_values: BTreeMap<String, i64>,
    /// Figures of the load generator itself.
    pub generator: Generator,
}

/// Latencies, in µs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Whether latency counts from the time when the request was due (open loop). Otherwise it counts from the time when it
    /// was sent (closed loop), which hides the requests that a stalled server kept from being sent.
    pub from_intended: bool,
    /// Median.
    pub p50_us: u64,
    /// 90 of 100 requests took at most this long.
    pub p90_us: u64,
    /// 99 of 100 requests took at most this long.
    pub p99_us: u64,
    /// 999 of 1000 requests took at most this long.
    pub p999_us: u64,
    /// The longest.
    pub max_us: u64,
    /// The distribution: for each bucket the number of latencies above the bucket before and at most `up_to_us`. Each bucket is
    /// about a tenth wider than the one before; empty ones are left out.
    pub buckets: Vec<Bucket>,
}

/// A bucket of a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// Its upper bound, in µs.
    pub up_to_us: u64,
    /// Latencies in it.
    pub count: u64,
}

/// One second of a round. Requests count for the second of their answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Second {
    /// Requests done.
    pub done: u64,
    /// Requests refused by the state.
    pub refused: u64,
    /// Gave up, unknown, or unexpected.
    pub other: u64,
    /// Requests that took more than one attempt.
    pub retried: u64,
    /// Median latency, in µs.
    pub p50_us: u64,
    /// 99th percentile of latency, in µs.
    pub p99_us: u64,
}

/// Where the time of a request went: means over the traced requests, in µs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Waits {
    /// Requests that were traced.
    pub traced: u64,
    /// Queued for the row. Older runs counted this with the wait for a connection.
    #[serde(default)]
    pub row_us: f64,
    /// Waiting for a connection.
    pub pool_us: f64,
    /// The time of statements beyond the fastest one of each kind: mostly waiting for locks in PostgreSQL.
    pub locks_us: f64,
    /// The time of statements up to the fastest one of each kind: round trip and work.
    pub statements_us: f64,
    /// The time of COMMIT, which makes the change durable.
    pub commit_us: f64,
}

/// Figures of the load generator itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Generator {
    /// Its CPU time, as a share of all cores that it may use.
    pub cpu_share: f64,
    /// 99th percentile of its own delay: how late it sent requests that were due while a client was free, in µs.
    pub late_p99_us: u64,
    /// Why the load generator, and not the server, was the limit; `None` if it was not.
    pub limited: Option<String>,
}

impl ApproachResult {
    /// An approach without rounds yet.
    #[must_use]
    pub fn new(approach: &str, claim: ClaimedSafety, value: Option<&str>) -> Self {
        let (approach, value) = (approach.to_owned(), value.map(str::to_owned));
        Self { approach, claim, value, verdict: RunVerdict::NoEvidence, rounds: Vec::new() }
    }

    /// Adds a round; the worst verdict of all counts.
    pub fn push(&mut self, round: Round) {
        self.rounds.push(round);
        self.verdict = self.rounds.iter().map(|round| round.verdict).max().unwrap_or(RunVerdict::NoEvidence);
    }

    /// How often an anomaly was found in all rounds together.
    #[must_use]
    pub fn count(&self, anomaly: Anomaly) -> u64 {
        self.rounds.iter().map(|round| round.judgement.count(anomaly)).sum()
    }

    /// The median of a figure over the rounds, and its spread.
    #[must_use]
    pub fn spread(&self, figure: impl Fn(&Round) -> f64) -> Spread {
        Spread::of(self.rounds.iter().map(figure).collect())
    }
}

/// A figure that was measured several times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The smallest.
    pub min: f64,
    /// The median; the mean of the middle two of an even number.
    pub median: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// The spread of these; all `NaN` if there are none.
    #[must_use]
    pub fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        let middle = figures.len() / 2;
        let median = match figures.len() {
            0 => f64::NAN,
            count if count % 2 == 1 => figures[middle],
            _ => f64::midpoint(figures[middle - 1], figures[middle]),
        };
        let end = |figure: Option<&f64>| figure.copied().unwrap_or(f64::NAN);
        Self { min: end(figures.first()), median, max: end(figures.last()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use referee::judgement::{Counts, Finding, Witness};

    #[test]
    fn a_verdict_is_claim_and_evidence() {
        let good = Judgement { counts: Counts { done: 1, ..Counts::default() }, ..Judgement::default() };
        let witness = Witness { operations: Vec::new(), explanation: String::new() };
        let finding = Finding { anomaly: Anomaly::LostUpdate, count: 1, witness };
        let bad = Judgement { findings: vec![finding], ..good.clone() };
        let open = Judgement { undecided: vec!["open".to_owned()], ..good.clone() };
        let gave_up = Judgement { counts: Counts { not_done: 9, ..Counts::default() }, ..Judgement::default() };
        assert_eq!(RunVerdict::of(&gave_up, ClaimedSafety::Safe, 1), RunVerdict::NoEvidence);
        let table = [
            (ClaimedSafety::Safe, 1, RunVerdict::Correct, RunVerdict::ClaimFailed),
            (ClaimedSafety::Safe, 2, RunVerdict::Correct, RunVerdict::ClaimFailed),
            (ClaimedSafety::SafeOnOneServer, 1, RunVerdict::Correct, RunVerdict::ClaimFailed),
            (ClaimedSafety::SafeOnOneServer, 2, RunVerdict::HeldThisTime, RunVerdict::BrokenAsClaimed),
            (ClaimedSafety::Broken, 1, RunVerdict::HeldThisTime, RunVerdict::BrokenAsClaimed),
        ];
        for (claim, servers, held, broke) in table {
            assert_eq!(RunVerdict::of(&good, claim, servers), held, "{claim:?} on {servers}");
            assert_eq!(RunVerdict::of(&bad, claim, servers), broke, "{claim:?} on {servers}");
            assert_eq!(RunVerdict::of(&open, claim, servers), RunVerdict::Undecided, "{claim:?} on {servers}");
        }
    }

    #[test]
    fn what_one_round_has_shown_stays_shown() {
        use RunVerdict::{BrokenAsClaimed, ClaimFailed, Correct, HeldThisTime, NoEvidence, Undecided};
        for (rounds, expected) in [
            (&[Correct, Correct][..], Correct),
            (&[Correct, NoEvidence], NoEvidence),
            (&[NoEvidence, Undecided, Correct], Undecided),
            (&[HeldThisTime, BrokenAsClaimed, Undecided, NoEvidence], BrokenAsClaimed),
            (&[Undecided, ClaimFailed, Correct], ClaimFailed),
        ] {
            assert_eq!(rounds.iter().max(), Some(&expected), "{rounds:?}");
        }
    }

    #[test]
    fn a_spread_has_its_median_in_the_middle() {
        let table =
            [(vec![3.0], (3.0, 3.0, 3.0)), (vec![9.0, 1.0, 2.0], (1.0, 2.0, 9.0)), (vec![4.0, 2.0], (2.0, 3.0, 4.0))];
        for (figures, (min, median, max)) in table {
            assert_eq!(Spread::of(figures), Spread { min, median, max });
        }
        assert!(Spread::of(Vec::new()).median.is_nan());
    }
}
