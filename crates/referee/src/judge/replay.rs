//! The state that a search has reached: what the operations taken so far have left, and what can come next by the rule.

use rustc_hash::{FxHashMap, FxHashSet};

use super::bridges::Bridges;
use super::chain::is_refused;
use super::history_index::{HistoryIndex, NONE, Partition, number};
use crate::history::{ObservedRow, Outcome, Reason, Request};
use domain::Refusal;
use domain::{changed_balance, incremented, transferred_balances};

/// The rows of a partition while its operations are taken one by one.
#[derive(Debug)]
pub struct Replay<'s, 'h> {
    index: &'s HistoryIndex<'h>,
    /// Whether it has to end in the final state.
    final_state: bool,
    /// By the number that the search gives them: their number in the history.
    pub operations: Vec<u32>,
    /// The rows of each, by their place in `rows`.
    touches: Vec<[u32; 2]>,
    rows: Vec<Now>,
    /// Bookings by event and user: now, and in the end.
    booked: FxHashMap<(u32, i64), u32>,
    after: FxHashMap<(u32, i64), u32>,
    /// How many differ between the two.
    unmatched: usize,
}

/// A row as the operations taken so far have left it.
#[derive(Debug)]
struct Now {
    value: i64,
    writes: i64,
    /// Version before the first write.
    start: Option<i64>,
    after: Option<ObservedRow>,
    /// The users of its booking rows are known, before and in the end.
    knows_bookings: bool,
    /// Versions that answers claim, ascending, with the value that they followed from.
    claimed: Vec<(i64, i128)>,
    /// The writes that are left, if that is looked at, all tell their values, and all must be made.
    bridges: Option<Bridges>,
}

impl<'s, 'h> Replay<'s, 'h> {
    /// The state before the first of these operations.
    pub fn new(index: &'s HistoryIndex<'h>, partition: &Partition, operations: Vec<u32>, final_state: bool) -> Self {
        let place = |row: u32| partition.rows.binary_search(&row).map_or(NONE, number);
        let mut replay = Self {
            index,
            final_state,
            touches: operations.iter().map(|&at| index.rows_of[at as usize].map(place)).collect(),
            operations,
            rows: partition.rows.iter().map(|&row| now(index, row)).collect(),
            booked: FxHashMap::default(),
            after: FxHashMap::default(),
            unmatched: 0,
        };
        replay.claim();
        replay.count_bookings(partition);
        replay
    }

    fn claim(&mut self) {
        for (local, &at) in self.operations.iter().enumerate() {
            let Outcome::Done(seen) = self.index.operation(at).outcome else { continue };
            for (place, _, adds) in self.index.effects(at) {
                if let Some(ObservedRow { value, version: Some(version) }) = seen[place] {
                    let row = &mut self.rows[self.touches[local][place] as usize];
                    row.claimed.push((version, i128::from(value) - i128::from(adds)));
                }
            }
        }
        for row in &mut self.rows {
            row.claimed.sort_unstable();
        }
    }

    /// From now on, look at what each step would leave behind.
    pub fn build_bridges(&mut self) {
        for row in &mut self.rows {
            row.bridges = Some(Bridges::default());
        }
        for (local, &at) in self.operations.iter().enumerate() {
            let told = match self.index.operation(at).outcome {
                Outcome::Done(seen) => seen,
                Outcome::Unknown | Outcome::Unexpected => [None; 2],
                _ => continue,
            };
            for (place, _, adds) in self.index.effects(at) {
                let row = &mut self.rows[self.touches[local][place] as usize];
                let edge = told[place].and_then(|seen| Some((seen.value.checked_sub(adds)?, seen.value)));
                match (&mut row.bridges, edge) {
                    (Some(bridges), Some((from, to))) => bridges.add(from, to),
                    (bridges, _) => *bridges = None,
                }
            }
        }
    }

    fn count_bookings(&mut self, partition: &Partition) {
        for (place, &row) in (0..).zip(&partition.rows) {
            let known = self.index.row(row);
            for &user in known.before.bookings.iter().flatten() {
                *self.booked.entry((place, user)).or_default() += 1;
            }
            for &user in known.after.iter().flat_map(|after| &after.bookings).flatten() {
                *self.after.entry((place, user)).or_default() += 1;
            }
        }
        let (booked, after) = (&self.booked, &self.after);
        let all = booked.keys().chain(after.keys()).filter(|(place, _)| self.rows[*place as usize].knows_bookings);
        let all: FxHashSet<&(u32, i64)> = all.collect();
        self.unmatched = all.into_iter().filter(|key| booked.get(key) != after.get(key)).count();
    }

    /// Whether what it leaves behind on its rows can be come back to, and how many values were walked to see it.
    pub fn leaves_nothing_behind(&self, local: u32) -> (bool, usize) {
        let mut walked = 0;
        for (place, _, adds) in self.index.effects(self.operations[local as usize]) {
            let row = &self.rows[self.touches[local as usize][place] as usize];
            if let Some(bridges) = &row.bridges {
                let (may_cross, further) = bridges.may_cross(row.value, row.value.wrapping_add(adds));
                walked += further;
                if !may_cross {
                    return (false, walked);
                }
            }
        }
        (true, walked)
    }

