//! The recorder: one thread that receives the answers of all clients, writes the history, and counts.
//!
//! Its memory is bounded: lines go to the file as they come, and of each different answer only a hash and a count is kept
//! until the answer comes a second time.

use std::io::{self, Write};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use axum::body::Bytes;
use hdrhistogram::Histogram;
use rustc_hash::FxHashMap;

use super::client::HttpAnswer;
use super::live::{OnSlice, SliceCollector, next};
use super::results::{Bucket, Latency, Second};
use super::waits::TraceTotals;
use referee::history::file;
use referee::history::lines::OperationLine;
use referee::history::{Outcome, RecordedOperation};

/// The longest latency that is recorded, in µs. It is longer than any client waits for an answer.
const LATENCY_MAX_US: u64 = 3_600_000_000;

/// The most seconds that are shown one by one; later answers count for the last one.
const SECONDS_MAX: usize = 3_600;

/// Seconds whose latencies are still collected. Answers arrive here late and out of order by less than that.
const SECONDS_RECENT: usize = 3;

/// The longest body that goes into the history, in bytes.
const BODY_MAX: usize = 4_096;

/// The most different answers that are counted apart. An approach gives one for each version of a row.
const DISTINCT_MAX: usize = 4_000_000;

/// One operation with its literal answer.
#[derive(Debug)]
pub struct HeardOperation {
    /// The request and its outcome.
    pub operation: RecordedOperation,
    /// In an open loop: when it was due.
    pub intended_ns: Option<u64>,
    /// The status of the answer; `None` without one.
    pub status: Option<u16>,
    /// The body of the answer, or why there is none.
    pub body: Bytes,
    /// Attempts that the target reported.
    pub attempts: Option<u32>,
    /// The times of its statements, from the header `Server-Timing`.
    pub trace: Option<String>,
}

impl HeardOperation {
    /// An operation with its literal answer, or the reason why there is none.
    #[must_use]
    pub fn new(operation: RecordedOperation, intended_ns: Option<u64>, answer: Result<HttpAnswer, String>) -> Self {
        match answer {
            Ok(answer) => {
                let header = |name| answer.headers.get(name)?.to_str().ok();
                let attempts = header("lab-attempts").and_then(|attempts| attempts.parse().ok());
                let trace = header("server-timing").map(str::to_owned);
                let status = Some(answer.status.as_u16());
                // A copy, because the answer's own body would keep the whole read buffer of its connection in use.
                let body = Bytes::copy_from_slice(&answer.body);
                Self { operation, intended_ns, status, body, attempts, trace }
            }
            Err(reason) => {
                let body = Bytes::from(reason);
                Self { operation, intended_ns, status: None, body, attempts: None, trace: None }
            }
        }
    }

    /// Whether it took more than one attempt.
    pub(super) fn retried(&self) -> bool {
        self.attempts.is_some_and(|attempts| attempts > 1)
    }

    /// Whether it was done or refused.
    pub(super) fn is_decided(&self) -> bool {
        matches!(self.operation.outcome, Outcome::Done(_) | Outcome::Refused(_))
    }

    pub(super) fn latency(&self) -> Duration {
        let from = self.intended_ns.unwrap_or(self.operation.invoked_ns);
        Duration::from_nanos(self.operation.returned_ns.saturating_sub(from))
    }
}

/// How often an answer came.
#[derive(Debug)]
struct RepeatedAnswer {
    count: u64,
    /// Kept from the second time on.
    text: Option<Bytes>,
}

/// How often each answer came. The text is kept of those that came more than once.
#[derive(Debug, Default)]
pub struct AnswerCounts {
    /// By status (0 without an answer).
    pub by_status: std::collections::BTreeMap<u16, u64>,
    by_hash: FxHashMap<u64, RepeatedAnswer>,
    /// Different answers beyond [`DISTINCT_MAX`], which are not counted apart.
    pub beyond: u64,
}

impl AnswerCounts {
    /// Counts one answer.
    pub fn count(&mut self, status: Option<u16>, body: &Bytes) {
        use std::hash::BuildHasher as _;
        let status = status.unwrap_or(0);
        *self.by_status.entry(status).or_default() += 1;
        let hash = std::hash::BuildHasherDefault::<std::collections::hash_map::DefaultHasher>::default();
        let hash = hash.hash_one((status, body));
        let full = self.by_hash.len() >= DISTINCT_MAX;
        match self.by_hash.entry(hash) {
            std::collections::hash_map::Entry::Occupied(mut entry) => {
                let repeated = entry.get_mut();
                repeated.count += 1;
                repeated.text.get_or_insert_with(|| body.clone());
            }
            std::collections::hash_map::Entry::Vacant(_) if full => self.beyond += 1,
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(RepeatedAnswer { count: 1, text: None });
            }
        }
    }

    /// Different answers.
    #[must_use]
    pub fn distinct(&self) -> u64 {
        self.by_hash.len() as u64
    }

    /// Answers that came more than once, most first; equal counts by text.
    #[must_use]
    pub fn repeated(&self) -> Vec<(u64, &Bytes)> {
        let mut repeated: Vec<_> =
            self.by_hash.values().filter_map(|answer| Some((answer.count, answer.text.as_ref()?))).collect();
        repeated.sort_unstable_by(|(left, left_text), (right, right_text)| {
            right.cmp(left).then_with(|| left_text.cmp(right_text))
        });
        repeated
    }

    /// How many answers came once.
    #[must_use]
    pub fn once(&self) -> u64 {
        self.by_hash.values().filter(|answer| answer.count == 1).count() as u64
    }
}

