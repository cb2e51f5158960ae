//! What needs no order at all: sums, signs, and answers that must never be.
//!
//! Whatever the order was, more cannot be paid out than was there, more seats cannot be sold than there are, and transfers
//! neither make money nor destroy it.

use super::finding_counter::{FindingCounter, reason_name};
use super::history_index::{HistoryIndex, fits, is_valid};
use crate::history::{Outcome, Request};
use crate::judgement::{Anomaly, Counts};
use domain::Row;

/// Counts how the operations ended, and names the answers that must never be.
pub fn count_answers(docket: &HistoryIndex<'_>, tally: &mut FindingCounter) -> Counts {
    let mut counts = Counts::default();
    for (at, operation) in (0..).zip(&docket.history.operations) {
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
            Outcome::Unexpected => format!("a valid request ({request}) must never be answered so"),
            Outcome::Done(_) | Outcome::Refused(_) if docket.takes_part(at) => continue,
            Outcome::Refused(reason) if is_valid(request) && !fits(request, reason) => {
                format!("{request}: that cannot be refused for the reason {}", reason_name(reason))
            }
            Outcome::Done(_) | Outcome::Refused(_) if is_valid(request) => {
                format!("{request}: a row of it was not there before, and the answer does not say so")
            }
            Outcome::Done(_) | Outcome::Refused(_) => "a transfer is from one user to another, from 1 up".to_owned(),
        };
        tally.add(docket.history, Anomaly::UnexpectedAnswer, 1, &[Some(at)], || why);
    }
    counts
}

/// What was asked of one row in all.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    done: i128,
    writes_done: u64,
    unknown_up: i128,
    negative: u64,
}

/// Balances below 0, more paid out than there was, more seats sold than there are.
pub fn weigh_rows(docket: &HistoryIndex<'_>, tally: &mut FindingCounter) {
    let history = docket.history;
    let mut sums = vec![Sum::default(); docket.rows.len()];
    for (at, operation) in (0..).zip(&history.operations) {
        if !docket.takes_part(at) {
            continue;
        }
        for (place, row, adds) in docket.effects(at) {
            let sum = &mut sums[row as usize];
            match operation.outcome {
                Outcome::Unknown | Outcome::Unexpected => sum.unknown_up += i128::from(adds.max(0)),
                Outcome::Done(seen) => {
                    sum.done += i128::from(adds);
                    sum.writes_done += 1;
                    let row = docket.row(row).row;
                    if let (Some(seen), Some(anomaly)) = (seen[place], below_zero(row))
                        && seen.value < 0
                    {
                        sum.negative += 1;
                        tally.add(history, anomaly, 1, &[Some(at)], || format!("{row} is {}: below 0", seen.value));
                    }
                }
                Outcome::Refused(_) | Outcome::NotDone => {}
            }
        }
    }
    for (known, sum) in docket.rows.iter().zip(sums) {
        let (row, start) = (known.row, i128::from(known.before.seen.value));
        let Some(anomaly) = below_zero(row) else { continue };
        let sold_out_of = if matches!(row, Row::Event(_)) { start.max(0) } else { start };
        if start >= 0 && sum.negative == 0 && sold_out_of + sum.done + sum.unknown_up < 0 {
            let (spent, what) = (-(sum.done + sum.unknown_up), known.row);
            // Of seats each one too many counts; of money it is a sum, so once a user.
            let count = if matches!(row, Row::Event(_)) { spent - sold_out_of } else { 1 };
            tally.add(history, anomaly, u64::try_from(count).unwrap_or(u64::MAX), &[], || match row {
                Row::Event(_) => format!("{what}: {spent} seats sold of {start}"),
                _ => format!("{what}: {spent} paid out of {start}"),
            });
        } else if let Some(after) = known.after
            && (start >= 0 && after.seen.value < 0 && sum.negative == 0)
        {
            tally.add(history, anomaly, 1, &[], || format!("{row} is {} in the end: below 0", after.seen.value));
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
pub fn weigh_money(docket: &HistoryIndex<'_>, tally: &mut FindingCounter) {
    let changes_total = |request: &Request| matches!(request, Request::Balance { .. });
    let transfers = docket.history.operations.iter().any(|one| matches!(one.request, Request::Transfer { .. }));
    if !transfers || docket.history.operations.iter().any(|operation| changes_total(&operation.request)) {
        return;
    }
    let (mut before, mut after) = (0_i128, 0_i128);
    for known in docket.rows.iter().filter(|known| matches!(known.row, Row::User(_))) {
        let Some(end) = known.after else { return };
        before += i128::from(known.before.seen.value);
        after += i128::from(end.seen.value);
    }
    let anomaly = if after > before { Anomaly::MoneyCreated } else { Anomaly::MoneyDestroyed };
    if after != before {
        let difference = u64::try_from(after.abs_diff(before)).unwrap_or(u64::MAX);
        tally.set(anomaly, difference, || {
            format!("{before} in all before, {after} after, and nothing but transfers between: {difference} too {}", {
                if after > before { "much" } else { "little" }
            })
        });
    }
}
