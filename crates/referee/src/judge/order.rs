//! Order: whether the writes, in the order of their numbers, fit between their calls and their returns.
//!
//! Herlihy & Wing: a history is linearizable if each operation can take effect at one point between its call and its return.
//! The chains say which write comes before which; a transfer is one point on two chains. Taking each as early as possible, not before
//! its call and not before its predecessors, is the best that can be done: operations take no time, so if that is too late
//! for one of them, everything is. The earliest times go forwards along the order, the latest backwards; [`super::refusals`]
//! find their place between the two.

use rustc_hash::FxHashMap;

use super::chain::Chains;
use super::finding_counter::FindingCounter;
use super::history_index::{HistoryIndex, NONE, Partition};
use crate::judgement::Anomaly;

/// When the writes can have taken effect.
#[derive(Debug)]
pub struct WriteTimes {
    /// By operation: not before this.
    pub earliest_ns: Vec<u64>,
    /// By operation: not after this.
    pub latest_ns: Vec<u64>,
    /// By operation: whose call is its earliest time.
    pub cause: Vec<u32>,
}

impl WriteTimes {
    /// Nothing known yet.
    pub fn new(operations: usize) -> Self {
        Self { earliest_ns: vec![0; operations], latest_ns: vec![u64::MAX; operations], cause: vec![NONE; operations] }
    }

    /// Earliest times, forwards. `pushes` says which refusal stands last before a write on a row and must be before it. A write that is
    /// too late is given to `late` and counts as being just in time, for what follows is not its fault.
    pub fn forwards(
        &mut self,
        docket: &HistoryIndex<'_>,
        chains: &Chains,
        order: &[u32],
        pushes: impl Fn(u32, usize) -> u32,
        mut late: impl FnMut(u32, u32),
    ) {
        for &at in order {
            self.earliest_ns[at as usize] = 0;
        }
        for &at in order {
            let (mut earliest_ns, mut cause) = (docket.operation(at).invoked_ns, at);
            for (row, place) in chains.standing(docket, at) {
                let before = place.checked_sub(1).map(|before| chains.of_row[row as usize].writes[before]);
                if let Some(before) = before
                    && self.earliest_ns[before as usize] > earliest_ns
                {
                    (earliest_ns, cause) = (self.earliest_ns[before as usize], self.cause[before as usize]);
                }
                let refusal = pushes(row, place);
                if refusal != NONE && docket.operation(refusal).invoked_ns > earliest_ns {
                    (earliest_ns, cause) = (docket.operation(refusal).invoked_ns, refusal);
                }
            }
            let deadline_ns = docket.deadline_ns(at);
            if earliest_ns > deadline_ns {
                late(at, cause);
                (earliest_ns, cause) = (deadline_ns, at);
            }
            (self.earliest_ns[at as usize], self.cause[at as usize]) = (earliest_ns, cause);
        }
    }

    /// Latest times, backwards.
    pub fn backwards(&mut self, docket: &HistoryIndex<'_>, chains: &Chains, order: &[u32]) {
        for &at in order {
            self.latest_ns[at as usize] = u64::MAX;
        }
        for &at in order.iter().rev() {
            let mut latest_ns = docket.deadline_ns(at);
            for (row, place) in chains.standing(docket, at) {
                if let Some(&after) = chains.of_row[row as usize].writes.get(place + 1) {
                    latest_ns = latest_ns.min(self.latest_ns[after as usize]);
                }
            }
            self.latest_ns[at as usize] = latest_ns.max(docket.operation(at).invoked_ns);
        }
    }
}

impl Chains {
    /// On which rows a write stands in a chain, and where.
    pub fn standing(&self, docket: &HistoryIndex<'_>, at: u32) -> impl Iterator<Item = (u32, usize)> {
        let (rows, places) = (docket.rows_of[at as usize], self.places[at as usize]);
        (0..2).filter(move |&half| places[half] != NONE).map(move |half| (rows[half], places[half] as usize))
    }
}

