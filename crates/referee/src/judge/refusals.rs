//! Refusals: each must have been true at some moment between its call and its return.
//!
//! A refusal reads a row and changes nothing, so its moment is a *place* between two writes of the row's chain, at which the
//! value really refuses it. The earliest and latest times of the writes say which places it can have; among these the
//! first at which it is true is the best. For a later place only makes it harder to be read before the return, and what it asks of the others
//! is one-sided: a refusal that had returned before another was called stands at its place or before it. Such
//! demands have a least solution, which is found by starting low and raising only what must be raised.
//!
//! On one row the order of calls raises enough. With transfers, a refusal can push a write that pushes others on another row: the
//! earliest times with the refusals among the writes show that, and the refusal that pushes too late is raised to its next place.

use rustc_hash::FxHashMap;

use super::bookings::Bookings;
use super::chain::{Chains, is_refused};
use super::extremes::Minima;
use super::finding_counter::FindingCounter;
use super::history_index::{HistoryIndex, NONE, Partition, number};
use super::order::WriteTimes;
use crate::history::{Outcome, Reason, Request};
use crate::judgement::Anomaly;

/// Writes and refusals that may be looked at while refusals are raised: about 2 s.
const WORK_MAX: usize = 50_000_000;
/// Times at least that refusals are raised.
const ROUNDS_MIN: usize = 32;

/// Which values refuse.
#[derive(Debug, Clone, Copy)]
enum RefusalRange {
    Below(i128),
    Above(i128),
    Always,
}

/// A refusal on its row.
#[derive(Debug, Clone, Copy)]
struct RefusedOperation {
    at: u32,
    when: RefusalRange,
    /// The first place that is allowed, and the first behind it that no longer is.
    allowed: [usize; 2],
    /// Where it stands.
    place: usize,
    /// Whether no place was left for it.
    stale: bool,
}

/// The refusals of one row, in the order of their calls.
#[derive(Debug)]
struct RowRefusals {
    row: u32,
    refused: Vec<RefusedOperation>,
    /// Indices of `refused`, in the order of their returns.
    by_return: Vec<u32>,
    low: Option<Minima>,
    high: Option<Minima>,
}

/// Looks for a place for each refusal of a case, and names those that have none. False if that took too long.
pub fn judge(
    docket: &HistoryIndex<'_>,
    case: &Partition,
    chains: &Chains,
    bookings: &Bookings,
    order: &[u32],
    (times, pushed): (&WriteTimes, &mut WriteTimes),
    tally: &mut FindingCounter,
) -> bool {
    let mut rows = gather(docket, case, chains, bookings);
    for row in &mut rows {
        row.stand(docket, chains, times);
    }
    let refusals: usize = rows.iter().map(|row| row.refused.len()).sum();
    let rounds = if case.rows.len() == 1 { 0 } else { ROUNDS_MIN.max(WORK_MAX / (order.len() + refusals).max(1)) };
    let mut settled = rounds == 0 || refusals == 0;
    for _ in 0..rounds {
        let raised = if settled { Vec::new() } else { raise(docket, chains, order, pushed, &mut rows) };
        settled |= raised.is_empty();
        if settled {
            break;
        }
        for row in raised {
            rows[row].stand(docket, chains, times);
        }
    }
    for row in &rows {
        for refused in row.refused.iter().filter(|refused| refused.stale) {
            row.name(docket, chains, times, refused, tally);
        }
    }
    settled
}

