//! The referee: what a run's answers prove about an approach. Pure: answers in, judgement out.
//!
//! Every change raises its row's version by 1 in SQL, also under a broken approach, so the versions in the answers
//! put the writes of a row in their true order. Then each balance must follow from the one before it. One that does
//! not is a *lost update*: its writer had decided on a balance that was no longer there.

use crate::domain::{Account, changed_balance};

/// What one client heard in answer to one change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// 200 with the new balance, and its version if the target reports one.
    Accepted {
        /// The balance after the change.
        balance: i64,
        /// The row's version after the change.
        version: Option<i64>,
    },
    /// The state refused: not enough money.
    Refused,
    /// Certainly not done: 503.
    NotDone,
    /// An answer that a valid change must never get: a 500, a 4xx other than the refusal, a success that cannot be read.
    Unexpected,
    /// No answer, or one that says so: done or not.
    Unknown,
}

/// The history of one row under equal changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The state before the first change. The version is `None` where the target reports none.
    pub before: State,
    /// The change that every operation asked for.
    pub amount: i64,
    /// What was heard, in any order.
    pub heard: Vec<Heard>,
    /// The state after the last change.
    pub after: State,
}

/// A balance as read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// The balance.
    pub balance: i64,
    /// Its version, if the target reports one.
    pub version: Option<i64>,
}

/// What the answers prove.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Changes answered with success.
    pub accepted: u64,
    /// Changes refused for want of money.
    pub refused: u64,
    /// Changes certainly not made for another reason.
    pub not_done: u64,
    /// Changes that may have been made or not.
    pub unknown: u64,
    /// Answers that a valid change must never get.
    pub unexpected: u64,
    /// Balances below 0.
    pub overdrafts: u64,
    /// Writes whose balance does not follow from the version before.
    pub lost_updates: u64,
    /// Versions that more than one write claims.
    pub duplicate_versions: u64,
    /// Versions that nobody wrote and no unknown outcome explains.
    pub missing_versions: u64,
    /// Refusals although the money was there all along.
    pub wrong_refusals: u64,
    /// The final state is not what the last write left.
    pub wrong_final_state: bool,
}

impl Judgement {
    /// Whether anything was answered that says something about the approach: giving up each time proves nothing.
    #[must_use]
    pub fn has_evidence(&self) -> bool {
        self.accepted + self.refused > 0 || self.broken()
    }

    /// Whether anything was found that no serial execution explains.
    #[must_use]
    pub fn broken(&self) -> bool {
        self.lost_updates > 0
            || self.unexpected > 0
            || self.overdrafts > 0
            || self.duplicate_versions > 0
            || self.missing_versions > 0
            || self.wrong_refusals > 0
            || self.wrong_final_state
    }
}

/// Judges a history.
#[must_use]
pub fn judge(history: &History) -> Judgement {
    let mut judgement = Judgement::default();
    let mut writes = Vec::new();
    let mut versioned = history.before.version.is_some() && history.after.version.is_some();
    for heard in &history.heard {
        match *heard {
            Heard::Accepted { balance, version } => {
                judgement.accepted += 1;
                versioned &= version.is_some();
                writes.push(Account { balance, version: version.unwrap_or_default() });
            }
            Heard::Refused => judgement.refused += 1,
            Heard::NotDone => judgement.not_done += 1,
            Heard::Unexpected => judgement.unexpected += 1,
            Heard::Unknown => judgement.unknown += 1,
        }
    }
    let final_overdraft = u64::from(history.after.balance < 0);
    judgement.overdrafts = writes.iter().filter(|write| write.balance < 0).count() as u64 + final_overdraft;
    if versioned {
        follow_versions(history, writes, &mut judgement);
    } else {
        count_by_balance(history, &writes, &mut judgement);
    }
    if judgement.refused > 0 && refusals_are_wrong(history) {
        judgement.wrong_refusals = judgement.refused;
    }
    judgement
}

/// Walks the writes in the order of their versions.
fn follow_versions(history: &History, mut writes: Vec<Account>, judgement: &mut Judgement) {
    writes.sort_unstable_by_key(|write| write.version);
    let mut last = Account { balance: history.before.balance, version: history.before.version.unwrap_or_default() };
    let mut unexplained = judgement.unknown;
    for write in writes {
        if write.version <= last.version {
            judgement.duplicate_versions += 1;
            continue;
        }
        skip_unknown(&mut last, write.version - 1, history.amount, &mut unexplained, judgement);
        if changed_balance(last.balance, history.amount) != Ok(write.balance) {
            judgement.lost_updates += 1;
        }
        last = write;
    }
    let after = Account { balance: history.after.balance, version: history.after.version.unwrap_or_default() };
    skip_unknown(&mut last, after.version, history.amount, &mut unexplained, judgement);
    judgement.wrong_final_state = last != after;
}

