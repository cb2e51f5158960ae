//! The judge of a history: one module for each part of the proof. The documentation of the crate explains the method.
//!
//! - [`history_index`]: which rows must be judged together
//! - [`totals`], [`bookings`]: what needs no order: sums, signs, booking rows
//! - [`chain`]: each write against the one before it: lost updates
//! - [`gaps`]: versions that only operations of unknown outcome explain; [`unfilled`]: those that nothing explains
//! - [`order`]: the writes against real time
//! - [`refusals`], with [`extremes`]: each refusal was true at some moment
//! - [`search`] (with [`events`], [`replay`] and [`bridges`]), [`unnumbered`]: without versions, and where unknown outcomes leave a choice
//! - [`finding_counter`]: counts, and the smallest evidence of each anomaly
//!
//! If operations of unknown outcome fill gaps, the chosen ones are one explanation of several. If the order or the refusals
//! then fail, the search decides. If other findings make the search pointless, only those are reported.

mod bookings;
mod bridges;
mod chain;
mod events;
mod extremes;
mod finding_counter;
mod gaps;
mod history_index;
mod order;
mod refusals;
mod replay;
mod search;
mod totals;
mod unfilled;
mod unnumbered;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use rustc_hash::FxHashSet;

use self::bookings::Bookings;
use self::chain::{Chains, Gap, Numbering, numbering, versions_agree};
use self::finding_counter::FindingCounter;
use self::gaps::{Fillers, Filling};
use self::history_index::{HistoryIndex, Partition};
use self::order::WriteTimes;
use self::search::{OrderDemands, OrderFound};
use self::unfilled::Unacknowledged;
use crate::history::{History, Outcome, Reason, RecordedOperation, Request};
use crate::judgement::{Anomaly, Judgement};
use domain::Row;

/// Judges a history.
#[must_use]
pub fn judge(history: &History) -> Judgement {
    let index = HistoryIndex::new(history);
    let mut findings = FindingCounter::default();
    let counts = totals::count_answers(&index, &mut findings);
    totals::check_sums(&index, &mut findings);
    let bookings = Bookings::gather(&index, &mut findings);
    bookings.compare(&index, &mut findings);
    let operations = history.operations.len();
    let mut judge = Judge {
        index: &index,
        bookings: &bookings,
        chains: Chains::new(&index),
        times: WriteTimes::new(operations),
        pushed: WriteTimes::new(operations),
        unacknowledged: None,
        checks_left: search::CHECKS_MAX,
        findings,
        undecided: Vec::new(),
    };
    for partition in index.partitions() {
        judge.judge(&partition);
    }
    let Judge { mut findings, mut undecided, .. } = judge;
    totals::check_total(&index, &mut findings);
    if let Some(after) = &history.after {
        for row in history.before.keys().filter(|row| !after.contains_key(row)) {
            undecided.push(format!("{row} is missing in the final state, so its final value was not checked"));
        }
        let event = |operation: &RecordedOperation| match operation.request {
            Request::Booking { event, .. } => index.find(Row::Event(event)),
            _ => None,
        };
        let asked: BTreeSet<u32> = history.operations.iter().filter_map(event).collect();
        let unread = asked.into_iter().map(|event| index.row(event)).filter(|event| !event.knows_bookings());
        undecided.extend(unread.map(|event| {
            format!(
                "the bookings of {} were not read, so lost and double bookings are known by the answers and its number of seats only",
                event.row
            )
        }));
    } else {
        undecided.push("the final state could not be read, so it was not compared with the answers".to_owned());
    }
    Judgement { counts, findings: findings.findings(history), undecided }
}

/// What the partitions of one history share.
struct Judge<'d, 'h> {
    index: &'d HistoryIndex<'h>,
    bookings: &'d Bookings,
    chains: Chains,
    times: WriteTimes,
    /// With the refusals among the writes.
    pushed: WriteTimes,
    /// Gathered when they are first asked for.
    unacknowledged: Option<Unacknowledged>,
    /// What is left of [`search::CHECKS_MAX`].
    checks_left: u64,
    findings: FindingCounter,
    undecided: Vec<String>,
}

/// How the gaps of a partition were filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FilledGaps {
    /// There were none to fill, or none that hides a state.
    Certainly,
    /// In one way of perhaps several.
    Somehow,
    /// In a way that cannot be.
    Badly,
}

impl Judge<'_, '_> {
    fn judge(&mut self, partition: &Partition) {
        if partition.operations.is_empty() && partition.rows.iter().all(|&row| self.is_unchanged(row)) {
            return;
        }
        let mut findings = FindingCounter::default();
        let numbering = numbering(self.index, partition);
        if let Some(numbering) = numbering {
            self.judge_numbered(partition, numbering, &mut findings);
        }
        // Values that number the writes must not contradict the versions that are known.
        let contradicts =
            || matches!(numbering, Some(Numbering::Values(step)) if !versions_agree(self.index, partition, step));
        if numbering.is_none() || findings.is_empty() && contradicts() {
            let (checks_left, found_otherwise) = (&mut self.checks_left, !self.findings.is_empty());
            if !unnumbered::judge(self.index, partition, self.bookings, checks_left, found_otherwise, &mut findings) {
                self.leave_open(partition, "not all answers have versions, and there are too many orders to try");
            }
        }
        self.findings.merge(findings);
    }

