//! The domain of concurrency-lab: its rows, and the pure rules that every approach obeys.
//!
//! The functions use no clock, no I/O and no randomness. The strategies decide with them, and the referee judges with
//! the same ones. [`state`] applies a whole sequence of changes with them.

mod refusal;
pub mod state;
mod workload;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use refusal::Refusal;
pub use workload::Workload;

/// A user's balance at one version of the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "sqlx", derive(sqlx::FromRow))]
pub struct Account {
    /// What the user owns, in whole units; never below 0.
    pub balance: i64,
    /// 1 as seeded, and 1 more with each change. So versions order the writes of a row, even under a broken approach.
    pub version: i64,
}

/// An event at one version of its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "sqlx", derive(sqlx::FromRow))]
pub struct Event {
    /// Seats in all.
    pub capacity: i64,
    /// Seats taken, as the event's row counts them. The booking rows are the truth.
    pub booked: i64,
    /// 1 as seeded, and 1 more with each booking and each cancellation.
    pub version: i64,
}

/// A counter at one version of its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "sqlx", derive(sqlx::FromRow))]
pub struct Counter {
    /// Its value.
    pub value: i64,
    /// 1 as seeded, and 1 more with each increment.
    pub version: i64,
}

/// A request to change one balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BalanceChange {
    /// The user whose balance it is. Ids start from 1.
    pub user: i64,
    /// The amount to add. Negative to withdraw; 0 only raises the version.
    pub amount: i64,
    /// The version that the client read (`If-Match`). The change is made to that version or not at all.
    pub if_version: Option<i64>,
}

/// A request to move money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Transfer {
    /// The user who pays.
    pub from: i64,
    /// The user who is paid. It is never the payer.
    pub to: i64,
    /// The amount, from 1.
    pub amount: i64,
}

impl Transfer {
    /// Both users in the order of their ids, the one order in which every approach locks.
    #[must_use]
    pub fn in_order(&self) -> [i64; 2] {
        [self.from.min(self.to), self.from.max(self.to)]
    }

    /// The payer's and the payee's account, from accounts in the order of their ids.
    #[must_use]
    pub fn in_direction(&self, [lower, higher]: [Account; 2]) -> Transferred {
        if self.from <= self.to {
            Transferred { from: lower, to: higher }
        } else {
            Transferred { from: higher, to: lower }
        }
    }
}

/// Both accounts after a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "sqlx", derive(sqlx::FromRow))]
pub struct Transferred {
    /// The payer's account.
    pub from: Account,
    /// The payee's account.
    pub to: Account,
}

/// A request to book a seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Booking {
    /// The event.
    pub event: i64,
    /// The user who wants a seat.
    pub user: i64,
}

/// A seat that was booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "sqlx", derive(sqlx::FromRow))]
pub struct Booked {
    /// The booking.
    pub booking_id: Uuid,
    /// The seats that are left.
    pub seats_left: i64,
    /// The event's new version.
    pub version: i64,
}

/// A booking that was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "sqlx", derive(sqlx::FromRow))]
pub struct Cancelled {
    /// The event whose seat is free again.
    pub event_id: i64,
    /// The event's new version.
    pub version: i64,
}

/// A request to cancel a booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Cancellation {
    /// The booking.
    pub booking: Uuid,
}

/// A request to add one to a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Increment {
    /// The counter.
    pub counter: i64,
    /// The version that the client read (`If-Match`). The change is made to that version or not at all.
    pub if_version: Option<i64>,
}

/// A row that operations contend for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Row {
    /// A row of `events`.
    Event(i64),
    /// A row of `users`.
    User(i64),
    /// A row of `counters`.
    Counter(i64),
}

/// Writes the row as `Lab-Versions` names it.
impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(formatter, "users/{id}"),
            Self::Event(id) => write!(formatter, "events/{id}"),
            Self::Counter(id) => write!(formatter, "counters/{id}"),
        }
    }
}

/// The text is not the name of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a row such as users/1, events/1 or counters/1")]
pub struct RowNameError;

impl FromStr for Row {
    type Err = RowNameError;

    fn from_str(text: &str) -> Result<Self, RowNameError> {
        let (table, id) = text.split_once('/').ok_or(RowNameError)?;
        let id = id.parse().map_err(|_| RowNameError)?;
        match table {
            "users" => Ok(Self::User(id)),
            "events" => Ok(Self::Event(id)),
            "counters" => Ok(Self::Counter(id)),
            _ => Err(RowNameError),
        }
    }
}

/// Computes both balances after a transfer.
///
/// # Errors
/// [`Refusal::InsufficientFunds`] of the payer before [`Refusal::BalanceOutOfRange`] of the payee.
pub fn transferred_balances(payer: i64, payee: i64, amount: i64) -> Result<(i64, i64), Refusal> {
    if payer < amount {
        return Err(Refusal::InsufficientFunds);
    }
    Ok((payer - amount, changed_balance(payee, amount)?))
}

/// Computes the seats taken after one more booking.
///
/// # Errors
/// [`Refusal::AlreadyBooked`] before [`Refusal::SoldOut`].
pub fn seats_taken(event: &Event, already_booked: bool) -> Result<i64, Refusal> {
    if already_booked {
        return Err(Refusal::AlreadyBooked);
    }
    if event.booked >= event.capacity {
        return Err(Refusal::SoldOut);
    }
    Ok(event.booked + 1)
}

/// Computes a counter's value after one more increment.
///
/// # Errors
/// [`Refusal::CounterOutOfRange`].
pub fn incremented(value: i64) -> Result<i64, Refusal> {
    value.checked_add(1).ok_or(Refusal::CounterOutOfRange)
}

/// Computes the balance after a change. It is never below 0 and never beyond a bigint.
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

    #[test]
    fn a_transfer_refuses_the_payer_before_the_payee() {
        let table = [
            (5_000, 10_000, 5_000, Ok((0, 15_000))),
            (5_000, 10_000, 7_500, Err(Refusal::InsufficientFunds)),
            (0, i64::MAX, i64::MAX, Err(Refusal::InsufficientFunds)),
            (i64::MAX, 1, i64::MAX, Err(Refusal::BalanceOutOfRange)),
            (i64::MAX, 0, i64::MAX, Ok((0, i64::MAX))),
        ];
        for (payer, payee, amount, expected) in table {
            assert_eq!(transferred_balances(payer, payee, amount), expected, "{payer} -> {payee}: {amount}");
        }
    }

    #[test]
    fn a_seat_is_refused_to_those_who_have_one_before_it_is_sold_out() {
        let event = |booked| Event { capacity: 2, booked, version: 1 };
        assert_eq!(seats_taken(&event(1), false), Ok(2));
        assert_eq!(seats_taken(&event(2), false), Err(Refusal::SoldOut));
        assert_eq!(seats_taken(&event(3), false), Err(Refusal::SoldOut), "an oversold event");
        assert_eq!(seats_taken(&event(2), true), Err(Refusal::AlreadyBooked));
    }

    #[test]
    fn a_counter_ends_at_the_edge_of_a_bigint() {
        assert_eq!(incremented(1), Ok(2));
        assert_eq!(incremented(i64::MAX), Err(Refusal::CounterOutOfRange));
    }

    proptest! {
        #[test]
        fn a_transfer_conserves_money(payer in 0..=i64::MAX, payee in 0..=i64::MAX, amount in 1..=i64::MAX) {
            if let Ok((from, to)) = transferred_balances(payer, payee, amount) {
                prop_assert!(from >= 0 && to >= 0);
                prop_assert_eq!(i128::from(from) + i128::from(to), i128::from(payer) + i128::from(payee));
            }
        }

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
