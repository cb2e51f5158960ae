//! The sequential rule: the answers that a sequence of changes gets, and the state that it leaves, when the changes run
//! one after the other.
//!
//! An implementation that runs changes concurrently and claims to be correct must answer as this rule does for *some*
//! order of them. The approach group-commit decides with it, in the order of arrival.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;
use uuid::Uuid;

use super::{
    Account, BalanceChange, Booked, Booking, Cancellation, Cancelled, Counter, Event, Increment, Transfer, Transferred,
    changed_balance, incremented, seats_taken, transferred_balances,
};
use crate::Refusal;

/// A change of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Changes one balance.
    Balance(BalanceChange),
    /// Changes two balances.
    Transfer(Transfer),
    /// Takes a seat of an event.
    Booking(Booking),
    /// Frees a seat of an event.
    Cancellation(Cancellation),
    /// Adds one to a counter.
    Increment(Increment),
}

/// The answer to a [`Change`]. In JSON it is the answer alone, without the name of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ChangeResult {
    /// The answer to a change of a balance.
    Balance(Account),
    /// The answer to a transfer.
    Transfer(Transferred),
    /// The answer to a booking.
    Booking(Booked),
    /// The answer to a cancellation.
    Cancellation(Cancelled),
    /// The answer to an increment.
    Increment(Counter),
}

/// The rows that changes concern: ids in ascending order, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowSet {
    /// Users whose balances are to be changed.
    pub users: Vec<i64>,
    /// Users that only have to exist.
    pub guests: Vec<i64>,
    /// Events to be booked.
    pub events: Vec<i64>,
    /// Counters to be incremented.
    pub counters: Vec<i64>,
    /// Event and user of each requested seat.
    pub booked: BTreeSet<(i64, i64)>,
    /// Bookings to be cancelled. Only the database knows their events.
    pub cancelled: Vec<Uuid>,
}

impl RowSet {
    /// The rows that these changes concern.
    pub fn these<'a>(changes: impl IntoIterator<Item = &'a Change>) -> Self {
        let mut about = Self::default();
        for change in changes {
            match change {
                Change::Balance(change) => about.users.push(change.user),
                Change::Transfer(transfer) => about.users.extend(transfer.in_order()),
                Change::Booking(Booking { event, user }) => {
                    about.events.push(*event);
                    about.guests.push(*user);
                    about.booked.insert((*event, *user));
                }
                Change::Cancellation(cancellation) => about.cancelled.push(cancellation.booking),
                Change::Increment(increment) => about.counters.push(increment.counter),
            }
        }
        for ids in [&mut about.users, &mut about.guests, &mut about.events, &mut about.counters] {
            ids.sort_unstable();
            ids.dedup();
        }
        about
    }
}

/// The rows that changes concern. A row that is missing here does not exist.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// By id.
    pub users: BTreeMap<i64, Account>,
    /// By id.
    pub events: BTreeMap<i64, Event>,
    /// By id.
    pub counters: BTreeMap<i64, Counter>,
    bookings: BTreeMap<Uuid, Booking>,
    /// Bookings by event and user: more than one only if a broken approach sold them.
    seats: HashMap<(i64, i64), u32>,
}

impl State {
    /// A state of these rows, without bookings.
    #[must_use]
    pub fn of(users: BTreeMap<i64, Account>, events: BTreeMap<i64, Event>, counters: BTreeMap<i64, Counter>) -> Self {
        Self { users, events, counters, ..Self::default() }
    }

    /// Applies a change, or refuses it and changes nothing. A booking gets the id `booking_id`.
    ///
    /// # Errors
    /// The first [`Refusal`] in the fixed order: unknown (payer, then payee; event, then user), version, already
    /// booked, sold out or insufficient funds, out of range.
    pub fn apply(&mut self, change: &Change, booking_id: Uuid) -> Result<ChangeResult, Refusal> {
        Ok(match change {
            Change::Balance(change) => ChangeResult::Balance(self.change_balance(change)?),
            Change::Transfer(transfer) => ChangeResult::Transfer(self.transfer(transfer)?),
            Change::Booking(booking) => ChangeResult::Booking(self.book(*booking, booking_id)?),
            Change::Cancellation(cancellation) => ChangeResult::Cancellation(self.cancel(cancellation.booking)?),
            Change::Increment(increment) => ChangeResult::Increment(self.increment(increment)?),
        })
    }

