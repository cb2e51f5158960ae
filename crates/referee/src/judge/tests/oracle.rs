//! The oracle: every order of the operations, by the sequential rule alone. It shares nothing with the referee.

use uuid::Uuid;

use crate::history::{History, ObservedRow, Outcome, Reason, Request};
use domain::Refusal;
use domain::state::{Change, ChangeResult, State};
use domain::{Account, BalanceChange, Booking, Counter, Event, Increment, Row, Transfer};

/// The sequential rule's state for a history's rows.
pub fn state(history: &History) -> State {
    let mut state = State::default();
    for (row, known) in &history.before {
        let (value, version) = (known.seen.value, known.seen.version.unwrap_or(0));
        match *row {
            Row::User(id) => {
                state.users.insert(id, Account { balance: value, version });
            }
            Row::Counter(id) => {
                state.counters.insert(id, Counter { value, version });
            }
            Row::Event(id) => {
                let bookings = known.bookings.as_deref().unwrap_or_default();
                let booked = i64::try_from(bookings.len()).unwrap();
                state.events.insert(id, Event { capacity: value + booked, booked, version });
                for (number, &user) in (0..).zip(bookings) {
                    let booking = Uuid::from_u128((1 << 100) + (u128::from(id.cast_unsigned()) << 32) + number);
                    state.add_booking(booking, Booking { event: id, user });
                }
            }
        }
    }
    if !state.events.is_empty() {
        // Bookings need users, which histories of bookings do not list.
        state.users.extend((1..=100).map(|id| (id, Account { balance: 0, version: 0 })));
    }
    state
}

/// A request as the rule knows it.
pub fn change(request: Request) -> Change {
    match request {
        Request::Balance { user, amount } => Change::Balance(BalanceChange { user, amount, if_version: None }),
        Request::Transfer { from, to, amount } => Change::Transfer(Transfer { from, to, amount }),
        Request::Booking { event, user } => Change::Booking(Booking { event, user }),
        Request::Increment { counter } => Change::Increment(Increment { counter, if_version: None }),
    }
}

/// What a client hears of an answer of the rule.
pub fn outcome(answer: Result<ChangeResult, Refusal>) -> Outcome {
    let seen = |value, version| Some(ObservedRow { value, version: Some(version) });
    let account = |account: Account| seen(account.balance, account.version);
    Outcome::Done(match answer {
        Ok(ChangeResult::Balance(it)) => [account(it), None],
        Ok(ChangeResult::Transfer(it)) => [account(it.from), account(it.to)],
        Ok(ChangeResult::Booking(it)) => [seen(it.seats_left, it.version), None],
        Ok(ChangeResult::Increment(it)) => [seen(it.value, it.version), None],
        Ok(ChangeResult::Cancellation(_)) => unreachable!("histories have no cancellations"),
        Err(refusal) => {
            return match refusal {
                Refusal::InsufficientFunds => Outcome::Refused(Reason::InsufficientFunds),
                Refusal::BalanceOutOfRange | Refusal::CounterOutOfRange => Outcome::Refused(Reason::OutOfRange),
                Refusal::SoldOut => Outcome::Refused(Reason::SoldOut),
                Refusal::AlreadyBooked => Outcome::Refused(Reason::AlreadyBooked),
                _ => Outcome::Unexpected,
            };
        }
    })
}

/// What a state shows of a row: value, version, bookings.
pub fn show(state: &State, row: Row) -> (i64, i64, Vec<i64>) {
    match row {
        Row::User(id) => (state.users[&id].balance, state.users[&id].version, Vec::new()),
        Row::Counter(id) => (state.counters[&id].value, state.counters[&id].version, Vec::new()),
        Row::Event(id) => {
            let Event { capacity, booked, version } = state.events[&id];
            let mut users: Vec<i64> =
                state.bookings().values().filter(|booking| booking.event == id).map(|booking| booking.user).collect();
            users.sort_unstable();
            (capacity - booked, version, users)
        }
    }
}

/// Whether some serial order agrees with real time, with the answers and with the final state.
pub fn is_linearizable(history: &History) -> bool {
    assert!(history.operations.len() < 16, "too many orders to try");
    if history.operations.iter().any(|operation| operation.outcome == Outcome::Unexpected) {
        return false;
    }
    let left: Vec<usize> =
        (0..history.operations.len()).filter(|&at| history.operations[at].outcome != Outcome::NotDone).collect();
    goes_on(history, &left, &state(history))
}

fn goes_on(history: &History, left: &[usize], state: &State) -> bool {
    let is_unknown = |at: usize| history.operations[at].outcome == Outcome::Unknown;
    if left.iter().all(|&at| is_unknown(at)) && ends_right(history, state) {
        return true;
    }
    left.iter().any(|&at| {
        let operation = &history.operations[at];
        let must_wait = left
            .iter()
            .any(|&other| !is_unknown(other) && history.operations[other].returned_ns < operation.invoked_ns);
        if must_wait {
            return false;
        }
        let mut next = state.clone();
        let id = Uuid::from_u128(at as u128 + 1);
        let answer = outcome(next.apply(&change(operation.request), id));
        let agrees = match (operation.outcome, answer) {
            (Outcome::Unknown, Outcome::Done(_)) => true,
            (Outcome::Done(told), Outcome::Done(real)) => {
                operation.request.effects().iter().zip(told.iter().zip(real)).all(|((row, _), (told, real))| {
                    let counted = history.before[row].seen.version.is_some();
                    told.zip(real).is_none_or(|(told, real)| {
                        told.value == real.value && (!counted || told.version.is_none() || told.version == real.version)
                    })
                })
            }
            (Outcome::Refused(told), Outcome::Refused(real)) => told == real,
            _ => false,
        };
        let rest: Vec<usize> = left.iter().copied().filter(|&other| other != at).collect();
        agrees && goes_on(history, &rest, &next)
    })
}

fn ends_right(history: &History, state: &State) -> bool {
    let Some(after) = &history.after else { return true };
    after.iter().filter(|(row, _)| history.before.contains_key(row)).all(|(row, known)| {
        let (value, version, users) = show(state, *row);
        let counted = history.before[row].seen.version.is_some();
        let version_agrees = !counted || known.seen.version.is_none_or(|seen| seen == version);
        known.seen.value == value && version_agrees && known.bookings.as_ref().is_none_or(|bookings| users == *bookings)
    })
}
