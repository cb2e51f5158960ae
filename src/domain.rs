//! The domain: what the lab's rows are, and the pure rules that every approach obeys.
//!
//! No clock, no I/O, no randomness: the strategies decide with these functions, and the referee judges with
//! the same ones.

use crate::error::Refusal;

/// A user's balance at one version of the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Account {
    /// What the user owns, in whole units; never below 0.
    pub balance: i64,
    /// 1 as seeded, and 1 more with each change: it orders the writes of a row, also under a broken approach.
    pub version: i64,
}

/// A wish to change one balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BalanceChange {
    /// Whose balance; ids start from 1.
    pub user: i64,
    /// What to add; negative to withdraw, 0 to touch.
    pub amount: i64,
    /// The version that the client saw (`If-Match`): that one, or nothing.
    pub if_version: Option<i64>,
}

/// A row that operations contend for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Row {
    /// A row of `users`.
    User(i64),
}

/// The balance after a change: never below 0, never beyond a bigint.
///
/// # Errors
/// [`Refusal::InsufficientFunds`] below 0, [`Refusal::BalanceOutOfRange`] above [`i64::MAX`].
pub fn changed_balance(balance: i64, amount: i64) -> Result<i64, Refusal> {
    match balance.checked_add(amount) {
        Some(changed) if changed >= 0 => Ok(changed),
        Some(_) => Err(Refusal::InsufficientFunds),
        None if amount < 0 => Err(Refusal::InsufficientFunds),
        None => Err(Refusal::BalanceOutOfRange),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_change_is_applied_or_refused_at_the_very_edges() {
        let table = [
            (10_000, -2, Ok(9_998)),
            (2, -2, Ok(0)),
            (1, -2, Err(Refusal::InsufficientFunds)),
            (0, 0, Ok(0)),
            (0, i64::MIN, Err(Refusal::InsufficientFunds)),
            (i64::MAX, 0, Ok(i64::MAX)),
            (i64::MAX, 1, Err(Refusal::BalanceOutOfRange)),
            (i64::MAX, -i64::MAX, Ok(0)),
            (0, i64::MAX, Ok(i64::MAX)),
        ];
        for (balance, amount, expected) in table {
            assert_eq!(changed_balance(balance, amount), expected, "{balance} {amount:+}");
        }
    }

    proptest! {
        #[test]
        fn a_change_agrees_with_wide_arithmetic(balance in 0..=i64::MAX, amount in any::<i64>()) {
            let wide = i128::from(balance) + i128::from(amount);
            let expected = if wide < 0 {
                Err(Refusal::InsufficientFunds)
            } else {
                i64::try_from(wide).map_err(|_| Refusal::BalanceOutOfRange)
            };
            prop_assert_eq!(changed_balance(balance, amount), expected);
        }
    }
}