    /// Adds a booking that was made before.
    pub fn add_booking(&mut self, id: Uuid, booking: Booking) {
        if self.bookings.insert(id, booking).is_none() {
            *self.seats.entry((booking.event, booking.user)).or_default() += 1;
        }
    }

    /// All bookings, by id.
    #[must_use]
    pub fn bookings(&self) -> &BTreeMap<Uuid, Booking> {
        &self.bookings
    }

    fn change_balance(&mut self, change: &BalanceChange) -> Result<Account, Refusal> {
        let account = self.users.get_mut(&change.user).ok_or(Refusal::UserNotFound)?;
        expect_version(change.if_version, account.version)?;
        let balance = changed_balance(account.balance, change.amount)?;
        *account = Account { balance, version: account.version + 1 };
        Ok(*account)
    }

    fn transfer(&mut self, transfer: &Transfer) -> Result<Transferred, Refusal> {
        let Transfer { from, to, amount } = *transfer;
        let payer = *self.users.get(&from).ok_or(Refusal::UserNotFound)?;
        let payee = *self.users.get(&to).ok_or(Refusal::UserNotFound)?;
        let (paid, received) = transferred_balances(payer.balance, payee.balance, amount)?;
        let payer = Account { balance: paid, version: payer.version + 1 };
        let payee = Account { balance: received, version: payee.version + 1 };
        self.users.extend([(from, payer), (to, payee)]);
        Ok(Transferred { from: payer, to: payee })
    }

    fn book(&mut self, booking: Booking, booking_id: Uuid) -> Result<Booked, Refusal> {
        let event = self.events.get_mut(&booking.event).ok_or(Refusal::EventNotFound)?;
        if !self.users.contains_key(&booking.user) {
            return Err(Refusal::UserNotFound);
        }
        let already = self.seats.contains_key(&(booking.event, booking.user));
        event.booked = seats_taken(event, already)?;
        event.version += 1;
        let booked = Booked { booking_id, seats_left: event.capacity - event.booked, version: event.version };
        self.add_booking(booking_id, booking);
        Ok(booked)
    }

    fn cancel(&mut self, id: Uuid) -> Result<Cancelled, Refusal> {
        let booking = *self.bookings.get(&id).ok_or(Refusal::BookingNotFound)?;
        let event = self.events.get_mut(&booking.event).ok_or(Refusal::BookingNotFound)?;
        // The count is 0 already only if a broken approach has miscounted.
        event.booked = (event.booked - 1).max(0);
        event.version += 1;
        self.bookings.remove(&id);
        if let Some(seats) = self.seats.get_mut(&(booking.event, booking.user)) {
            *seats -= 1;
            if *seats == 0 {
                self.seats.remove(&(booking.event, booking.user));
            }
        }
        Ok(Cancelled { event_id: booking.event, version: event.version })
    }

    fn increment(&mut self, increment: &Increment) -> Result<Counter, Refusal> {
        let counter = self.counters.get_mut(&increment.counter).ok_or(Refusal::CounterNotFound)?;
        expect_version(increment.if_version, counter.version)?;
        *counter = Counter { value: incremented(counter.value)?, version: counter.version + 1 };
        Ok(*counter)
    }
}