/// The refusals of a case by row.
fn gather(docket: &HistoryIndex<'_>, case: &Partition, chains: &Chains, bookings: &Bookings) -> Vec<RowRefusals> {
    let mut rows: FxHashMap<u32, Vec<RefusedOperation>> = FxHashMap::default();
    for &at in case.operations.iter().filter(|&&at| is_refused(docket, at)) {
        let operation = docket.operation(at);
        let Outcome::Refused(reason) = operation.outcome else { continue };
        let touched = docket.rows_of[at as usize];
        let (row, when) = match (operation.request, reason) {
            (Request::Balance { amount, .. }, Reason::InsufficientFunds) => {
                (touched[0], RefusalRange::Below(-i128::from(amount)))
            }
            (Request::Balance { amount, .. }, _) => {
                (touched[0], RefusalRange::Above(i128::from(i64::MAX) - i128::from(amount)))
            }
            (Request::Transfer { amount, .. }, Reason::InsufficientFunds) => {
                (touched[0], RefusalRange::Below(i128::from(amount)))
            }
            (Request::Transfer { amount, .. }, _) => {
                (touched[1], RefusalRange::Above(i128::from(i64::MAX) - i128::from(amount)))
            }
            (Request::Booking { .. }, Reason::SoldOut) => (touched[0], RefusalRange::Below(1)),
            (Request::Booking { .. }, _) => (touched[0], RefusalRange::Always),
            (Request::Increment { .. }, _) => (touched[0], RefusalRange::Above(i128::from(i64::MAX) - 1)),
        };
        let places = chains.of_row[row as usize].values.len();
        let allowed = match (operation.request, reason) {
            (Request::Booking { user, .. }, Reason::AlreadyBooked) => {
                [booked_at(chains, bookings, row, user).unwrap_or(places), places]
            }
            (Request::Booking { user, .. }, _) => [0, booked_at(chains, bookings, row, user).unwrap_or(places)],
            _ => [0, places],
        };
        rows.entry(row).or_default().push(RefusedOperation { at, when, allowed, place: 0, stale: false });
    }
    let mut rows: Vec<RowRefusals> =
        rows.into_iter().map(|(row, refused)| RowRefusals::new(docket, chains, row, refused)).collect();
    rows.sort_unstable_by_key(|row| row.row);
    rows
}

/// The first place at which a user has a booking of the event.
fn booked_at(chains: &Chains, bookings: &Bookings, row: u32, user: i64) -> Option<usize> {
    let seats = bookings.of(row, user);
    if seats.before > 0 {
        return Some(0);
    }
    let by = if seats.done > 0 { seats.done_by } else { seats.unknown_by };
    let place = if by == NONE { NONE } else { chains.places[by as usize][0] };
    (place != NONE).then_some(place as usize + 1)
}

/// Raises the refusals that push others beyond their return. On which of these rows there were any.
fn raise(
    docket: &HistoryIndex<'_>,
    chains: &Chains,
    order: &[u32],
    pushed: &mut WriteTimes,
    rows: &mut [RowRefusals],
) -> Vec<usize> {
    let mut last: FxHashMap<u32, Vec<u32>> = FxHashMap::default();
    let mut found: FxHashMap<u32, (usize, usize)> = FxHashMap::default();
    for (index, row) in rows.iter().enumerate() {
        let mut pushes = vec![NONE; chains.of_row[row.row as usize].values.len()];
        for (position, refused) in row.refused.iter().enumerate().filter(|(_, refused)| !refused.stale) {
            // In the order of calls, so the last one stays.
            pushes[refused.place] = refused.at;
            found.insert(refused.at, (index, position));
        }
        last.insert(row.row, pushes);
    }
    let pushes = |row: u32, place: usize| last.get(&row).map_or(NONE, |pushes| pushes[place]);
    pushed.forwards(docket, chains, order, pushes, |_, _| {});
    let mut too_early: Vec<(usize, usize)> = Vec::new();
    for row in rows.iter() {
        for refused in row.refused.iter().filter(|refused| !refused.stale) {
            let before = refused.place.checked_sub(1).map(|before| chains.of_row[row.row as usize].writes[before]);
            if let Some(before) = before
                && pushed.earliest_ns[before as usize] > docket.deadline_ns(refused.at)
                && let Some(&by) = found.get(&pushed.cause[before as usize])
            {
                too_early.push(by);
            }
        }
    }
    too_early.sort_unstable();
    too_early.dedup();
    for &(row, position) in &too_early {
        let refused = &mut rows[row].refused[position];
        refused.allowed[0] = refused.place + 1;
    }
    let mut raised: Vec<usize> = too_early.into_iter().map(|(row, _)| row).collect();
    raised.dedup();
    raised
}

