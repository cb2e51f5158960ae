//! What the writer of batches remembers of the balances that its batches have left.
//!
//! It may be wrong at any time: somebody else may have changed the rows since. So it is only good for a statement that compares
//! before it sets, and when it has been contradicted it rests for a while, because somebody who writes the same rows
//! does so again.

use std::collections::BTreeMap;

use domain::Account;

/// Users that are remembered: as many as are in use at once in all but the widest loads, in less than a megabyte.
const USERS_MAX: usize = 10_000;

/// Batches after a contradiction for which nothing is remembered: a comparison that fails costs a wait for the rows and a
/// commit for nothing.
const REST: u32 = 64;

/// Balances by user. See the [module](self).
#[derive(Debug, Default)]
pub struct BalanceMemory {
    users: BTreeMap<i64, Account>,
    rest: u32,
}

impl BalanceMemory {
    /// What is known of these users, if all of them are.
    #[must_use]
    pub fn of(&self, users: &[i64]) -> Option<BTreeMap<i64, Account>> {
        users.iter().map(|id| Some((*id, *self.users.get(id)?))).collect()
    }

    /// Keeps what a batch has left.
    pub fn keep(&mut self, users: BTreeMap<i64, Account>) {
        if self.rest > 0 {
            self.rest -= 1;
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

    /// Forgets all, and rests: somebody else writes these rows.
    pub fn contradicted(&mut self) {
        self.forget();
        self.rest = REST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(users: impl IntoIterator<Item = i64>) -> BTreeMap<i64, Account> {
        users.into_iter().map(|id| (id, Account { balance: id, version: 2 })).collect()
    }

    #[test]
    fn only_those_who_are_all_known_are_known() {
        let mut memory = BalanceMemory::default();
        assert_eq!(memory.of(&[1]), None);
        memory.keep(left([1, 2]));
        assert_eq!(memory.of(&[1, 2]), Some(left([1, 2])));
        assert_eq!(memory.of(&[1, 3]), None);
        memory.forget();
        assert_eq!(memory.of(&[1]), None);
    }

    #[test]
    fn it_is_bounded() {
        let mut memory = BalanceMemory::default();
        for start in (0..).step_by(1_000).take(100) {
            memory.keep(left(start..start + 1_000));
            assert!(memory.users.len() <= USERS_MAX);
            assert!(memory.of(&[start]).is_some(), "the newest are known");
        }
    }

    #[test]
    fn it_rests_after_a_contradiction() {
        let mut memory = BalanceMemory::default();
        memory.keep(left([1]));
        memory.contradicted();
        for _ in 0..REST {
            memory.keep(left([1]));
            assert_eq!(memory.of(&[1]), None);
        }
        memory.keep(left([1]));
        assert!(memory.of(&[1]).is_some());
    }
}
