//! Partitions whose writes have no numbers, because the answers have no versions.
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
use crate::phrases;
use domain::Row;

/// Refusals at most that are left out one by one to see which are wrong.
const REFUSALS_TRIED_MAX: usize = 16;

/// Judges a partition by values and search. False if it stays undecided. `found_otherwise` says that the history is broken anyway.
pub fn judge(
    index: &HistoryIndex<'_>,
    partition: &Partition,
    bookings: &Bookings,
    checks_left: &mut u64,
    found_otherwise: bool,
    findings: &mut FindingCounter,
) -> bool {
    check_total(index, partition, findings);
    for &row in &partition.rows {
        Edges::gather(index, partition, row).judge(index, row, findings);
    }
    if !findings.is_empty() {
        return true;
    }
    let none = FxHashSet::default();
    let demands = OrderDemands { real_time: true, final_state: true, without: &none };
    match search(index, partition, bookings, demands, checks_left) {
        OrderFound::Order => true,
        OrderFound::GaveUp => false,
        OrderFound::Nothing(stuck) => {
            let mut search = |demands: OrderDemands<'_>| search(index, partition, bookings, demands, checks_left);
            name(index, partition, &mut search, (stuck, found_otherwise), findings);
            true
        }
    }
}

/// Names what is wrong with a partition that no order explains.
fn name(
    index: &HistoryIndex<'_>,
    partition: &Partition,
    search: &mut impl FnMut(OrderDemands<'_>) -> OrderFound,
    (stuck, found_otherwise): (Option<u32>, bool),
    findings: &mut FindingCounter,
) {
    let history = index.history;
    let refused = |at: u32| matches!(index.operation(at).outcome, Outcome::Refused(_));
    let (mut without, mut blamed) = (FxHashSet::default(), stuck);
    while let Some(at) = blamed.filter(|&at| refused(at) && without.len() < REFUSALS_TRIED_MAX) {
        without.insert(at);
        match search(OrderDemands { real_time: true, final_state: true, without: &without }) {
            OrderFound::Order => {
                let mut stale: Vec<u32> = without.into_iter().collect();
                stale.sort_unstable();
                for at in stale {
                    add_stale_refusal(index, at, findings);
                }
                return;
            }
            OrderFound::Nothing(next) => blamed = next,
            OrderFound::GaveUp => break,
        }
    }
    let refusals: FxHashSet<u32> = partition.operations.iter().copied().filter(|&at| refused(at)).collect();
    let (some, none) = (refusals.iter().min().copied(), FxHashSet::default());
    if let Some(at) = some
        && search(OrderDemands { real_time: true, final_state: true, without: &refusals }) == OrderFound::Order
    {
        return add_stale_refusal(index, at, findings);
    }
    let timeless = OrderDemands { real_time: false, final_state: true, without: &none };
    if search(timeless) == OrderFound::Order {
        return findings.add(history, Anomaly::RealTimeViolation, 1, &[stuck], || {
            "The answers fit only orders in which an operation comes before one that had returned before its call"
                .to_owned()
        });
    }
    let endless = OrderDemands { real_time: true, final_state: false, without: &none };
    if search(endless) == OrderFound::Order {
        let rows: Vec<String> = partition.rows.iter().take(3).map(|&row| index.row(row).row.to_string()).collect();
        return findings.add(history, Anomaly::LostWrite, 1, &[], || {
            format!("No order of the operations gives these answers and ends in the final state ({})", rows.join(", "))
        });
    }
    if found_otherwise {
        // More paid out than there was, say: no order explains that, and there is nothing more specific to say here.
        return;
    }
    findings.add(history, Anomaly::LostUpdate, 1, &[stuck], || {
        "No order of the operations gives these answers, so at least one is wrong".to_owned()
    });
}

fn add_stale_refusal(index: &HistoryIndex<'_>, at: u32, findings: &mut FindingCounter) {
    findings.add(index.history, Anomaly::StaleRefusal, 1, &[Some(at)], || {
        format!("No order of the other operations explains this refusal (request: {})", index.operation(at).request)
    });
}

/// Compares the total of a partition before and after, if all its writes are transfers.
fn check_total(index: &HistoryIndex<'_>, partition: &Partition, findings: &mut FindingCounter) {
    let is_transfer = |at: &u32| matches!(index.operation(*at).request, Request::Transfer { .. });
    if partition.rows.len() == 1 || !partition.operations.iter().all(is_transfer) {
        return;
    }
    let mut difference = 0_i128;
    for &row in &partition.rows {
        let known = index.row(row);
        let Some(after) = known.after else { return };
        difference += i128::from(after.seen.value) - i128::from(known.before.seen.value);
    }
    let anomaly = if difference > 0 { Anomaly::MoneyCreated } else { Anomaly::MoneyDestroyed };
    if difference != 0 {
        let count = u64::try_from(difference.unsigned_abs()).unwrap_or(u64::MAX);
        findings.add(index.history, anomaly, count, &[], || {
            format!("Transfers changed the total of {} accounts by {difference:+}", partition.rows.len())
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
    fn gather(index: &HistoryIndex<'_>, partition: &Partition, row: u32) -> Self {
        let mut edges = Self::default();
        for &at in &partition.operations {
            for (place, _, adds) in index.effects(at).filter(|effect| effect.1 == row) {
                let adds = i128::from(adds);
                match index.operation(at).outcome {
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

    fn judge(mut self, index: &HistoryIndex<'_>, row: u32, findings: &mut FindingCounter) {
        let known = index.row(row);
        let (name, history) = (known.row, index.history);
        let start = i128::from(known.before.seen.value);
        self.values.entry(start).or_default().0 -= 1;
        let unbridged = |values: &FxHashMap<i128, (i64, [Option<u32>; 2])>| {
            values.values().map(|value| value.0.max(0)).sum::<i64>() - self.bridges
        };
        let lost = unbridged(&self.values);
        if lost > 0 {
            let mut left: Vec<_> = self.values.iter().filter(|(_, value)| value.0 > 0).collect();
            // Two writes from one value are better evidence than one write from a value that no write left.
            left.sort_unstable_by_key(|(value, edges)| (edges.1[0].is_none(), **value));
            for (place, (value, (_, writers))) in left.into_iter().enumerate() {
                let count = if place == 0 { u64::try_from(lost).unwrap_or_default() } else { 0 };
                findings.add(history, Anomaly::LostUpdate, count, writers, || {
                    lost_update(index, row, *value, writers, self.bridges > 0)
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
            return findings.add(history, anomaly, 1, &[], || {
                let [least, most] = self.unknown.map(|unknown| expected + unknown);
                let expected = if least == most { least.to_string() } else { format!("from {least} to {most}") };
                let (number, name) = (phrases::number_of(name), phrases::small(name));
                format!(
                    "The {number} of {name} should be {expected} in the end according to the answers, but is {after}"
                )
            });
        }
        self.values.entry(after).or_default().0 += 1;
        if unbridged(&self.values) > 0 {
            findings.add(history, Anomaly::LostWrite, 1, &[], || {
                let (number, name) = (phrases::number_of(name), phrases::small(name));
                format!("The {number} of {name} is {after} in the end, but no order of the answers ends there")
            });
        }
    }
}

/// Two writes that read the same value, or one that read a value which no other answer shows.
fn lost_update(index: &HistoryIndex<'_>, row: u32, read: i128, writers: &[Option<u32>; 2], untold: bool) -> String {
    let name = index.row(row).row;
    let wrote =
        |at: u32| read + index.effects(at).find(|effect| effect.1 == row).map_or(0, |effect| i128::from(effect.2));
    let request = |at: u32| &index.operation(at).request;
    match *writers {
        [Some(one), Some(other)] => {
            let (requests, wrote) = ([request(one), request(other)], [wrote(one), wrote(other)]);
            // Writes that show no value may hide further ones.
            let lost = if untold { "at least one" } else { "one" };
            phrases::both_read(name, read, requests, wrote, lost, &name.to_string())
        }
        [one, other] => match one.or(other) {
            Some(at) => format!(
                "{} read {} and wrote {}, but no other answer shows that value before it ({name})",
                phrases::one(request(at)),
                phrases::value(name, read),
                wrote(at)
            ),
            None => format!("More writes read {} than can have come first ({name})", phrases::value(name, read)),
        },
    }
}