/// The writes of a case in an order that agrees with all its chains. Where they contradict each other, that is named, and the order
/// agrees with as much as it can.
pub fn sort(docket: &HistoryIndex<'_>, case: &Partition, chains: &Chains, tally: &mut FindingCounter) -> Vec<u32> {
    let writes = || case.operations.iter().copied().filter(|&at| chains.standing(docket, at).next().is_some());
    if let [row] = case.rows[..] {
        return chains.of_row[row as usize].writes.clone();
    }
    let mut waiting: FxHashMap<u32, u8> = FxHashMap::default();
    let mut ready = Vec::new();
    for at in writes() {
        match chains.standing(docket, at).filter(|&(_, place)| place > 0).count() {
            0 => ready.push(at),
            1 => {
                waiting.insert(at, 1);
            }
            _ => {
                waiting.insert(at, 2);
            }
        }
    }
    let mut order = Vec::new();
    let mut in_call_order = writes();
    let mut contradiction = false;
    loop {
        while let Some(at) = ready.pop() {
            order.push(at);
            for (row, place) in chains.standing(docket, at) {
                let Some(&after) = chains.of_row[row as usize].writes.get(place + 1) else { continue };
                if let Some(left) = waiting.get_mut(&after) {
                    *left -= 1;
                    if *left == 0 {
                        waiting.remove(&after);
                        ready.push(after);
                    }
                }
            }
        }
        if waiting.is_empty() {
            return order;
        }
        if !contradiction {
            name_contradiction(docket, chains, &waiting, tally);
            contradiction = true;
        }
        // The first called of those that wait for each other goes first.
        if let Some(at) = in_call_order.find(|at| waiting.contains_key(at)) {
            waiting.remove(&at);
            ready.push(at);
        }
    }
}

/// Two transfers between the same users that one row has in the one order, and the other in the other; if there are none, any that
/// wait for each other through more rows.
fn name_contradiction(
    docket: &HistoryIndex<'_>,
    chains: &Chains,
    waiting: &FxHashMap<u32, u8>,
    tally: &mut FindingCounter,
) {
    let mut standing: Vec<([u32; 2], [usize; 2], u32)> = Vec::new();
    for &at in waiting.keys() {
        let mut on: Vec<(u32, usize)> = chains.standing(docket, at).collect();
        on.sort_unstable();
        if let [(one, place), (other, there)] = on[..] {
            standing.push(([one, other], [place, there], at));
        }
    }
    standing.sort_unstable();
    let mut found = false;
    for pair in standing.windows(2) {
        let [(rows, one, first), (same, other, second)] = pair else { continue };
        if rows == same && other[1] < one[1] {
            found = true;
            tally.add(docket.history, Anomaly::InconsistentOrder, 1, &[Some(*first), Some(*second)], || {
                let [here, there] = rows.map(|row| docket.row(row).row);
                format!("{here} has the first before the second, {there} the second before the first")
            });
        }
    }
    if !found {
        let mut some: Vec<u32> = standing.iter().map(|one| one.2).collect();
        some.sort_unstable_by_key(|&at| docket.operation(at).invoked_ns);
        tally.add(
            docket.history,
            Anomaly::InconsistentOrder,
            1,
            &[some.first().copied(), some.get(1).copied()],
            || format!("{} operations wait for each other, around a circle of rows", waiting.len()),
        );
    }
}

/// Writes that had returned before something was called that their rows have before them.
pub fn name_late(
    docket: &HistoryIndex<'_>,
    chains: &Chains,
    order: &[u32],
    times: &mut WriteTimes,
    tally: &mut FindingCounter,
) {
    let none = |_, _| NONE;
    times.forwards(docket, chains, order, none, |late, cause| {
        tally.add(docket.history, Anomaly::RealTimeViolation, 1, &[Some(late), Some(cause)], || {
            let (late, cause) = (docket.operation(late), docket.operation(cause));
            format!(
                "the first had returned at {} ns, but comes after the second, which was called at {} ns",
                late.returned_ns, cause.invoked_ns
            )
        });
    });
    times.backwards(docket, chains, order);
}