/// Lets writes of unknown outcome fill the gap up to a version, and counts what they cannot fill.
fn skip_unknown(last: &mut Account, up_to: i64, amount: i64, unexplained: &mut u64, judgement: &mut Judgement) {
    let gap = u64::try_from(up_to.saturating_sub(last.version)).unwrap_or(0);
    if gap == 0 {
        return;
    }
    let explained = gap.min(*unexplained);
    *unexplained -= explained;
    judgement.missing_versions += gap - explained;
    let change = i128::from(amount) * i128::from(gap);
    last.balance = i64::try_from(i128::from(last.balance) + change).unwrap_or(last.balance);
    last.version = up_to;
}

/// Without versions: each balance must be one that a serial execution passes through, none can come twice, and the sum
/// must come out.
fn count_by_balance(history: &History, writes: &[Account], judgement: &mut Judgement) {
    let before = i128::from(history.before.balance);
    let amount = i128::from(history.amount);
    let most_changes = i128::from(judgement.accepted + judgement.unknown);
    let reachable = |balance: i64| {
        let change = i128::from(balance) - before;
        match amount {
            0 => change == 0,
            _ => change % amount == 0 && (1..=most_changes).contains(&(change / amount)),
        }
    };
    let mut balances: Vec<i64> =
        writes.iter().map(|write| write.balance).filter(|&balance| reachable(balance)).collect();
    balances.sort_unstable();
    if amount != 0 {
        balances.dedup();
    }
    judgement.lost_updates = (writes.len() - balances.len()) as u64;
    let after = i128::from(history.after.balance);
    let least_changes = before + amount * i128::from(judgement.accepted);
    let all_changes = before + amount * most_changes;
    judgement.wrong_final_state = after < least_changes.min(all_changes) || after > least_changes.max(all_changes);
}

