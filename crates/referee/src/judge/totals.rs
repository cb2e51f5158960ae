//! What needs no order at all: sums, signs, and answers that must never be.
//!
//! Whatever the order was, more cannot be paid out than was there, more seats cannot be sold than there are, and transfers
//! neither make money nor destroy it.

use super::finding_counter::FindingCounter;
use super::history_index::{HistoryIndex, fits, is_valid};
use crate::history::{Outcome, Request};
use crate::judgement::{Anomaly, Counts};
use crate::phrases;
use domain::Row;

/// Counts how the operations ended, and names the answers that must never be.
pub fn count_answers(index: &HistoryIndex<'_>, findings: &mut FindingCounter) -> Counts {
    let mut counts = Counts::default();
    for (at, operation) in (0..).zip(&index.history.operations) {
        let request = &operation.request;
        match operation.outcome {
            Outcome::Done(_) => counts.done += 1,
            Outcome::Refused(_) => counts.refused += 1,
            Outcome::NotDone => counts.not_done += 1,
            Outcome::Unknown => counts.unknown += 1,
            Outcome::Unexpected => counts.unexpected += 1,
        }
        let why = match operation.outcome {
            Outcome::NotDone | Outcome::Unknown => continue,
            Outcome::Unexpected => format!("No valid request may get such an answer (request: {request})"),
            Outcome::Done(_) | Outcome::Refused(_) if index.takes_part(at) => continue,
            Outcome::Refused(_) if index.may_rest_on_unread_bookings(operation) => continue,
            Outcome::Refused(reason) if is_valid(request) && !fits(request, reason) => {
                format!("No such request can be refused as {} (request: {request})", phrases::reason(reason))
            }
            Outcome::Done(_) | Outcome::Refused(_) if is_valid(request) => {
                format!(
                    "A row of the request did not exist before the first operation, but the answer does not say so \
                     (request: {request})"
                )
            }
            Outcome::Done(_) | Outcome::Refused(_) => {
                format!("A transfer needs two different users and an amount of at least 1 (request: {request})")
            }
        };
        findings.add(index.history, Anomaly::UnexpectedAnswer, 1, &[Some(at)], || why);
    }
    counts
}

/// What was asked of one row in all.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    done: i128,
    unknown_up: i128,
    /// Whether money or seats came back, and whether more may have been taken than is known.
    added: bool,
    unknown_down: bool,
    negative: u64,
}

/// The sums of all rows. Answers that show a value below 0 are named on the way.
fn sums(index: &HistoryIndex<'_>, findings: &mut FindingCounter) -> Vec<Sum> {
    let history = index.history;
    let mut sums = vec![Sum::default(); index.rows.len()];
    for (at, operation) in (0..).zip(&history.operations) {
        if !index.takes_part(at) {
            continue;
        }
        for (place, row, adds) in index.effects(at) {
            let sum = &mut sums[row as usize];
            match operation.outcome {
                Outcome::Unknown | Outcome::Unexpected => {
                    sum.unknown_up += i128::from(adds.max(0));
                    sum.added |= adds > 0;
                    sum.unknown_down |= adds < 0;
                }
                Outcome::Done(seen) => {
                    sum.done += i128::from(adds);
                    sum.added |= adds > 0;
                    let row = index.row(row).row;
                    if let (Some(seen), Some(anomaly)) = (seen[place], below_zero(row))
                        && seen.value < 0
                    {
                        sum.negative += 1;
                        findings.add(history, anomaly, 1, &[Some(at)], || match row {
                            Row::Event(_) => {
                                format!("{} has {} seats left, which is below 0", phrases::capital(row), seen.value)
                            }
                            _ => format!("{} has {}, which is below 0", phrases::capital(row), seen.value),
                        });
                    }
                }
                Outcome::Refused(_) | Outcome::NotDone => {}
            }
        }
    }
    sums
}

/// Balances below 0, more paid out than there was, more seats sold than there are.
pub fn check_sums(index: &HistoryIndex<'_>, findings: &mut FindingCounter) {
    let history = index.history;
    let sums = sums(index, findings);
    for (known, sum) in index.rows.iter().zip(sums) {
        let (row, start) = (known.row, i128::from(known.before.seen.value));
        let Some(anomaly) = below_zero(row) else { continue };
        let sold_out_of = if matches!(row, Row::Event(_)) { start.max(0) } else { start };
        if start >= 0 && sum.negative == 0 && sold_out_of + sum.done + sum.unknown_up < 0 {
            let spent = -(sum.done + sum.unknown_up);
            // Of seats each one too many counts; of money it is a sum, so once a user.
            let count = if matches!(row, Row::Event(_)) { spent - sold_out_of } else { 1 };
            findings.add(history, anomaly, u64::try_from(count).unwrap_or(u64::MAX), &[], || {
                let at_least = if sum.unknown_down || sum.unknown_up > 0 { "at least " } else { "" };
                match row {
                    Row::Event(_) => {
                        format!(
                            "{} had {}, but sold {at_least}{spent}",
                            phrases::capital(row),
                            phrases::value(row, start)
                        )
                    }
                    _ if sum.added => {
                        format!(
                            "{} had {start}, but {at_least}{spent} more was paid out than paid in",
                            phrases::capital(row)
                        )
                    }
                    _ => format!("{} had {start}, but {at_least}{spent} was paid out", phrases::capital(row)),
                }
            });
        } else if let Some(after) = known.after
            && (start >= 0 && after.seen.value < 0 && sum.negative == 0)
        {
            findings.add(history, anomaly, 1, &[], || match row {
                Row::Event(_) => {
                    format!(
                        "{} has {} seats left in the end, which is below 0",
                        phrases::capital(row),
                        after.seen.value
                    )
                }
                _ => format!("{} has {} in the end, which is below 0", phrases::capital(row), after.seen.value),
            });
        }
    }
}

/// What it is called when such a row falls below 0. Counters may.
fn below_zero(row: Row) -> Option<Anomaly> {
    match row {
        Row::User(_) => Some(Anomaly::Overdraft),
        Row::Event(_) => Some(Anomaly::Oversell),
        Row::Counter(_) => None,
    }
}

/// Where all that can change a balance are transfers, the total must stay, whatever became of them. The difference
/// replaces the number of rows that were found wrong: it says how much money it was.
pub fn check_total(index: &HistoryIndex<'_>, findings: &mut FindingCounter) {
    let changes_total = |request: &Request| matches!(request, Request::Balance { .. });
    let transfers = index.history.operations.iter().any(|one| matches!(one.request, Request::Transfer { .. }));
    if !transfers || index.history.operations.iter().any(|operation| changes_total(&operation.request)) {
        return;
    }
    let (mut before, mut after) = (0_i128, 0_i128);
    for known in index.rows.iter().filter(|known| matches!(known.row, Row::User(_))) {
        let Some(end) = known.after else { return };
        before += i128::from(known.before.seen.value);
        after += i128::from(end.seen.value);
    }
    let anomaly = if after > before { Anomaly::MoneyCreated } else { Anomaly::MoneyDestroyed };
    if after != before {
        let difference = u64::try_from(after.abs_diff(before)).unwrap_or(u64::MAX);
        findings.set(anomaly, difference, || {
            let done = if after > before { "created" } else { "destroyed" };
            format!(
                "All balances together were {before} before and are {after} in the end, so the transfers {done} \
                 {difference}"
            )
        });
    }
}
