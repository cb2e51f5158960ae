//! The oracle compared with its definition: all orders, tried one by one.

use concurrency_lab::explore::oracle::{ClientAnswer, ClientCall, explains};
use domain::Refusal;
use domain::state::{Change, ChangeResult, State};
use domain::{Account, BalanceChange, Booking, Counter, Event, Increment, Transfer};
use proptest::prelude::*;
use uuid::Uuid;

/// How a call of a client ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Heard,
    GaveUp,
    /// The client does not know whether the change was made. Whether it was is given here.
    Unknown(bool),
}

/// Calls, and the rows that they leave.
#[derive(Debug, Clone)]
struct GeneratedCalls {
    calls: Vec<ClientCall>,
    /// The id of the booking that each call makes, if it makes one.
    ids: Vec<Uuid>,
    after: State,
}

fn before() -> State {
    let account = Account { balance: 10, version: 1 };
    State::of(
        [(1, account), (2, account)].into(),
        [(1, Event { capacity: 1, booked: 0, version: 1 }), (2, Event { capacity: 2, booked: 0, version: 1 })].into(),
        [(1, Counter { value: 1, version: 1 })].into(),
    )
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => (1..=2_i64, -8..=4_i64)
            .prop_map(|(user, amount)| Change::Balance(BalanceChange { user, amount, if_version: None })),
        2 => (1..=2_i64, 1..=8_i64).prop_map(|(from, amount)| Change::Transfer(Transfer { from, to: 3 - from, amount })),
        2 => (1..=2_i64, 1..=2_i64).prop_map(|(event, user)| Change::Booking(Booking { event, user })),
        1 => Just(Change::Increment(Increment { counter: 1, if_version: None })),
    ]
}

/// Up to four calls. Each takes effect at one moment between its first step and its last. They are listed in another order.
fn generated_calls(end: impl Strategy<Value = End>) -> impl Strategy<Value = GeneratedCalls> {
    let call = (change(), end, 0..25_usize, 0..25_usize);
    (prop::collection::vec(call, 1..=4), 0..4_usize).prop_map(|(changes, rotation)| {
        let (mut state, mut made_calls) = (before(), Vec::new());
        for (number, (change, end, earlier, later)) in changes.into_iter().enumerate() {
            let (moment, id) = (30 + 10 * number, Uuid::from_u128(number as u128 + 1));
            let made = match end {
                End::Heard | End::Unknown(true) => Some(state.apply(&change, id)),
                End::GaveUp | End::Unknown(false) => None,
            };
            let answer = match (end, made) {
                (End::Heard, Some(Ok(done))) => ClientAnswer::Done(done),
                (End::Heard, Some(Err(refusal))) => ClientAnswer::Refused(refusal),
                (End::GaveUp, _) => ClientAnswer::GaveUp("contention".to_owned()),
                (End::Heard | End::Unknown(_), _) => ClientAnswer::Unknown("cut".to_owned()),
            };
            made_calls.push((ClientCall { change, answer, began: moment - earlier, ended: moment + later }, id));
        }
        let rotation = rotation % made_calls.len();
        made_calls.rotate_left(rotation);
        let (calls, ids) = made_calls.into_iter().unzip();
        GeneratedCalls { calls, ids, after: state }
    })
}

fn some_end() -> impl Strategy<Value = End> {
    prop_oneof![4 => Just(End::Heard), 1 => Just(End::GaveUp), 1 => any::<bool>().prop_map(End::Unknown)]
}

/// A number that is falsified.
#[derive(Debug, Clone, Copy)]
enum Falsification {
    Balance(i64),
    Version(i64),
    Counter,
    /// A number in the answer of one of the calls that were made.
    Answer(usize),
}

fn falsification() -> impl Strategy<Value = Falsification> {
    prop_oneof![
        (1..=2_i64).prop_map(Falsification::Balance),
        (1..=2_i64).prop_map(Falsification::Version),
        Just(Falsification::Counter),
        (0..4_usize).prop_map(Falsification::Answer),
        (0..4_usize).prop_map(Falsification::Answer),
    ]
}

impl GeneratedCalls {
    fn is_explained(&self) -> bool {
        explains(&before(), &self.calls, &self.after)
    }

    /// The definition: some order that agrees with real time, and some choice of the unknown outcomes, give every answer and leave these
    /// rows.
    fn has_an_order(&self) -> bool {
        let choices = 0..1_u32 << self.calls.len();
        let agrees = |order: &Vec<usize>| {
            let ended_before_it_began = |(at, &later): (usize, &usize)| {
                order[..at].iter().any(|&earlier| self.calls[later].ended < self.calls[earlier].began)
            };
            !order.iter().enumerate().any(ended_before_it_began)
        };
        let mut orders = orders(self.calls.len()).into_iter().filter(agrees);
        orders.any(|order| choices.clone().any(|made| self.is_given_by(&order, made)))
    }

