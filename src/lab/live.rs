//! Slices of a load while it runs, for `--events`. Without an observer nothing here runs.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::load::micros;
use super::recorder::HeardOperation;
use super::results::Waits;
use super::waits::TraceTotals;
use crate::feed::{BUCKETS, LiveSlice, LiveWaits, OutcomeCounts, SLICE, bucket, sparse};
use referee::history::Outcome;

/// Receives each slice when it is over.
pub type OnSlice = Box<dyn FnMut(LiveSlice) + Send>;

/// Collects answers into slices. A slice has the answers that arrived here while it lasted; they arrive about 100 ms late.
pub(super) struct SliceCollector {
    on_slice: OnSlice,
    /// When the load began, estimated from the first answer.
    began: Option<Instant>,
    slice: LiveSlice,
    latencies: [u64; BUCKETS],
}

impl SliceCollector {
    pub(super) fn new(on_slice: OnSlice) -> Self {
        Self { on_slice, began: None, slice: LiveSlice::default(), latencies: [0; BUCKETS] }
    }

    /// Counts one answer.
    pub(super) fn record(&mut self, answer: &HeardOperation) {
        self.began.get_or_insert_with(|| {
            let now = Instant::now();
            now.checked_sub(Duration::from_nanos(answer.operation.returned_ns)).unwrap_or(now)
        });
        count(&mut self.slice.counts, &answer.operation.outcome, answer.retried());
        if answer.is_decided() {
            self.latencies[usize::from(bucket(micros(answer.latency())))] += 1;
        }
    }

    /// The time until the slice ends. Before the first answer it does not run yet.
    fn left(&self) -> Duration {
        let Some(began) = self.began else { return SLICE };
        (Duration::from_millis(self.slice.from_ms) + SLICE).saturating_sub(began.elapsed())
    }

    /// Ends the slice.
    pub(super) fn end_slice(&mut self, traces: &TraceTotals) {
        let Some(began) = self.began else { return };
        let to_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut slice = std::mem::replace(&mut self.slice, LiveSlice { from_ms: to_ms, ..LiveSlice::default() });
        (slice.to_ms, slice.waits) = (to_ms, traces.waits().map(LiveWaits::from));
        slice.latencies = sparse(&std::mem::replace(&mut self.latencies, [0; BUCKETS]));
        (self.on_slice)(slice);
    }
}

/// Counts one answer.
fn count(counts: &mut OutcomeCounts, outcome: &Outcome, retried: bool) {
    match outcome {
        Outcome::Done(_) => counts.done += 1,
        Outcome::Refused(_) => counts.refused += 1,
        Outcome::NotDone => counts.gave_up += 1,
        Outcome::Unknown | Outcome::Unexpected => counts.other += 1,
    }
    counts.retried += u64::from(retried);
}

impl From<Waits> for LiveWaits {
    fn from(Waits { traced, row_us, pool_us, locks_us, statements_us, commit_us }: Waits) -> Self {
        Self { traced, row_us, pool_us, locks_us, statements_us, commit_us }
    }
}

impl From<LiveWaits> for Waits {
    fn from(LiveWaits { traced, row_us, pool_us, locks_us, statements_us, commit_us }: LiveWaits) -> Self {
        Self { traced, row_us, pool_us, locks_us, statements_us, commit_us }
    }
}

/// The next batch; `None` when the senders are gone. Slices that end meanwhile are sent, also if the server is silent.
pub(super) fn next(
    answers: &Receiver<Vec<HeardOperation>>,
    live: &mut Option<SliceCollector>,
    traces: &TraceTotals,
) -> Option<Vec<HeardOperation>> {
    let Some(live) = live else { return answers.recv().ok() };
    loop {
        let left = live.left();
        if left.is_zero() {
            live.end_slice(traces);
            continue;
        }
        match answers.recv_timeout(left) {
            Ok(batch) => return Some(batch),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;
    use std::sync::{Arc, Mutex};

    use axum::body::Bytes;

    use super::*;
    use referee::history::{RecordedOperation, Request};

    fn answer(id: u64, outcome: Outcome) -> HeardOperation {
        let request = Request::Balance { user: 1, amount: -2 };
        let operation =
            RecordedOperation { id, client: 0, request, invoked_ns: 1_000_000, returned_ns: 2_000_000, outcome };
        HeardOperation {
            operation,
            intended_ns: None,
            status: None,
            body: Bytes::new(),
            attempts: Some(2),
            trace: None,
        }
    }

    #[test]
    fn a_slice_holds_the_answers_and_one_ends_although_no_answer_comes() {
        let slices: Arc<Mutex<Vec<LiveSlice>>> = Arc::default();
        let collected = Arc::clone(&slices);
        let mut live = Some(SliceCollector::new(Box::new(move |slice| collected.lock().unwrap().push(slice))));
        let (answers, received) = sync_channel(1);
        answers.send(vec![answer(1, Outcome::NotDone), answer(2, Outcome::Unknown)]).unwrap();
        let batch = next(&received, &mut live, &TraceTotals::default()).unwrap();
        for answer in &batch {
            live.as_mut().unwrap().record(answer);
        }
        let silent = std::thread::spawn(move || {
            std::thread::sleep(SLICE * 3);
            drop(answers);
        });
        assert!(next(&received, &mut live, &TraceTotals::default()).is_none());
        silent.join().unwrap();
        let slices = slices.lock().unwrap();
        assert!((2..=4).contains(&slices.len()), "{slices:?}");
        assert_eq!((slices[0].counts.gave_up, slices[0].counts.other, slices[0].counts.retried), (1, 1, 2));
        assert_eq!((slices[0].latencies.len(), slices[1].counts.answers()), (0, 0), "giving up is no latency");
        assert!(slices.windows(2).all(|pair| pair[0].to_ms == pair[1].from_ms), "{slices:?}");
    }
}