/// The counts of one round.
#[derive(Debug)]
pub struct RecordedRound {
    /// Operations in all.
    pub operations: u64,
    /// Operations that were done or refused. Only they count for rate and latency; giving up quickly is not fast.
    pub decided: u64,
    /// Operations that may have been done or not.
    pub open: u64,
    /// When the last answer came, from the start.
    pub last_returned_ns: u64,
    /// Answers by status and text.
    pub answers: AnswerCounts,
    /// The sum of the attempts that the target reported, and the number of operations with such a report.
    pub attempts: (u64, u64),
    /// Operations that took more than one attempt.
    pub retried: u64,
    /// Statements of traced requests.
    pub traces: TraceTotals,
    latency_us: Histogram<u64>,
    open_loop: bool,
    series: Vec<Second>,
    /// Latencies of the last seconds, the youngest last.
    recent: std::collections::VecDeque<Histogram<u64>>,
}

impl RecordedRound {
    /// No counts yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            operations: 0,
            decided: 0,
            open: 0,
            last_returned_ns: 0,
            answers: AnswerCounts::default(),
            attempts: (0, 0),
            retried: 0,
            traces: TraceTotals::default(),
            latency_us: histogram(3),
            open_loop: false,
            series: Vec::new(),
            recent: std::collections::VecDeque::new(),
        }
    }

    /// Receives all answers until the senders are gone, and writes them.
    ///
    /// # Errors
    /// As writing does. Then the senders' next batch fails.
    pub fn record_all(
        mut self,
        answers: &Receiver<Vec<HeardOperation>>,
        out: &mut impl Write,
        live: Option<OnSlice>,
    ) -> io::Result<Self> {
        let mut live = live.map(SliceCollector::new);
        while let Some(batch) = next(answers, &mut live, &self.traces) {
            for answer in batch {
                self.record(&answer);
                if let Some(live) = &mut live {
                    live.record(&answer);
                }
                let body = String::from_utf8_lossy(&answer.body[..answer.body.len().min(BODY_MAX)]).into_owned();
                let HeardOperation { operation, intended_ns, status, attempts, .. } = &answer;
                file::write_line(out, &OperationLine::new(operation, *intended_ns, *status, body, *attempts))?;
            }
            // So a run that is killed leaves the answers so far.
            out.flush()?;
        }
        if let Some(live) = &mut live {
            live.end_slice(&self.traces);
        }
        while !self.recent.is_empty() {
            self.close_second();
        }
        Ok(self)
    }

    fn record(&mut self, answer: &HeardOperation) {
        self.operations += 1;
        self.open += u64::from(answer.operation.outcome.is_open());
        self.answers.count(answer.status, &answer.body);
        let retried = answer.retried();
        if let Some(attempts) = answer.attempts {
            self.attempts = (self.attempts.0 + u64::from(attempts), self.attempts.1 + 1);
            self.retried += u64::from(retried);
        }
        if let Some(trace) = &answer.trace {
            self.traces.add(trace);
        }
        self.open_loop |= answer.intended_ns.is_some();
        let latency_us = super::load::micros(answer.latency());
        let second =
            usize::try_from(answer.operation.returned_ns / 1_000_000_000).unwrap_or(usize::MAX).min(SECONDS_MAX - 1);
        while self.series.len() <= second {
            self.series.push(Second::default());
            self.recent.push_back(histogram(2));
            if self.recent.len() > SECONDS_RECENT {
                self.close_second();
            }
        }
        let age = self.series.len() - 1 - second;
        self.last_returned_ns = self.last_returned_ns.max(answer.operation.returned_ns);
        if answer.is_decided() {
            self.decided += 1;
            self.latency_us.saturating_record(latency_us);
            if let Some(at) = self.recent.len().checked_sub(age + 1) {
                self.recent[at].saturating_record(latency_us);
            }
        }
        let counts = &mut self.series[second];
        match answer.operation.outcome {
            Outcome::Done(_) => counts.done += 1,
            Outcome::Refused(_) => counts.refused += 1,
            Outcome::NotDone | Outcome::Unknown | Outcome::Unexpected => counts.other += 1,
        }
        counts.retried += u64::from(retried);
    }

    /// Ends the oldest second whose latencies are still collected.
    fn close_second(&mut self) {
        let at = self.series.len() - self.recent.len();
        if let Some(latencies) = self.recent.pop_front() {
            self.series[at].p50_us = latencies.value_at_quantile(0.5);
            self.series[at].p99_us = latencies.value_at_quantile(0.99);
        }
    }

    /// The counts of each second.
    #[must_use]
    pub fn series(&self) -> Vec<Second> {
        self.series.clone()
    }

    /// Mean attempts; `None` if the target reports none.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a mean for people")]
    pub fn mean_attempts(&self) -> Option<f64> {
        let (sum, of) = self.attempts;
        (of > 0).then(|| sum as f64 / of as f64)
    }

    /// The latencies.
    #[must_use]
    pub fn latency(&self) -> Latency {
        let at = |quantile| self.latency_us.value_at_quantile(quantile);
        Latency {
            from_intended: self.open_loop,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: self.latency_us.max(),
            buckets: self.buckets(),
        }
    }

    fn buckets(&self) -> Vec<Bucket> {
        let steps = self.latency_us.iter_log(10, 1.1);
        steps
            .map(|step| Bucket { up_to_us: step.value_iterated_to(), count: step.count_since_last_iteration() })
            .filter(|bucket| bucket.count > 0)
            .collect()
    }
}

impl Default for RecordedRound {
    fn default() -> Self {
        Self::new()
    }
}

/// A histogram of µs with so many significant digits.
pub(super) fn histogram(digits: u8) -> Histogram<u64> {
    // It fails only for bounds that make no sense.
    Histogram::new_with_bounds(1, LATENCY_MAX_US, digits).unwrap_or_else(|_| unreachable!("the bounds are in order"))
}