/// Equal withdrawals only ever take from the balance: if the last state could still pay, so could every earlier one.
fn refusals_are_wrong(history: &History) -> bool {
    history.amount <= 0 && changed_balance(history.after.balance, history.amount).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn accepted(balance: i64, version: i64) -> Heard {
        Heard::Accepted { balance, version: Some(version) }
    }

    fn history(heard: Vec<Heard>, balance: i64, version: i64) -> History {
        History {
            before: State { balance: 10, version: Some(1) },
            amount: -2,
            heard,
            after: State { balance, version: Some(version) },
        }
    }

    #[test]
    fn good_histories_are_accepted_in_any_order() {
        let table = [
            history(vec![], 10, 1),
            history(vec![accepted(8, 2), accepted(6, 3)], 6, 3),
            history(vec![accepted(6, 3), accepted(8, 2), Heard::NotDone], 6, 3),
            // The write of version 3 was made, but nobody heard of it; or it was the last one.
            history(vec![accepted(8, 2), Heard::Unknown, accepted(4, 4)], 4, 4),
            history(vec![accepted(8, 2), Heard::Unknown], 6, 3),
            history(vec![accepted(8, 2), Heard::Unknown], 8, 2),
            history(
                vec![accepted(8, 2), accepted(6, 3), accepted(4, 4), accepted(2, 5), accepted(0, 6), Heard::Refused],
                0,
                6,
            ),
        ];
        for history in table {
            assert!(!judge(&history).broken(), "{history:?}: {:?}", judge(&history));
        }
    }

    #[test]
    fn bad_histories_are_named() {
        type Finding = fn(&Judgement) -> bool;
        let table: [(&str, History, Finding); 7] = [
            ("lost update", history(vec![accepted(8, 2), accepted(8, 3)], 8, 3), |j| j.lost_updates == 1),
            ("duplicate version", history(vec![accepted(8, 2), accepted(8, 2)], 8, 2), |j| j.duplicate_versions == 1),
            ("missing version", history(vec![accepted(8, 2), accepted(4, 4)], 4, 4), |j| j.missing_versions == 1),
            ("acknowledged, then gone", history(vec![accepted(8, 2), accepted(6, 3)], 8, 2), |j| j.wrong_final_state),
            ("final balance changed", history(vec![accepted(8, 2)], 6, 2), |j| j.wrong_final_state),
            ("refused with money there", history(vec![accepted(8, 2), Heard::Refused], 8, 2), |j| {
                j.wrong_refusals == 1
            }),
            ("written by a stranger", history(vec![], 8, 2), |j| j.missing_versions == 1),
        ];
        for (name, history, found) in table {
            let judgement = judge(&history);
            assert!(judgement.broken() && found(&judgement), "{name}: {judgement:?}");
        }
    }

    #[test]
    fn without_versions_repeated_balances_and_the_sum_decide() {
        let plain = |balance| Heard::Accepted { balance, version: None };
        let history = |heard, balance| History {
            before: State { balance: 10, version: None },
            amount: -2,
            heard,
            after: State { balance, version: None },
        };
        assert!(!judge(&history(vec![plain(6), plain(8)], 6)).broken());
        assert!(!judge(&history(vec![plain(8), Heard::Unknown], 8)).broken());
        assert!(!judge(&history(vec![plain(8), Heard::Unknown], 6)).broken());
        assert_eq!(judge(&history(vec![plain(8), plain(8)], 8)).lost_updates, 1);
        assert!(judge(&history(vec![plain(8), plain(6)], 8)).wrong_final_state);
        assert_eq!(judge(&history(vec![plain(7)], 8)).lost_updates, 1, "no serial execution passes through 7");
    }

    #[test]
    fn an_overdraft_is_found_with_and_without_versions() {
        for version in [None, Some(1)] {
            let state = |balance, by| State { balance, version: version.map(|version| version + by) };
            let heard = (1..=6)
                .map(|by| Heard::Accepted { balance: 10 - 2 * by, version: version.map(|version| version + by) });
            let history = History { before: state(10, 0), amount: -2, heard: heard.collect(), after: state(-2, 6) };
            assert_eq!(judge(&history).overdrafts, 2, "the sixth withdrawal, and the balance in the end");
        }
    }

    #[test]
    fn answers_that_must_never_be_are_findings_and_giving_up_is_no_evidence() {
        let faults = judge(&history(vec![Heard::Unexpected; 3], 10, 1));
        assert!(faults.broken() && faults.unexpected == 3);
        let given_up = judge(&history(vec![Heard::NotDone; 3], 10, 1));
        assert!(!given_up.broken() && !given_up.has_evidence());
    }

    /// A serial execution of withdrawals: the oracle.
    fn serial(start: i64, amount: i64, requests: usize) -> History {
        let mut state = Account { balance: start, version: 1 };
        let heard = (0..requests)
            .map(|_| match changed_balance(state.balance, amount) {
                Ok(balance) => {
                    state = Account { balance, version: state.version + 1 };
                    accepted(state.balance, state.version)
                }
                Err(_) => Heard::Refused,
            })
            .collect();
        let after = State { balance: state.balance, version: Some(state.version) };
        History { before: State { balance: start, version: Some(1) }, amount, heard, after }
    }

    /// The same history as heard from a target that reports no versions.
    fn without_versions(mut history: History) -> History {
        (history.before.version, history.after.version) = (None, None);
        for heard in &mut history.heard {
            if let Heard::Accepted { version, .. } = heard {
                *version = None;
            }
        }
        history
    }

    proptest! {
        #[test]
        fn every_serial_execution_is_accepted_however_its_answers_are_ordered(
            start in 0..50_i64, amount in -5..=-1_i64, requests in 0..40_usize, unheard in proptest::collection::vec(any::<prop::sample::Index>(), 0..5), seed in any::<u64>(),
        ) {
            let mut history = serial(start, amount, requests);
            for index in unheard {
                if !history.heard.is_empty() {
                    let at = index.index(history.heard.len());
                    history.heard[at] = Heard::Unknown;
                }
            }
            fastrand::Rng::with_seed(seed).shuffle(&mut history.heard);
            prop_assert!(!judge(&history).broken(), "{:?}", judge(&history));
            let history = without_versions(history);
            prop_assert!(!judge(&history).broken(), "{:?}", judge(&history));
        }

        #[test]
        fn one_falsified_balance_is_always_found(
            start in 10..50_i64, amount in -5..=-1_i64, requests in 1..40_usize, at in any::<prop::sample::Index>(), by in prop_oneof![-9..=-1_i64, 1..=9_i64],
        ) {
            let mut history = serial(start, amount, requests);
            let writes: Vec<usize> = history.heard.iter().enumerate().filter(|(_, heard)| matches!(heard, Heard::Accepted { .. })).map(|(i, _)| i).collect();
            let at = writes[at.index(writes.len())];
            if let Heard::Accepted { balance, .. } = &mut history.heard[at] {
                *balance += by;
            }
            prop_assert!(judge(&history).broken());
            prop_assert!(judge(&without_versions(history)).broken());
        }

        #[test]
        fn one_answer_dropped_or_doubled_is_always_found(
            start in 10..50_i64, amount in -5..=-1_i64, requests in 1..40_usize, at in any::<prop::sample::Index>(), double in any::<bool>(),
        ) {
            let mut history = serial(start, amount, requests);
            let writes: Vec<usize> = history.heard.iter().enumerate().filter(|(_, heard)| matches!(heard, Heard::Accepted { .. })).map(|(i, _)| i).collect();
            let at = writes[at.index(writes.len())];
            if double {
                history.heard.push(history.heard[at]);
            } else {
                history.heard[at] = Heard::NotDone;
            }
            prop_assert!(judge(&history).broken());
            prop_assert!(judge(&without_versions(history)).broken());
        }
    }
}
