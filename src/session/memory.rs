//! The balances that the writer of batches remembers from its batches before.
//!
//! They may be wrong at any time, because another server or approach may have changed the rows since. So they are only used
//! by a statement that compares before it writes. After a comparison that failed, nothing is remembered for a while:
//! another writer of the same rows is likely to write them again.

use std::collections::BTreeMap;

use domain::Account;

/// The largest number of remembered users: as many as all but the widest loads use at once, in less than a megabyte.
const USERS_MAX: usize = 10_000;

/// Batches after a failed comparison for which nothing is remembered: a failed comparison costs a wait for the rows and a
/// useless commit.
const PAUSE_BATCHES: u32 = 64;

/// Balances by user. See the [module](self).
#[derive(Debug, Default)]
pub struct BalanceMemory {
    users: BTreeMap<i64, Account>,
    pause: u32,
}

impl BalanceMemory {
    /// The balances of these users, if all of them are remembered.
    #[must_use]
    pub fn of(&self, users: &[i64]) -> Option<BTreeMap<i64, Account>> {
        users.iter().map(|id| Some((*id, *self.users.get(id)?))).collect()
    }

    /// Remembers the balances that a batch has left.
    pub fn keep(&mut self, users: BTreeMap<i64, Account>) {
        if self.pause > 0 {
            self.pause -= 1;
            return;
        }
        if self.users.len() + users.len() > USERS_MAX {
            self.users.clear();
        }
        self.users.extend(users);
    }

    /// Forgets all.
    pub fn forget(&mut self) {
        self.users.clear();
    }

    /// Forgets all and pauses: a comparison has failed, so another writer changes these rows.
    pub fn contradicted(&mut self) {
        self.forget();
        self.pause = PAUSE_BATCHES;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(users: impl IntoIterator<Item = i64>) -> BTreeMap<i64, Account> {
        users.into_iter().map(|id| (id, Account { balance: id, version: 2 })).collect()
    }

    #[test]
    fn balances_are_given_only_if_all_users_are_remembered() {
        let mut memory = BalanceMemory::default();
        assert_eq!(memory.of(&[1]), None);
        memory.keep(left([1, 2]));
        assert_eq!(memory.of(&[1, 2]), Some(left([1, 2])));
        assert_eq!(memory.of(&[1, 3]), None);
        memory.forget();
        assert_eq!(memory.of(&[1]), None);
    }

    #[test]
    fn the_number_of_users_is_bounded() {
        let mut memory = BalanceMemory::default();
        for start in (0..).step_by(1_000).take(100) {
            memory.keep(left(start..start + 1_000));
            assert!(memory.users.len() <= USERS_MAX);
            assert!(memory.of(&[start]).is_some(), "the newest are remembered");
        }
    }

    #[test]
    fn nothing_is_remembered_for_a_while_after_a_failed_comparison() {
        let mut memory = BalanceMemory::default();
        memory.keep(left([1]));
        memory.contradicted();
        for _ in 0..PAUSE_BATCHES {
            memory.keep(left([1]));
            assert_eq!(memory.of(&[1]), None);
        }
        memory.keep(left([1]));
        assert!(memory.of(&[1]).is_some());
    }
}
