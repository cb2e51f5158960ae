//! The oracle against the definition of what it looks for: all orders, tried one by one.

use concurrency_lab::explore::oracle::{ClientAnswer, ClientCall, explains};
use domain::Refusal;
use domain::state::{Change, ChangeResult, State};
use domain::{Account, BalanceChange, Booking, Counter, Event, Increment, Transfer};
use proptest::prelude::*;
use uuid::Uuid;

/// How a client's call ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Heard,
    GaveUp,
    /// Unknown to the client: made or not.
    Unknown(bool),
}

/// Calls, and what they left.
#[derive(Debug, Clone)]
struct Story {
    calls: Vec<ClientCall>,
    /// The booking that each of them makes, if it makes one.
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

/// Up to four calls, each made at one moment between its first step and its last; told in another order than they were made in.
fn stories(end: impl Strategy<Value = End>) -> impl Strategy<Value = Story> {
    let call = (change(), end, 0..25_usize, 0..25_usize);
    (prop::collection::vec(call, 1..=4), 0..4_usize).prop_map(|(asked, turned)| {
        let (mut state, mut told) = (before(), Vec::new());
        for (number, (change, end, earlier, later)) in asked.into_iter().enumerate() {
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
            told.push((ClientCall { change, answer, began: moment - earlier, ended: moment + later }, id));
        }
        let turned = turned % told.len();
        told.rotate_left(turned);
        let (calls, ids) = told.into_iter().unzip();
        Story { calls, ids, after: state }
    })
}

fn some_end() -> impl Strategy<Value = End> {
    prop_oneof![4 => Just(End::Heard), 1 => Just(End::GaveUp), 1 => any::<bool>().prop_map(End::Unknown)]
}

/// A number that is not what it was.
#[derive(Debug, Clone, Copy)]
enum Lie {
    Balance(i64),
    Version(i64),
    Counted,
    /// In the answer of this call, or the next that was done.
    Answer(usize),
}

fn lie() -> impl Strategy<Value = Lie> {
    prop_oneof![
        (1..=2_i64).prop_map(Lie::Balance),
        (1..=2_i64).prop_map(Lie::Version),
        Just(Lie::Counted),
        (0..4_usize).prop_map(Lie::Answer),
        (0..4_usize).prop_map(Lie::Answer),
    ]
}

impl Story {
    fn is_explained(&self) -> bool {
        explains(&before(), &self.calls, &self.after)
    }

    /// The definition: an order that agrees with real time, and a choice of what unknown outcomes were made, that give every answer
    /// and leave these rows.
    fn has_an_order(&self) -> bool {
        let choices = 0..1_u32 << self.calls.len();
        let agrees = |order: &Vec<usize>| {
            let ended_before_it_began = |(at, &later): (usize, &usize)| {
                order[..at].iter().any(|&earlier| self.calls[later].ended < self.calls[earlier].began)
            };
            !order.iter().enumerate().any(ended_before_it_began)
        };
        let mut orders = orders(self.calls.len()).into_iter().filter(agrees);
        orders.any(|order| choices.clone().any(|made| self.told_by(&order, made)))
    }

    fn told_by(&self, order: &[usize], made: u32) -> bool {
        let mut state = before();
        let mut agrees = |at: usize| {
            let (change, id) = (&self.calls[at].change, self.ids[at]);
            match &self.calls[at].answer {
                ClientAnswer::Done(done) => state.apply(change, id).as_ref() == Ok(done),
                ClientAnswer::Refused(refusal) => state.apply(change, id).as_ref() == Err(refusal),
                ClientAnswer::Unknown(_) if made >> at & 1 == 1 => {
                    state.apply(change, self.untold(change).unwrap_or(id)).is_ok()
                }
                ClientAnswer::Unknown(_) | ClientAnswer::GaveUp(_) => true,
                ClientAnswer::Unexpected(_) => false,
            }
        };
        order.iter().all(|&at| agrees(at)) && state == self.after
    }

    /// The booking like this that is left and that nobody was told of: whoever knows of none may have made it.
    fn untold(&self, change: &Change) -> Option<Uuid> {
        let Change::Booking(wanted) = change else { return None };
        let told = |id: Uuid| {
            let is = |call: &ClientCall| matches!(&call.answer, ClientAnswer::Done(ChangeResult::Booking(booked)) if booked.booking_id == id);
            self.calls.iter().any(is)
        };
        self.after.bookings().iter().find(|(id, booking)| *booking == wanted && !told(**id)).map(|(id, _)| *id)
    }

    fn with(mut self, lie: Lie) -> Self {
        let rows = &mut self.after;
        match lie {
            Lie::Balance(user) => rows.users.get_mut(&user).expect("a user").balance += 1,
            Lie::Version(user) => rows.users.get_mut(&user).expect("a user").version += 1,
            Lie::Counted => rows.counters.get_mut(&1).expect("a counter").value += 1,
            Lie::Answer(number) => {
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
                    // Nobody was told a number, so what is left is not what it was.
                    Some(ChangeResult::Cancellation(_)) | None => return self.with(Lie::Balance(1)),
                }
            }
        }
        self
    }

    /// Says of a call that it was refused, for whatever reason, or done.
    fn answered_otherwise(mut self, number: usize, otherwise: Result<ChangeResult, Refusal>) -> Self {
        let at = number % self.calls.len();
        self.calls[at].answer = match otherwise {
            Ok(done) => ClientAnswer::Done(done),
            Err(refusal) => ClientAnswer::Refused(refusal),
        };
        self
    }
}

/// All orders of so many.
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
    fn what_ran_one_after_the_other_is_explained(story in stories(some_end())) {
        prop_assert!(story.is_explained());
    }

    /// Where every answer was heard, the answers tell each row's whole history, and one number less or more is a contradiction.
    #[test]
    fn one_wrong_number_is_not(story in stories(Just(End::Heard)), lie in lie()) {
        prop_assert!(!story.with(lie).is_explained());
    }

    /// Where outcomes are unknown, or refusals have several possible reasons, another order may explain what never happened.
    #[test]
    fn anything_else_is_explained_if_some_order_explains_it(
        story in stories(some_end()), lie in lie(), number in 0..4_usize, otherwise in otherwise()
    ) {
        for story in [story.clone().with(lie), story.answered_otherwise(number, otherwise)] {
            prop_assert_eq!(story.is_explained(), story.has_an_order());
        }
    }
}
