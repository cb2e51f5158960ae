//! Cases whose writes have no numbers: a target of somebody else's, without versions.
//!
//! First what the values alone prove, whatever the order. A write that is answered `v` and adds `a` led from `v - a` to `v`:
//! each answer is an edge between two values, and a serial execution is a path from the first value to the last that uses
//! each edge once (Euler's). So every value must be left as often as it is come to; where more leave it, two
//! writers have read the same: a lost update. Only operations that tell no value can bridge such a place, each one.
//!
//! If that holds, [`super::search`] looks for an order. If there is none, what it would have found under weaker demands
//! says what is wrong: the refusals, the real time, the final state, or all of it.

use rustc_hash::{FxHashMap, FxHashSet};

use super::bookings::Bookings;
use super::finding_counter::FindingCounter;
use super::history_index::{HistoryIndex, Partition};
use super::search::{OrderDemands, OrderFound, search};
use crate::history::{Outcome, Request};
use crate::judgement::Anomaly;
use domain::Row;

/// Refusals at most that are left out one by one to see which are wrong.
const REFUSALS_TRIED_MAX: usize = 16;

/// Judges a case by values and search. False if it stays undecided. `found_otherwise` says that the history is broken anyway.
pub fn judge(
    docket: &HistoryIndex<'_>,
    case: &Partition,
    bookings: &Bookings,
    looks_left: &mut u64,
    found_otherwise: bool,
    tally: &mut FindingCounter,
) -> bool {
    weigh_case(docket, case, tally);
    for &row in &case.rows {
        Edges::gather(docket, case, row).judge(docket, row, tally);
    }
    if !tally.is_empty() {
        return true;
    }
    let none = FxHashSet::default();
    let demands = OrderDemands { real_time: true, final_state: true, without: &none };
    match search(docket, case, bookings, demands, looks_left) {
        OrderFound::Order => true,
        OrderFound::GaveUp => false,
        OrderFound::Nothing(stuck) => {
            let mut search = |demands: OrderDemands<'_>| search(docket, case, bookings, demands, looks_left);
            name(docket, case, &mut search, (stuck, found_otherwise), tally);
            true
        }
    }
}