    /// Whether the row of a request on one row has versions.
    pub fn counts_writes(&self, local: u32) -> bool {
        self.rows[self.touches[local as usize][0] as usize].start.is_some()
    }

    /// What the rule answers now: the values, in the order of the effects.
    pub fn answer(&self, local: u32) -> Result<[i64; 2], Reason> {
        let [one, other] = self.touches[local as usize];
        let value = |place: u32| self.rows[place as usize].value;
        let reason = |refusal| match refusal {
            Refusal::InsufficientFunds => Reason::InsufficientFunds,
            _ => Reason::OutOfRange,
        };
        match self.index.operation(self.operations[local as usize]).request {
            Request::Balance { amount, .. } => Ok([changed_balance(value(one), amount).map_err(reason)?; 2]),
            Request::Transfer { amount, .. } => {
                let (paid, received) = transferred_balances(value(one), value(other), amount).map_err(reason)?;
                Ok([paid, received])
            }
            Request::Booking { user, .. } if self.booked.get(&(one, user)).is_some_and(|seats| *seats > 0) => {
                Err(Reason::AlreadyBooked)
            }
            Request::Booking { .. } if value(one) <= 0 => Err(Reason::SoldOut),
            Request::Booking { .. } => Ok([value(one) - 1; 2]),
            Request::Increment { .. } => Ok([incremented(value(one)).map_err(reason)?; 2]),
        }
    }

    /// Whether a write can come now: the rule allows it, the answer says what the rule says, and what comes next can still follow.
    pub fn follows(&self, local: u32) -> bool {
        let operation = self.index.operation(self.operations[local as usize]);
        let Ok(values) = self.answer(local) else { return false };
        let told = if let Outcome::Done(seen) = operation.outcome { seen } else { [None; 2] };
        (0..2).filter(|&place| self.touches[local as usize][place] != NONE).all(|place| {
            let row = &self.rows[self.touches[local as usize][place] as usize];
            let value = values[place];
            if told[place].is_some_and(|seen| seen.value != value) {
                return false;
            }
            let Some(version) = row.start.and_then(|start| start.checked_add(row.writes + 1)) else { return true };
            match told[place].and_then(|seen| seen.version) {
                Some(claimed) if claimed != version => return false,
                None if row.claimed_after(version).is_some() => return false,
                _ => {}
            }
            let next = version.checked_add(1).and_then(|next| row.claimed_after(next));
            next.is_none_or(|read| read == i128::from(value)) && self.may_end(row, version, value)
        })
    }

    fn may_end(&self, row: &Now, version: i64, value: i64) -> bool {
        let Some(ObservedRow { value: last, version: Some(end) }) = row.after else { return true };
        !self.final_state || version < end || (version == end && value == last)
    }

    /// Whether it may end here.
    pub fn ends_right(&self) -> bool {
        let ends = |row: &Now| {
            row.after.is_none_or(|after| {
                let version = row.start.and_then(|start| start.checked_add(row.writes));
                after.value == row.value && (after.version.is_none() || version.is_none() || after.version == version)
            })
        };
        !self.final_state || (self.rows.iter().all(ends) && self.bookings_end_right())
    }

    fn bookings_end_right(&self) -> bool {
        self.unmatched == 0 || self.rows.iter().all(|row| row.after.is_none())
    }

    /// Makes the change of an operation that can come now, or takes back the last one.
    pub fn apply(&mut self, local: u32, forward: bool) {
        let at = self.operations[local as usize];
        if is_refused(self.index, at) {
            return;
        }
        for (place, _, adds) in self.index.effects(at) {
            let row = &mut self.rows[self.touches[local as usize][place] as usize];
            let before = row.value;
            // The rule has allowed the sum, and what was added can be taken away again.
            row.value = if forward { row.value.wrapping_add(adds) } else { row.value.wrapping_sub(adds) };
            row.writes += if forward { 1 } else { -1 };
            if let Some(bridges) = &mut row.bridges {
                let (from, to) = if forward { (before, row.value) } else { (row.value, before) };
                bridges.change(from, to, forward);
            }
        }
        if let Request::Booking { user, .. } = self.index.operation(at).request {
            let key = (self.touches[local as usize][0], user);
            let wanted = self.after.get(&key).copied().unwrap_or_default();
            let seats = self.booked.entry(key).or_default();
            let matched = *seats == wanted;
            *seats = if forward { *seats + 1 } else { *seats - 1 };
            let matches = *seats == wanted;
            match (matched, matches) {
                _ if !self.rows[key.0 as usize].knows_bookings => {}
                (true, false) => self.unmatched += 1,
                (false, true) => self.unmatched -= 1,
                _ => {}
            }
        }
    }
}

impl Now {
    /// The value that the claimant of a version had read, if there is one.
    fn claimed_after(&self, version: i64) -> Option<i128> {
        let at = self.claimed.binary_search_by_key(&version, |claim| claim.0).ok()?;
        Some(self.claimed[at].1)
    }
}

fn now(index: &HistoryIndex<'_>, row: u32) -> Now {
    let known = index.row(row);
    let seen = known.before.seen;
    Now {
        value: seen.value,
        writes: 0,
        start: seen.version,
        after: known.after.map(|after| after.seen),
        knows_bookings: known.knows_bookings(),
        claimed: Vec::new(),
        bridges: None,
    }
}