impl RowRefusals {
    fn new(docket: &HistoryIndex<'_>, chains: &Chains, row: u32, refused: Vec<RefusedOperation>) -> Self {
        let values = &chains.of_row[row as usize].values;
        let below = refused.iter().any(|refused| matches!(refused.when, RefusalRange::Below(_)));
        let above = refused.iter().any(|refused| matches!(refused.when, RefusalRange::Above(_)));
        let mut by_return: Vec<u32> = (0..number(refused.len())).collect();
        by_return.sort_by_key(|&index| docket.operation(refused[index as usize].at).returned_ns);
        Self {
            row,
            refused,
            by_return,
            low: below.then(|| Minima::new(values.iter().copied())),
            // The complement turns the order around, and nothing overflows.
            high: above.then(|| Minima::new(values.iter().map(|value| !value))),
        }
    }

    /// Puts each at its first place.
    fn stand(&mut self, docket: &HistoryIndex<'_>, chains: &Chains, times: &WriteTimes) {
        let (mut returned, mut least) = (0, 0);
        for index in 0..self.refused.len() {
            let refused = self.refused[index];
            let operation = docket.operation(refused.at);
            // All that had returned before this call were called before it: they stand already.
            while let Some(&earlier) = self.by_return.get(returned) {
                let earlier = &self.refused[earlier as usize];
                if docket.operation(earlier.at).returned_ns >= operation.invoked_ns {
                    break;
                }
                if !earlier.stale {
                    least = least.max(earlier.place);
                }
                returned += 1;
            }
            if refused.stale {
                continue;
            }
            let [first, end] = window(docket, chains, times, self.row, refused.at);
            let from = first.max(refused.allowed[0]).max(least);
            let place = self.next(from, refused.when).filter(|&place| place < end.min(refused.allowed[1]));
            self.refused[index].place = place.unwrap_or_default();
            self.refused[index].stale = place.is_none();
        }
    }

    /// The first place from there on at which the value refuses.
    fn next(&self, from: usize, when: RefusalRange) -> Option<usize> {
        match when {
            RefusalRange::Below(bound) => self.low.as_ref()?.next_below(from, bound),
            RefusalRange::Above(bound) => self.high.as_ref()?.next_below(from, -bound - 1),
            RefusalRange::Always => Some(from),
        }
    }

    fn name(
        &self,
        docket: &HistoryIndex<'_>,
        chains: &Chains,
        times: &WriteTimes,
        refused: &RefusedOperation,
        tally: &mut FindingCounter,
    ) {
        let (chain, row) = (&chains.of_row[self.row as usize], docket.row(self.row).row);
        let [first, _] = window(docket, chains, times, self.row, refused.at);
        let place = first.min(chain.writes.len());
        let write = place.checked_sub(1).map(|before| chain.writes[before]);
        tally.add(docket.history, Anomaly::StaleRefusal, 1, &[Some(refused.at), write], || {
            let since = if write.is_some() { "after the second operation" } else { "at first" };
            let (value, moment) = (chain.values[place], "at any moment when this can have been refused");
            match (refused.when, docket.operation(refused.at).request) {
                (RefusalRange::Always, Request::Booking { user, .. }) => {
                    format!("user {user} had no booking of {row} {moment}")
                }
                (_, Request::Booking { .. }) => {
                    format!("{row} had {value} seats left {since}, and was not sold out {moment}")
                }
                (RefusalRange::Below(bound), _) => format!("{row} was {value} {since}, and not below {bound} {moment}"),
                (RefusalRange::Above(bound), _) => format!("{row} was {value} {since}, and not above {bound} {moment}"),
                (RefusalRange::Always, _) => format!("{row} was {value} {since}"),
            }
        });
    }
}

/// The places that the times of the writes leave to a refusal: the first, and the first behind them that they do not.
fn window(docket: &HistoryIndex<'_>, chains: &Chains, times: &WriteTimes, row: u32, at: u32) -> [usize; 2] {
    let (writes, operation) = (&chains.of_row[row as usize].writes, docket.operation(at));
    let first = writes.partition_point(|&write| times.latest_ns[write as usize] < operation.invoked_ns);
    let end = writes.partition_point(|&write| times.earliest_ns[write as usize] <= operation.returned_ns);
    [first, end + 1]
}
