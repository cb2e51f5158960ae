//! The oracle: does some serial order explain what was observed?
//!
//! The pure sequential rule ([`domain::state`]) is applied in every order of the operations that agrees with real time: an operation
//! that ended before another one began comes before it. One of these orders must give every answer and leave the final rows. An
//! operation that gave up must have changed nothing. If an outcome is unknown, both are allowed.

use uuid::Uuid;

use domain::Refusal;
use domain::state::{Change, ChangeResult, State};

/// One operation, as its client knows it. Times are step numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCall {
    /// The change that the client asked for.
    pub change: Change,
    /// The answer.
    pub answer: ClientAnswer,
    /// The first step.
    pub began: usize,
    /// The step with which it ended.
    pub ended: usize,
}

/// The answer to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientAnswer {
    /// The change was made.
    Done(ChangeResult),
    /// The state does not allow the change.
    Refused(Refusal),
    /// The change was certainly not made: 503.
    GaveUp(String),
    /// The change was made or not: 504, or no answer.
    Unknown(String),
    /// An answer that a valid request must never get.
    Unexpected(String),
}

/// Whether some order of the calls, one after the other, explains the answers and the rows.
#[must_use]
pub fn explains(before: &State, calls: &[ClientCall], after: &State) -> bool {
    if calls.iter().any(|call| matches!(call.answer, ClientAnswer::Unexpected(_))) {
        return false;
    }
    SerialOrders { calls, after, placed: vec![false; calls.len()] }.some(before)
}

struct SerialOrders<'a> {
    calls: &'a [ClientCall],
    after: &'a State,
    placed: Vec<bool>,
}

impl SerialOrders<'_> {
    /// Tries every call that can come next.
    fn some(&mut self, state: &State) -> bool {
        let mut complete = true;
        for next in 0..self.calls.len() {
            if self.placed[next] {
                continue;
            }
            complete = false;
            if self.must_wait(next) {
                continue;
            }
            self.placed[next] = true;
            if self.leads_on(state, next) {
                return true;
            }
            self.placed[next] = false;
        }
        complete && *state == *self.after
    }

    /// Whether another call that has no place yet had ended before this one began.
    fn must_wait(&self, next: usize) -> bool {
        let began = self.calls[next].began;
        self.calls.iter().zip(&self.placed).any(|(call, placed)| !placed && call.ended < began)
    }

    fn leads_on(&mut self, state: &State, next: usize) -> bool {
        let call = &self.calls[next];
        let mut changed = state.clone();
        match &call.answer {
            ClientAnswer::Done(done) => {
                changed.apply(&call.change, booking_id(done)).as_ref() == Ok(done) && self.some(&changed)
            }
            ClientAnswer::Refused(refusal) => {
                changed.apply(&call.change, Uuid::nil()).as_ref() == Err(refusal) && self.some(state)
            }
            ClientAnswer::GaveUp(_) => self.some(state),
            ClientAnswer::Unknown(_) => {
                let id = self.unexplained_booking(&call.change).unwrap_or_default();
                self.some(state) || changed.apply(&call.change, id).is_ok() && self.some(&changed)
            }
            ClientAnswer::Unexpected(_) => false,
        }
    }

    /// A matching booking among the final rows that no answer contains.
    fn unexplained_booking(&self, change: &Change) -> Option<Uuid> {
        let Change::Booking(wanted) = change else { return None };
        let answered = |id: &Uuid| {
            self.calls.iter().any(|call| matches!(&call.answer, ClientAnswer::Done(done) if booking_id(done) == *id))
        };
        let fits = self.after.bookings().iter().filter(|(id, booking)| *booking == wanted && !answered(id));
        fits.map(|(id, _)| *id).next()
    }
}

fn booking_id(done: &ChangeResult) -> Uuid {
    match done {
        ChangeResult::Booking(booked) => booked.booking_id,
        _ => Uuid::nil(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use domain::{Account, BalanceChange};

    fn state(balance: i64, version: i64) -> State {
        State::of([(1, Account { balance, version })].into(), BTreeMap::new(), BTreeMap::new())
    }

    fn call(amount: i64, answer: ClientAnswer, began: usize, ended: usize) -> ClientCall {
        ClientCall {
            change: Change::Balance(BalanceChange { user: 1, amount, if_version: None }),
            answer,
            began,
            ended,
        }
    }

    fn done(balance: i64, version: i64) -> ClientAnswer {
        ClientAnswer::Done(ChangeResult::Balance(Account { balance, version }))
    }

    #[test]
    fn a_result_is_explained_only_if_some_order_gives_it() {
        let refused = || ClientAnswer::Refused(Refusal::InsufficientFunds);
        let (gave_up, unknown) = (|| ClientAnswer::GaveUp(String::new()), || ClientAnswer::Unknown(String::new()));
        // The calls of two clients on a balance of 10, then the final row. Both begin before either ends.
        let table = [
            ("either order", [(-6, done(4, 2)), (-6, refused())], state(4, 2), true),
            ("both paid out", [(-6, done(4, 2)), (-6, done(4, 3))], state(4, 3), false),
            ("refused although the money is enough", [(-6, refused()), (-3, done(7, 2))], state(7, 2), false),
            ("gave up, nothing changed", [(-6, gave_up()), (-6, done(4, 2))], state(4, 2), true),
            ("gave up, but changed", [(-6, gave_up()), (-4, done(6, 2))], state(0, 3), false),
            ("unknown, done", [(-6, unknown()), (-4, done(6, 2))], state(0, 3), true),
            ("unknown, done first", [(-6, unknown()), (-4, done(0, 3))], state(0, 3), true),
            ("unknown, not done", [(-6, unknown()), (-4, done(6, 2))], state(6, 2), true),
            ("unknown, half done", [(-6, unknown()), (-4, done(6, 2))], state(3, 3), false),
            (
                "an unexpected answer",
                [(-6, ClientAnswer::Unexpected("500".to_owned())), (-4, done(6, 2))],
                state(6, 2),
                false,
            ),
        ];
        for (name, calls, after, expected) in table {
            let calls: Vec<ClientCall> = calls.into_iter().map(|(amount, answer)| call(amount, answer, 0, 9)).collect();
            assert_eq!(explains(&state(10, 1), &calls, &after), expected, "{name}");
        }
    }

    #[test]
    fn a_call_that_ended_before_another_began_comes_first() {
        let calls = |second_began| {
            [call(-6, ClientAnswer::Refused(Refusal::InsufficientFunds), 0, 1), call(-6, done(4, 2), second_began, 5)]
        };
        assert!(explains(&state(10, 1), &calls(1), &state(4, 2)), "they overlap");
        assert!(!explains(&state(10, 1), &calls(2), &state(4, 2)), "the refusal came before anything was paid out");
    }
}