    fn is_unchanged(&self, row: u32) -> bool {
        let row = self.index.row(row);
        row.after.is_none_or(|after| after.seen == row.before.seen)
    }

    fn judge_numbered(&mut self, partition: &Partition, numbering: Numbering, findings: &mut FindingCounter) {
        let (index, bookings) = (self.index, self.bookings);
        let gaps = self.chains.walk(index, partition, numbering, findings);
        // An update that is lost by its value was still made: it may be what is missing.
        let by_values = numbering != Numbering::Versions && findings.has(Anomaly::LostUpdate);
        let filled = if by_values { FilledGaps::Badly } else { self.fill(partition, &gaps, findings) };
        self.chains.place(index, partition);
        let mut dependent = FindingCounter::default();
        let order = order::sort(index, partition, &self.chains, &mut dependent);
        order::name_late(index, &self.chains, &order, &mut self.times, &mut dependent);
        let times = (&self.times, &mut self.pushed);
        let settled = refusals::judge(index, partition, &self.chains, bookings, &order, times, &mut dependent);
        let fine = settled && dependent.is_empty() && filled != FilledGaps::Badly && !self.reads_two_rows(partition);
        if fine {
            return;
        }
        if filled == FilledGaps::Certainly && settled && !self.reads_two_rows(partition) {
            return findings.merge(dependent);
        }
        if !findings.is_empty() {
            // No order explains the partition anyway; what depends on the choice is not certain.
            return;
        }
        let none = FxHashSet::default();
        let demands = OrderDemands { real_time: true, final_state: true, without: &none };
        match search::search(index, partition, bookings, demands, &mut self.checks_left) {
            OrderFound::Order => {}
            OrderFound::Nothing(stuck) if dependent.is_empty() => {
                findings.add(index.history, Anomaly::StaleRefusal, 1, &[stuck], || {
                    "No choice among the operations of unknown outcome explains the answers".to_owned()
                });
            }
            OrderFound::Nothing(_) => findings.merge(dependent),
            OrderFound::GaveUp => {
                self.leave_open(partition, "there are too many orders of the operations of unknown outcome to try");
            }
        }
    }

    /// Fills the gaps, and names those that cannot be filled.
    fn fill(&mut self, partition: &Partition, gaps: &[Gap], findings: &mut FindingCounter) -> FilledGaps {
        let index = self.index;
        let unknown = unfilled::unknown(index, partition);
        let open_end = partition.rows.iter().any(|&row| index.row(row).after.is_none());
        if gaps.is_empty() {
            return if open_end && !unknown.is_empty() { FilledGaps::Somehow } else { FilledGaps::Certainly };
        }
        let hides = gaps.iter().any(|gap| gap.missing > 1) || !unknown.is_empty();
        let unfilled = if hides { FilledGaps::Somehow } else { FilledGaps::Certainly };
        match gaps::fill(index, partition, self.bookings, gaps) {
            Filling::Filled(fillers) => self.put_in(partition, gaps, fillers),
            Filling::Impossible(places) => {
                let unacknowledged = self.unacknowledged.get_or_insert_with(|| Unacknowledged::gather(index));
                for place in places {
                    unfilled::name(index, &self.chains, &gaps[place], (&unknown, unacknowledged), findings);
                }
                unfilled
            }
            Filling::Contradictory => {
                unfilled::name_contradiction(index, gaps, findings);
                unfilled
            }
            Filling::GaveUp => {
                self.leave_open(
                    partition,
                    "there are too many ways to explain the missing versions by operations of unknown outcome",
                );
                FilledGaps::Somehow
            }
        }
    }

    /// Puts operations into the gaps that they fill.
    fn put_in(&mut self, partition: &Partition, gaps: &[Gap], fillers: Fillers) -> FilledGaps {
        let Fillers { mut of_gap, at_end } = fillers;
        let mut filled = FilledGaps::Somehow;
        for &row in &partition.rows {
            let mut of_row: Vec<(usize, Vec<u32>)> = (gaps.iter().zip(&mut of_gap))
                .filter(|(gap, _)| gap.row == row)
                .map(|(gap, fillers)| (gap.place, std::mem::take(fillers)))
                .collect();
            let end = self.chains.of_row[row as usize].writes.len();
            of_row.push((end, at_end.iter().filter(|(at_row, _)| *at_row == row).map(|(_, at)| *at).collect()));
            if !self.chains.fill(self.index, row, of_row) {
                filled = FilledGaps::Badly;
            }
        }
        filled
    }

    /// Whether a refusal depends on both rows of a transfer at once: then no single chain has its place.
    fn reads_two_rows(&self, partition: &Partition) -> bool {
        partition.operations.iter().any(|&at| {
            let operation = self.index.operation(at);
            matches!(operation.request, Request::Transfer { .. })
                && operation.outcome == Outcome::Refused(Reason::OutOfRange)
        })
    }

    fn leave_open(&mut self, partition: &Partition, why: &str) {
        let mut rows: Vec<String> =
            partition.rows.iter().take(3).map(|&row| self.index.row(row).row.to_string()).collect();
        if partition.rows.len() > 3 {
            rows.push(format!("{} more", partition.rows.len() - 3));
        }
        self.undecided.push(format!("{} not decided: {why}", rows.join(", ")));
    }
}