    fn is_given_by(&self, order: &[usize], made: u32) -> bool {
        let mut state = before();
        let mut agrees = |at: usize| {
            let (change, id) = (&self.calls[at].change, self.ids[at]);
            match &self.calls[at].answer {
                ClientAnswer::Done(done) => state.apply(change, id).as_ref() == Ok(done),
                ClientAnswer::Refused(refusal) => state.apply(change, id).as_ref() == Err(refusal),
                ClientAnswer::Unknown(_) if made >> at & 1 == 1 => {
                    state.apply(change, self.unanswered_booking(change).unwrap_or(id)).is_ok()
                }
                ClientAnswer::Unknown(_) | ClientAnswer::GaveUp(_) => true,
                ClientAnswer::Unexpected(_) => false,
            }
        };
        order.iter().all(|&at| agrees(at)) && state == self.after
    }

    /// A matching booking among the final rows that no answer contains. A call with an unknown outcome may have made it.
    fn unanswered_booking(&self, change: &Change) -> Option<Uuid> {
        let Change::Booking(wanted) = change else { return None };
        let answered = |id: Uuid| {
            let is = |call: &ClientCall| matches!(&call.answer, ClientAnswer::Done(ChangeResult::Booking(booked)) if booked.booking_id == id);
            self.calls.iter().any(is)
        };
        self.after.bookings().iter().find(|(id, booking)| *booking == wanted && !answered(**id)).map(|(id, _)| *id)
    }

    fn with(mut self, falsification: Falsification) -> Self {
        let rows = &mut self.after;
        match falsification {
            Falsification::Balance(user) => rows.users.get_mut(&user).expect("a user").balance += 1,
            Falsification::Version(user) => rows.users.get_mut(&user).expect("a user").version += 1,
            Falsification::Counter => rows.counters.get_mut(&1).expect("a counter").value += 1,
            Falsification::Answer(number) => {
                let done = self.calls.iter_mut().filter_map(|call| match &mut call.answer {
                    ClientAnswer::Done(done) => Some(done),
                    _ => None,
                });
                let done: Vec<&mut ChangeResult> = done.collect();
                let count = done.len().max(1);
                match done.into_iter().nth(number % count) {
                    Some(ChangeResult::Balance(account)) => account.balance += 1,
                    Some(ChangeResult::Transfer(both)) => both.to.version += 1,
                    Some(ChangeResult::Booking(booked)) => booked.seats_left += 1,
                    Some(ChangeResult::Increment(counter)) => counter.version += 1,
                    // No answer contains a number, so a row is falsified.
                    Some(ChangeResult::Cancellation(_)) | None => return self.with(Falsification::Balance(1)),
                }
            }
        }
        self
    }

    /// Replaces the answer of a call.
    fn answered_otherwise(mut self, number: usize, otherwise: Result<ChangeResult, Refusal>) -> Self {
        let at = number % self.calls.len();
        self.calls[at].answer = match otherwise {
            Ok(done) => ClientAnswer::Done(done),
            Err(refusal) => ClientAnswer::Refused(refusal),
        };
        self
    }
}

/// All orders of this number of calls.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let Some(last) = count.checked_sub(1) else { return vec![Vec::new()] };
    let with_last = |order: Vec<usize>| {
        (0..=last).map(move |place| {
            let mut order = order.clone();
            order.insert(place, last);
            order
        })
    };
    orders(last).into_iter().flat_map(with_last).collect()
}

fn otherwise() -> impl Strategy<Value = Result<ChangeResult, Refusal>> {
    let refusals = [Refusal::InsufficientFunds, Refusal::SoldOut, Refusal::AlreadyBooked];
    let account =
        (0..=12_i64, 1..=4_i64).prop_map(|(balance, version)| ChangeResult::Balance(Account { balance, version }));
    prop_oneof![3 => prop::sample::select(refusals.to_vec()).prop_map(Err), 1 => account.prop_map(Ok)]
}

proptest! {
    #[test]
    fn calls_with_a_serial_order_are_explained(generated in generated_calls(some_end())) {
        prop_assert!(generated.is_explained());
    }

    /// If every answer is known, the answers determine the history of each row, so one falsified number is a contradiction.
    #[test]
    fn one_falsified_number_is_not_explained(generated in generated_calls(Just(End::Heard)), falsification in falsification()) {
        prop_assert!(!generated.with(falsification).is_explained());
    }

    /// If outcomes are unknown, or a refusal has several possible reasons, another order may explain the falsified calls.
    #[test]
    fn falsified_calls_are_explained_exactly_if_some_order_gives_them(
        generated in generated_calls(some_end()), falsification in falsification(), number in 0..4_usize, otherwise in otherwise()
    ) {
        for falsified in [generated.clone().with(falsification), generated.answered_otherwise(number, otherwise)] {
            prop_assert_eq!(falsified.is_explained(), falsified.has_an_order());
        }
    }
}