/// Names what is wrong with a case that no order explains.
fn name(
    docket: &HistoryIndex<'_>,
    case: &Partition,
    search: &mut impl FnMut(OrderDemands<'_>) -> OrderFound,
    (stuck, found_otherwise): (Option<u32>, bool),
    tally: &mut FindingCounter,
) {
    let history = docket.history;
    let refused = |at: u32| matches!(docket.operation(at).outcome, Outcome::Refused(_));
    let (mut without, mut blamed) = (FxHashSet::default(), stuck);
    while let Some(at) = blamed.filter(|&at| refused(at) && without.len() < REFUSALS_TRIED_MAX) {
        without.insert(at);
        match search(OrderDemands { real_time: true, final_state: true, without: &without }) {
            OrderFound::Order => {
                let mut stale: Vec<u32> = without.into_iter().collect();
                stale.sort_unstable();
                for at in stale {
                    tally_refusal(docket, at, tally);
                }
                return;
            }
            OrderFound::Nothing(next) => blamed = next,
            OrderFound::GaveUp => break,
        }
    }
    let refusals: FxHashSet<u32> = case.operations.iter().copied().filter(|&at| refused(at)).collect();
    let (some, none) = (refusals.iter().min().copied(), FxHashSet::default());
    if let Some(at) = some
        && search(OrderDemands { real_time: true, final_state: true, without: &refusals }) == OrderFound::Order
    {
        return tally_refusal(docket, at, tally);
    }
    let timeless = OrderDemands { real_time: false, final_state: true, without: &none };
    if search(timeless) == OrderFound::Order {
        return tally.add(history, Anomaly::RealTimeViolation, 1, &[stuck], || {
            "its answer fits only an order in which something comes before it that was called after it had returned"
                .to_owned()
        });
    }
    let endless = OrderDemands { real_time: true, final_state: false, without: &none };
    if search(endless) == OrderFound::Order {
        let rows: Vec<String> = case.rows.iter().take(3).map(|&row| docket.row(row).row.to_string()).collect();
        return tally.add(history, Anomaly::LostWrite, 1, &[], || {
            format!("no order of the answers ends in the final state of {}", rows.join(", "))
        });
    }
    if found_otherwise {
        // More paid out than there was, say: no order explains that, and there is nothing more specific to say here.
        return;
    }
    tally
        .add(history, Anomaly::LostUpdate, 1, &[stuck], || "no order of the operations gives these answers".to_owned());
}

fn tally_refusal(docket: &HistoryIndex<'_>, at: u32, tally: &mut FindingCounter) {
    tally.add(docket.history, Anomaly::StaleRefusal, 1, &[Some(at)], || {
        format!("{}: in no order of the other answers was that to be refused then", docket.operation(at).request)
    });
}

/// What a case whose writes are all transfers makes of its money.
fn weigh_case(docket: &HistoryIndex<'_>, case: &Partition, tally: &mut FindingCounter) {
    let is_transfer = |at: &u32| matches!(docket.operation(*at).request, Request::Transfer { .. });
    if case.rows.len() == 1 || !case.operations.iter().all(is_transfer) {
        return;
    }
    let mut difference = 0_i128;
    for &row in &case.rows {
        let known = docket.row(row);
        let Some(after) = known.after else { return };
        difference += i128::from(after.seen.value) - i128::from(known.before.seen.value);
    }
    let anomaly = if difference > 0 { Anomaly::MoneyCreated } else { Anomaly::MoneyDestroyed };
    if difference != 0 {
        let count = u64::try_from(difference.unsigned_abs()).unwrap_or(u64::MAX);
        tally.add(docket.history, anomaly, count, &[], || {
            format!("transfers have changed the total of {} accounts by {difference:+}", case.rows.len())
        });
    }
}

/// The writes of one row as edges between values.
#[derive(Debug, Default)]
struct Edges {
    /// Of each value, how many writes lead from it less how many lead to it, and up to two that lead from it.
    values: FxHashMap<i128, (i64, [Option<u32>; 2])>,
    /// Writes that tell no value, made for sure or perhaps.
    bridges: i64,
    /// What was added for sure, and what may have been besides, down and up.
    done: i128,
    unknown: [i128; 2],
}

impl Edges {
    fn gather(docket: &HistoryIndex<'_>, case: &Partition, row: u32) -> Self {
        let mut edges = Self::default();
        for &at in &case.operations {
            for (place, _, adds) in docket.effects(at).filter(|effect| effect.1 == row) {
                let adds = i128::from(adds);
                match docket.operation(at).outcome {
                    Outcome::Done(seen) => {
                        edges.done += adds;
                        let Some(seen) = seen[place] else {
                            edges.bridges += 1;
                            continue;
                        };
                        let to = i128::from(seen.value);
                        edges.values.entry(to).or_default().0 -= 1;
                        let from = edges.values.entry(to - adds).or_default();
                        from.0 += 1;
                        from.1 = [from.1[1], Some(at)];
                    }
                    Outcome::Unknown | Outcome::Unexpected => {
                        edges.bridges += 1;
                        edges.unknown[usize::from(adds > 0)] += adds;
                    }
                    _ => {}
                }
            }
        }
        edges
    }

    fn judge(mut self, docket: &HistoryIndex<'_>, row: u32, tally: &mut FindingCounter) {
        let known = docket.row(row);
        let (name, history) = (known.row, docket.history);
        let start = i128::from(known.before.seen.value);
        self.values.entry(start).or_default().0 -= 1;
        let unbridged = |values: &FxHashMap<i128, (i64, [Option<u32>; 2])>| {
            values.values().map(|value| value.0.max(0)).sum::<i64>() - self.bridges
        };
        let lost = unbridged(&self.values);
        if lost > 0 {
            let mut left: Vec<_> = self.values.iter().filter(|(_, value)| value.0 > 0).collect();
            // Two writers of one value say more than one whose value nobody wrote.
            left.sort_unstable_by_key(|(value, edges)| (edges.1[0].is_none(), **value));
            for (index, (value, (_, writers))) in left.into_iter().enumerate() {
                let count = if index == 0 { u64::try_from(lost).unwrap_or_default() } else { 0 };
                tally.add(history, Anomaly::LostUpdate, count, writers, || match writers {
                    [Some(_), Some(_)] => format!("both had read {value} of {name}, and only one can have been first"),
                    _ => format!("its writer had read {value} of {name}, which was not there for it in any order"),
                });
            }
            return;
        }
        let Some(after) = known.after.map(|after| i128::from(after.seen.value)) else { return };
        let expected = start + self.done;
        if after < expected + self.unknown[0] || after > expected + self.unknown[1] {
            // Less than was acknowledged, in the direction in which the writes went.
            let missing = (self.done > 0 && after < expected) || (self.done < 0 && after > expected);
            let told = self.values.len() > 1;
            let anomaly = match (missing, told, name) {
                (true, true, _) => Anomaly::LostWrite,
                (true, false, _) => Anomaly::LostUpdate,
                (false, _, Row::User(_)) if after > expected => Anomaly::MoneyCreated,
                (false, _, Row::User(_)) => Anomaly::MoneyDestroyed,
                (false, _, _) => Anomaly::UnexplainedWrite,
            };
            return tally.add(history, anomaly, 1, &[], || {
                format!("{name} should be {expected} in the end, by what was answered, and is {after}")
            });
        }
        self.values.entry(after).or_default().0 += 1;
        if unbridged(&self.values) > 0 {
            tally.add(history, Anomaly::LostWrite, 1, &[], || {
                format!("{name} is {after} in the end, which no order of the answers comes to")
            });
        }
    }
}
