//! Gaps that no operation of unknown outcome explains, by their names.
//!
//! The naive transfer credits first: when the debit is then refused, or cut off, the payee's row has a version more and nobody
//! was told of it. So money appears, and the refused transfer of just that amount is the one to show.

use rustc_hash::FxHashMap;

use super::chain::{Chains, Gap};
use super::finding_counter::FindingCounter;
use super::history_index::{HistoryIndex, Partition, is_valid};
use crate::history::{Outcome, Request};
use crate::judgement::Anomaly;
use domain::Row;

/// Suspects at most that are looked at for one gap: those called last before it was closed.
const SUSPECTS_MAX: usize = 64;

/// Transfers that were not done or may not have been, by row and what they would have added to it.
#[derive(Debug, Default)]
pub struct Suspects {
    /// In the order of their calls.
    by_change: FxHashMap<(Row, i64), Vec<u32>>,
}

/// Names a gap that nothing fills.
pub fn name(
    docket: &HistoryIndex<'_>,
    chains: &Chains,
    gap: &Gap,
    (unknown, suspects): (&[u32], &Suspects),
    tally: &mut FindingCounter,
) {
    let (row, history) = (docket.row(gap.row).row, docket.history);
    let writes = &chains.of_row[gap.row as usize].writes;
    let before = gap.place.checked_sub(1).map(|before| writes[before]);
    let behind = writes.get(gap.place).copied();
    let Gap { missing, change, .. } = *gap;
    let candidates = Candidates::gather(docket, unknown, gap);
    // Enough writes are missing an answer; they only do not lead to the value that is there.
    if candidates.count >= missing && !candidates.half_explains(change) {
        return tally.add(history, Anomaly::LostUpdate, 1, &[before, behind], || {
            format!(
                "{missing} operations of unknown outcome between two versions of {row} should have changed it by \
                 other than {change:+}"
            )
        });
    }
    let anomaly = match row {
        Row::User(_) if change > 0 => Anomaly::MoneyCreated,
        Row::User(_) if change < 0 => Anomaly::MoneyDestroyed,
        _ => Anomaly::UnexplainedWrite,
    };
    let from_ns = before.map_or(0, |before| docket.operation(before).invoked_ns);
    let to_ns = behind.map_or(u64::MAX, |behind| docket.operation(behind).returned_ns);
    let culprit = suspects.culprit(docket, row, change, [from_ns, to_ns]);
    let operations = if culprit.is_some() { [culprit, None] } else { [before, behind] };
    tally.add(history, anomaly, missing, &operations, || {
        let writes = if missing == 1 { "a version".to_owned() } else { format!("{missing} versions") };
        let what = format!("{writes} of {row} changed it by {change:+}, and no answer tells of it");
        if culprit.is_some() {
            format!("{what}: this one was not acknowledged, and would have done just that")
        } else {
            what
        }
    });
}

/// Names gaps that can each be filled, but not all at once.
pub fn name_contradiction(docket: &HistoryIndex<'_>, gaps: &[Gap], tally: &mut FindingCounter) {
    let Some(gap) = gaps.iter().max_by_key(|gap| gap.deadline_ns) else { return };
    let row = docket.row(gap.row).row;
    tally.add(docket.history, Anomaly::UnexplainedWrite, 1, &[], || {
        format!(
            "the operations of unknown outcome explain each of the missing versions, such as {} of {row}, but not all of them together",
            gap.missing
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
    fn gather(docket: &HistoryIndex<'_>, unknown: &[u32], gap: &Gap) -> Self {
        let mut candidates = Self { count: 0, halves: Vec::new() };
        for &at in unknown {
            let operation = docket.operation(at);
            if operation.invoked_ns > gap.deadline_ns {
                break;
            }
            for (_, _, adds) in docket.effects(at).filter(|effect| effect.1 == gap.row) {
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

/// The operations of a case that may have been done or not, in the order of their calls.
pub fn unknown(docket: &HistoryIndex<'_>, case: &Partition) -> Vec<u32> {
    let is_unknown = |at: &u32| docket.operation(*at).outcome.is_open();
    case.operations.iter().copied().filter(is_unknown).collect()
}

impl Suspects {
    /// Gathers them.
    pub fn gather(docket: &HistoryIndex<'_>) -> Self {
        let mut suspects = Self::default();
        for (at, operation) in (0..).zip(&docket.history.operations) {
            let request = &operation.request;
            if matches!(request, Request::Transfer { .. })
                && !matches!(operation.outcome, Outcome::Done(_))
                && is_valid(request)
            {
                for effect in request.effects().iter() {
                    suspects.by_change.entry(*effect).or_default().push(at);
                }
            }
        }
        for operations in suspects.by_change.values_mut() {
            operations.sort_unstable_by_key(|&at| docket.operation(at).invoked_ns);
        }
        suspects
    }

    /// The shortest that would have changed the row by that, and was under way then.
    fn culprit(&self, docket: &HistoryIndex<'_>, row: Row, change: i128, [from_ns, to_ns]: [u64; 2]) -> Option<u32> {
        let would = self.by_change.get(&(row, i64::try_from(change).ok()?))?;
        let called = would.partition_point(|&at| docket.operation(at).invoked_ns <= to_ns);
        (would[..called].iter().rev().take(SUSPECTS_MAX).copied())
            .filter(|&at| docket.operation(at).returned_ns >= from_ns)
            .min_by_key(|&at| docket.operation(at).returned_ns.saturating_sub(docket.operation(at).invoked_ns))
    }
}
