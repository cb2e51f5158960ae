//! Gaps that no operation of unknown outcome explains, by their names.
//!
//! The naive transfer credits first. If the debit is then refused or cut off, the row of the payee has one version more, and no
//! answer reports it: money was created. The witness is the transfer of that amount that was not acknowledged.

use rustc_hash::FxHashMap;

use super::chain::{Chains, Gap};
use super::finding_counter::FindingCounter;
use super::history_index::{HistoryIndex, Partition, is_valid};
use crate::history::{Outcome, Request};
use crate::judgement::Anomaly;
use crate::phrases;
use domain::Row;

/// Unacknowledged at most that are looked at for one gap: those called last before it was closed.
const UNACKNOWLEDGED_MAX: usize = 64;

/// Transfers that were not done or may not have been, by row and what they would have added to it.
#[derive(Debug, Default)]
pub struct Unacknowledged {
    /// In the order of their calls.
    by_change: FxHashMap<(Row, i64), Vec<u32>>,
}

/// Names a gap that nothing fills.
pub fn name(
    index: &HistoryIndex<'_>,
    chains: &Chains,
    gap: &Gap,
    (unknown, unacknowledged): (&[u32], &Unacknowledged),
    findings: &mut FindingCounter,
) {
    let (row, history) = (index.row(gap.row).row, index.history);
    let writes = &chains.of_row[gap.row as usize].writes;
    let before = gap.place.checked_sub(1).map(|before| writes[before]);
    let behind = writes.get(gap.place).copied();
    let Gap { missing, change, .. } = *gap;
    let candidates = Candidates::gather(index, unknown, gap);
    // Enough writes are missing an answer; they only do not lead to the value that is there.
    if candidates.count >= missing && !candidates.half_explains(change) {
        return findings.add(history, Anomaly::LostUpdate, 1, &[before, behind], || {
            format!(
                "{} that no answer reports changed the {} of {} by {change:+}, but no choice of the requests without an \
                 answer gives that change",
                phrases::counted(missing, "write"),
                phrases::number_of(row),
                phrases::small(row)
            )
        });
    }
    let anomaly = match row {
        Row::User(_) if change > 0 => Anomaly::MoneyCreated,
        Row::User(_) if change < 0 => Anomaly::MoneyDestroyed,
        _ => Anomaly::UnexplainedWrite,
    };
    let from_ns = before.map_or(0, |before| index.operation(before).invoked_ns);
    let to_ns = behind.map_or(u64::MAX, |behind| index.operation(behind).returned_ns);
    let cause = unacknowledged.cause(index, row, change, [from_ns, to_ns]);
    let operations = if cause.is_some() { [cause, None] } else { [before, behind] };
    findings.add(history, anomaly, missing, &operations, || {
        let writes = phrases::counted(missing, "write");
        let (number, row) = (phrases::number_of(row), phrases::small(row));
        let what = format!("{writes} that no answer reports changed the {number} of {row} by {change:+}");
        match cause {
            Some(at) => {
                let request = index.operation(at).request;
                format!("{what}; a transfer of that amount was not acknowledged ({request})")
            }
            None => what,
        }
    });
}

/// Names gaps that can each be filled, but not all at once.
pub fn name_contradiction(index: &HistoryIndex<'_>, gaps: &[Gap], findings: &mut FindingCounter) {
    let Some(gap) = gaps.iter().max_by_key(|gap| gap.deadline_ns) else { return };
    let row = index.row(gap.row).row;
    findings.add(index.history, Anomaly::UnexplainedWrite, 1, &[], || {
        format!(
            "The requests without an answer explain each of the writes that no answer reports, such as {} of {}, but not \
             all of them together",
            phrases::counted(gap.missing, "write"),
            phrases::small(row)
        )
    });
}

/// Operations of unknown outcome that may have to do with a gap.
struct Candidates {
    count: u64,
    /// What the halves of transfers on the row add.
    halves: Vec<i64>,
}

impl Candidates {
    fn gather(index: &HistoryIndex<'_>, unknown: &[u32], gap: &Gap) -> Self {
        let mut candidates = Self { count: 0, halves: Vec::new() };
        for &at in unknown {
            let operation = index.operation(at);
            if operation.invoked_ns > gap.deadline_ns {
                break;
            }
            for (_, _, adds) in index.effects(at).filter(|effect| effect.1 == gap.row) {
                candidates.count += 1;
                if matches!(operation.request, Request::Transfer { .. }) {
                    candidates.halves.push(adds);
                }
            }
        }
        candidates
    }

    /// Whether one half of a transfer, without the other, is the change.
    fn half_explains(&self, change: i128) -> bool {
        self.halves.iter().any(|&adds| i128::from(adds) == change)
    }
}

/// The operations of a partition that may have been done or not, in the order of their calls.
pub fn unknown(index: &HistoryIndex<'_>, partition: &Partition) -> Vec<u32> {
    let is_unknown = |at: &u32| index.operation(*at).outcome.is_open();
    partition.operations.iter().copied().filter(is_unknown).collect()
}

impl Unacknowledged {
    /// Gathers them.
    pub fn gather(index: &HistoryIndex<'_>) -> Self {
        let mut unacknowledged = Self::default();
        for (at, operation) in (0..).zip(&index.history.operations) {
            let request = &operation.request;
            if matches!(request, Request::Transfer { .. })
                && !matches!(operation.outcome, Outcome::Done(_))
                && is_valid(request)
            {
                for effect in request.effects().iter() {
                    unacknowledged.by_change.entry(*effect).or_default().push(at);
                }
            }
        }
        for operations in unacknowledged.by_change.values_mut() {
            operations.sort_unstable_by_key(|&at| index.operation(at).invoked_ns);
        }
        unacknowledged
    }

    /// The shortest that would have changed the row by that, and was under way then.
    fn cause(&self, index: &HistoryIndex<'_>, row: Row, change: i128, [from_ns, to_ns]: [u64; 2]) -> Option<u32> {
        let would = self.by_change.get(&(row, i64::try_from(change).ok()?))?;
        let called = would.partition_point(|&at| index.operation(at).invoked_ns <= to_ns);
        (would[..called].iter().rev().take(UNACKNOWLEDGED_MAX).copied())
            .filter(|&at| index.operation(at).returned_ns >= from_ns)
            .min_by_key(|&at| index.operation(at).returned_ns.saturating_sub(index.operation(at).invoked_ns))
    }
}
