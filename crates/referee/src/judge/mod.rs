//! The referee: what a history proves. Pure: a history in, a judgement out; no clock, no I/O, no randomness.
//!
//! Correct means *linearizable* (Herlihy & Wing, "Linearizability: a correctness condition for concurrent objects",
//! 1990): there is an order of the operations, each at one moment between its call and its return, in which the
//! sequential rule ([`domain`]) gives every answer that was heard and leaves the final state. The referee is exact: it
//! finds something if and only if there is no such order, or says what it has left undecided.
//!
//! To find an order is hard in general. But every change raises its row's version, also under a broken approach, so
//! the answers tell the order of a row's writes, and what is left takes O(n log n):
//!
//! - [`history_index`]: which rows have to be judged together
//! - [`totals`], [`bookings`]: what needs no order: sums, signs, booking rows
//! - [`chain`]: each write against the one before it: lost updates
//! - [`gaps`]: versions that only operations of unknown outcome explain
//! - [`order`]: the writes against real time
//! - [`refusals`], with [`extremes`]: each was true at some moment
//! - [`search`] (with [`events`], [`replay`] and [`bridges`]), [`unnumbered`]: without versions, and where unknown outcomes leave a choice
//! - [`finding_counter`]: counts, and the smallest evidence of each anomaly
//!
//! What was chosen where operations of unknown outcome fill gaps is one explanation of several. If the order or the refusals then
//! fail, the search has the last word; where other findings make it pointless, only those are told.

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

use rustc_hash::FxHashSet;

use self::bookings::Bookings;
use self::chain::{Chains, Gap, Numbering, numbering};
use self::finding_counter::FindingCounter;
use self::gaps::{Fillers, Filling};
use self::history_index::{HistoryIndex, Partition};
use self::order::WriteTimes;
use self::search::{OrderDemands, OrderFound};
use self::unfilled::Suspects;
use crate::history::{History, Outcome, Reason, Request};
use crate::judgement::{Anomaly, Judgement};

/// Judges a history.
#[must_use]
pub fn judge(history: &History) -> Judgement {
    let docket = HistoryIndex::new(history);
    let mut tally = FindingCounter::default();
    let counts = totals::count_answers(&docket, &mut tally);
    totals::weigh_rows(&docket, &mut tally);
    let bookings = Bookings::gather(&docket, &mut tally);
    bookings.compare(&docket, &mut tally);
    let operations = history.operations.len();
    let mut court = Judge {
        docket: &docket,
        bookings: &bookings,
        chains: Chains::new(&docket),
        times: WriteTimes::new(operations),
        pushed: WriteTimes::new(operations),
        suspects: None,
        looks_left: search::LOOKS_MAX,
        tally,
        undecided: Vec::new(),
    };
    for case in docket.cases() {
        court.judge(&case);
    }
    let Judge { mut tally, mut undecided, .. } = court;
    totals::weigh_money(&docket, &mut tally);
    if let Some(after) = &history.after {
        for row in history.before.keys().filter(|row| !after.contains_key(row)) {
            undecided.push(format!("{row} is not in the final state: what it was in the end is not judged"));
        }
    } else {
        undecided
            .push("the final state could not be read: whether it agrees with the answers is not judged".to_owned());
    }
    Judgement { counts, findings: tally.findings(history), undecided }
}

/// What the cases of one history share.
struct Judge<'d, 'h> {
    docket: &'d HistoryIndex<'h>,
    bookings: &'d Bookings,
    chains: Chains,
    times: WriteTimes,
    /// With the refusals among the writes.
    pushed: WriteTimes,
    /// Gathered when they are first asked for.
    suspects: Option<Suspects>,
    /// What is left of [`search::LOOKS_MAX`].
    looks_left: u64,
    tally: FindingCounter,
    undecided: Vec<String>,
}