fn expect_version(wanted: Option<i64>, found: i64) -> Result<(), Refusal> {
    match wanted {
        Some(wanted) if wanted != found => Err(Refusal::VersionMismatch),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn state() -> State {
        State {
            users: (1..=3).map(|id| (id, Account { balance: 10, version: 1 })).collect(),
            events: [
                (1, Event { capacity: 1, booked: 0, version: 1 }),
                (2, Event { capacity: 2, booked: 0, version: 1 }),
            ]
            .into(),
            counters: [(1, Counter { value: 1, version: 1 })].into(),
            ..State::default()
        }
    }

    fn withdraw(user: i64, amount: i64) -> Change {
        Change::Balance(BalanceChange { user, amount: -amount, if_version: None })
    }

    fn book(event: i64, user: i64) -> Change {
        Change::Booking(Booking { event, user })
    }

    #[test]
    fn each_change_sees_what_the_one_before_it_left() {
        let mut state = state();
        let id = Uuid::from_u128(7);
        let version = |version| Change::Balance(BalanceChange { user: 1, amount: 0, if_version: Some(version) });
        let transfer = |from, to, amount| Change::Transfer(Transfer { from, to, amount });
        let table = [
            (withdraw(1, 4), Ok(ChangeResult::Balance(Account { balance: 6, version: 2 }))),
            (withdraw(1, 7), Err(Refusal::InsufficientFunds)),
            (version(1), Err(Refusal::VersionMismatch)),
            (version(2), Ok(ChangeResult::Balance(Account { balance: 6, version: 3 }))),
            (withdraw(9, 1), Err(Refusal::UserNotFound)),
            (
                transfer(1, 2, 6),
                Ok(ChangeResult::Transfer(Transferred {
                    from: Account { balance: 0, version: 4 },
                    to: Account { balance: 16, version: 2 },
                })),
            ),
            (transfer(1, 2, 1), Err(Refusal::InsufficientFunds)),
            (transfer(1, 9, 1), Err(Refusal::UserNotFound)),
            (book(1, 1), Ok(ChangeResult::Booking(Booked { booking_id: id, seats_left: 0, version: 2 }))),
            (book(1, 1), Err(Refusal::AlreadyBooked)),
            (book(1, 2), Err(Refusal::SoldOut)),
            (book(1, 9), Err(Refusal::UserNotFound)),
            (book(9, 9), Err(Refusal::EventNotFound)),
            (
                Change::Cancellation(Cancellation { booking: id }),
                Ok(ChangeResult::Cancellation(Cancelled { event_id: 1, version: 3 })),
            ),
            (Change::Cancellation(Cancellation { booking: id }), Err(Refusal::BookingNotFound)),
            (book(1, 2), Ok(ChangeResult::Booking(Booked { booking_id: id, seats_left: 0, version: 4 }))),
            (
                Change::Increment(Increment { counter: 1, if_version: None }),
                Ok(ChangeResult::Increment(Counter { value: 2, version: 2 })),
            ),
            (Change::Increment(Increment { counter: 2, if_version: None }), Err(Refusal::CounterNotFound)),
        ];
        for (step, (change, expected)) in table.into_iter().enumerate() {
            let before = state.clone();
            let answer = state.apply(&change, id);
            assert_eq!(answer, expected, "step {step}: {change:?}");
            assert_eq!(
                answer.is_err(),
                state == before,
                "step {step}: a refusal changes nothing, and a change that is made changes the state"
            );
        }
    }

    #[test]
    fn a_seat_sold_twice_to_one_user_is_given_back_twice() {
        let mut state = state();
        let [first, second] = [1, 2].map(Uuid::from_u128);
        state.events.insert(2, Event { capacity: 2, booked: 2, version: 3 });
        for id in [first, second] {
            state.add_booking(id, Booking { event: 2, user: 1 });
        }
        let cancel = |booking| Change::Cancellation(Cancellation { booking });
        assert!(state.apply(&cancel(first), first).is_ok());
        assert_eq!(state.apply(&book(2, 1), first), Err(Refusal::AlreadyBooked));
        assert!(state.apply(&cancel(second), first).is_ok());
        assert!(state.apply(&book(2, 1), first).is_ok());
    }

    proptest! {
        #[test]
        fn money_is_conserved_and_seats_are_counted(
            steps in proptest::collection::vec((0..3, 1..=4_i64, 1..=4_i64, 1..=12_i64), 0..60)
        ) {
            let mut state = state();
            for (number, (kind, one, other, amount)) in steps.into_iter().enumerate() {
                let change = match kind {
                    0 if one != other => Change::Transfer(Transfer { from: one, to: other, amount }),
                    1 => book(one, other),
                    _ => match state.bookings().keys().next() {
                        Some(&booking) if amount < 6 => Change::Cancellation(Cancellation { booking }),
                        _ => book(one, other),
                    },
                };
                let _ = state.apply(&change, Uuid::from_u128(number as u128 + 1));
                prop_assert_eq!(state.users.values().map(|user| user.balance).sum::<i64>(), 30);
                for (id, event) in &state.events {
                    let rows = state.bookings().values().filter(|booking| booking.event == *id).count();
                    prop_assert!(i64::try_from(rows) == Ok(event.booked) && event.booked <= event.capacity);
                }
            }
        }
    }
}