/// How the gaps of a case were filled.
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
    fn judge(&mut self, case: &Partition) {
        if case.operations.is_empty() && case.rows.iter().all(|&row| self.is_unchanged(row)) {
            return;
        }
        let mut tally = FindingCounter::default();
        if let Some(numbering) = numbering(self.docket, case) {
            self.judge_numbered(case, numbering, &mut tally);
        } else {
            let (looks_left, found_otherwise) = (&mut self.looks_left, !self.tally.is_empty());
            if !unnumbered::judge(self.docket, case, self.bookings, looks_left, found_otherwise, &mut tally) {
                self.leave_open(case, "the target reports no versions, and there are too many orders to try them all");
            }
        }
        self.tally.merge(tally);
    }

    fn is_unchanged(&self, row: u32) -> bool {
        let row = self.docket.row(row);
        row.after.is_none_or(|after| after.seen == row.before.seen)
    }

    fn judge_numbered(&mut self, case: &Partition, numbering: Numbering, tally: &mut FindingCounter) {
        let (docket, bookings) = (self.docket, self.bookings);
        let gaps = self.chains.walk(docket, case, numbering, tally);
        // An update that is lost by its value was still made: it may be what is missing.
        let by_values = numbering != Numbering::Versions && tally.has(Anomaly::LostUpdate);
        let filled = if by_values { FilledGaps::Badly } else { self.fill(case, &gaps, tally) };
        self.chains.place(docket, case);
        let mut dependent = FindingCounter::default();
        let order = order::sort(docket, case, &self.chains, &mut dependent);
        order::name_late(docket, &self.chains, &order, &mut self.times, &mut dependent);
        let times = (&self.times, &mut self.pushed);
        let settled = refusals::judge(docket, case, &self.chains, bookings, &order, times, &mut dependent);
        let fine = settled && dependent.is_empty() && filled != FilledGaps::Badly && !self.reads_two_rows(case);
        if fine {
            return;
        }
        if filled == FilledGaps::Certainly && settled && !self.reads_two_rows(case) {
            return tally.merge(dependent);
        }
        if !tally.is_empty() {
            // No order explains the case anyway; what depends on the choice is not certain.
            return;
        }
        let none = FxHashSet::default();
        let demands = OrderDemands { real_time: true, final_state: true, without: &none };
        match search::search(docket, case, bookings, demands, &mut self.looks_left) {
            OrderFound::Order => {}
            OrderFound::Nothing(stuck) if dependent.is_empty() => {
                tally.add(docket.history, Anomaly::StaleRefusal, 1, &[stuck], || {
                    "no choice among the operations of unknown outcome explains the answers".to_owned()
                });
            }
            OrderFound::Nothing(_) => tally.merge(dependent),
            OrderFound::GaveUp => {
                self.leave_open(case, "too many orders of the operations of unknown outcome to try them all");
            }
        }
    }

    /// Fills the gaps, and names those that cannot be filled.
    fn fill(&mut self, case: &Partition, gaps: &[Gap], tally: &mut FindingCounter) -> FilledGaps {
        let docket = self.docket;
        let unknown = unfilled::unknown(docket, case);
        let open_end = case.rows.iter().any(|&row| docket.row(row).after.is_none());
        if gaps.is_empty() {
            return if open_end && !unknown.is_empty() { FilledGaps::Somehow } else { FilledGaps::Certainly };
        }
        let hides = gaps.iter().any(|gap| gap.missing > 1) || !unknown.is_empty();
        let unfilled = if hides { FilledGaps::Somehow } else { FilledGaps::Certainly };
        match gaps::fill(docket, case, self.bookings, gaps) {
            Filling::Filled(fillers) => self.put_in(case, gaps, fillers),
            Filling::Impossible(places) => {
                let suspects = self.suspects.get_or_insert_with(|| Suspects::gather(docket));
                for place in places {
                    unfilled::name(docket, &self.chains, &gaps[place], (&unknown, suspects), tally);
                }
                unfilled
            }
            Filling::Contradictory => {
                unfilled::name_contradiction(docket, gaps, tally);
                unfilled
            }
            Filling::GaveUp => {
                self.leave_open(case, "too many ways to explain the missing versions by operations of unknown outcome");
                FilledGaps::Somehow
            }
        }
    }

    /// Puts operations into the gaps that they fill.
    fn put_in(&mut self, case: &Partition, gaps: &[Gap], fillers: Fillers) -> FilledGaps {
        let Fillers { mut of_gap, at_end } = fillers;
        let mut filled = FilledGaps::Somehow;
        for &row in &case.rows {
            let mut of_row: Vec<(usize, Vec<u32>)> = (gaps.iter().zip(&mut of_gap))
                .filter(|(gap, _)| gap.row == row)
                .map(|(gap, fillers)| (gap.place, std::mem::take(fillers)))
                .collect();
            let end = self.chains.of_row[row as usize].writes.len();
            of_row.push((end, at_end.iter().filter(|(at_row, _)| *at_row == row).map(|(_, at)| *at).collect()));
            if !self.chains.fill(self.docket, row, of_row) {
                filled = FilledGaps::Badly;
            }
        }
        filled
    }

    /// Whether a refusal depends on both rows of a transfer at once: then no single chain has its place.
    fn reads_two_rows(&self, case: &Partition) -> bool {
        case.operations.iter().any(|&at| {
            let operation = self.docket.operation(at);
            matches!(operation.request, Request::Transfer { .. })
                && operation.outcome == Outcome::Refused(Reason::OutOfRange)
        })
    }

    fn leave_open(&mut self, case: &Partition, why: &str) {
        let mut rows: Vec<String> = case.rows.iter().take(3).map(|&row| self.docket.row(row).row.to_string()).collect();
        if case.rows.len() > 3 {
            rows.push(format!("{} more", case.rows.len() - 3));
        }
        self.undecided.push(format!("{}: {why}", rows.join(", ")));
    }
}
