//! The operations: which workload each belongs to, the rows it contends for, and its attempt.

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::session::Session;
use crate::strategy::{BookingRow, Strategy};
use domain::Refusal;
use domain::Workload;
use domain::state::Change;
use domain::{
    Account, BalanceChange, Booked, Booking, Cancellation, Cancelled, Counter, Event, Increment, Row, Transfer,
    Transferred,
};

/// The repeatable attempt of one operation.
#[async_trait]
pub trait Operation: Send + Sync + 'static {
    /// What it is answered with; stored under an idempotency key, as JSON, and read again.
    type Done: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// The workload whose claim decides whether an approach offers it.
    const WORKLOAD: Workload;

    /// What it means that a number computed by the database does not fit; `None` where it computes none.
    const OUT_OF_RANGE: Option<Refusal> = None;

    /// What it changes; `None` for a reader, whose end cannot be unknown.
    fn change(&self) -> Option<Change> {
        None
    }

    /// The rows it contends for. None for a reader, who waits for nobody's row.
    fn rows(&self) -> Vec<Row> {
        Vec::new()
    }

    /// One attempt.
    async fn attempt(&self, strategy: &dyn Strategy, session: &mut Session) -> Result<Self::Done, Error>;
}

/// Names what only the operation can name: a number out of range, and a row that was referred to and is gone (by a
/// reset, between an attempt's look and its insert). Any other constraint is the strategy's to explain, or a bug.
pub(super) fn outcome_of<O: Operation>(error: Error) -> Error {
    match error {
        Error::OutOfRange => O::OUT_OF_RANGE.map_or_else(|| Error::Bug("a number out of range".into()), Error::from),
        Error::Constraint(name) => match &*name {
            "bookings_event_id_fkey" => Refusal::EventNotFound.into(),
            "bookings_user_id_fkey" => Refusal::UserNotFound.into(),
            unexplained => Error::Bug(format!("constraint {unexplained} refused").into()),
        },
        other => other,
    }
}

#[async_trait]
impl Operation for BalanceChange {
    type Done = Account;

    const WORKLOAD: Workload = Workload::Balance;
    const OUT_OF_RANGE: Option<Refusal> = Some(Refusal::BalanceOutOfRange);

    fn rows(&self) -> Vec<Row> {
        vec![Row::User(self.user)]
    }

    fn change(&self) -> Option<Change> {
        Some(Change::Balance(*self))
    }

    async fn attempt(&self, strategy: &dyn Strategy, session: &mut Session) -> Result<Account, Error> {
        strategy.change_balance(session, *self).await
    }
}

#[async_trait]
impl Operation for Transfer {
    type Done = Transferred;

    const WORKLOAD: Workload = Workload::Transfer;
    const OUT_OF_RANGE: Option<Refusal> = Some(Refusal::BalanceOutOfRange);

    fn rows(&self) -> Vec<Row> {
        self.in_order().map(Row::User).to_vec()
    }

    fn change(&self) -> Option<Change> {
        Some(Change::Transfer(*self))
    }

    async fn attempt(&self, strategy: &dyn Strategy, session: &mut Session) -> Result<Transferred, Error> {
        strategy.transfer(session, *self).await
    }
}

#[async_trait]
impl Operation for Booking {
    type Done = Booked;

    const WORKLOAD: Workload = Workload::Booking;

    fn rows(&self) -> Vec<Row> {
        vec![Row::Event(self.event)]
    }

    fn change(&self) -> Option<Change> {
        Some(Change::Booking(*self))
    }

    async fn attempt(&self, strategy: &dyn Strategy, session: &mut Session) -> Result<Booked, Error> {
        strategy.book(session, *self).await
    }
}

#[async_trait]
impl Operation for Increment {
    type Done = Counter;

    const WORKLOAD: Workload = Workload::Counter;
    const OUT_OF_RANGE: Option<Refusal> = Some(Refusal::CounterOutOfRange);

    fn rows(&self) -> Vec<Row> {
        vec![Row::Counter(self.counter)]
    }

    fn change(&self) -> Option<Change> {
        Some(Change::Increment(*self))
    }

    async fn attempt(&self, strategy: &dyn Strategy, session: &mut Session) -> Result<Counter, Error> {
        strategy.increment(session, *self).await
    }
}

/// Which event it contends for is known only to the booking's row, so it queues for none.
#[async_trait]
impl Operation for Cancellation {
    type Done = Cancelled;

    const WORKLOAD: Workload = Workload::Booking;

    fn change(&self) -> Option<Change> {
        Some(Change::Cancellation(*self))
    }

    async fn attempt(&self, strategy: &dyn Strategy, session: &mut Session) -> Result<Cancelled, Error> {
        strategy.cancel(session, *self).await
    }
}

/// A look at a balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BalanceRead {
    /// Whose.
    pub user: i64,
}

#[async_trait]
impl Operation for BalanceRead {
    type Done = Account;

    const WORKLOAD: Workload = Workload::Balance;

    async fn attempt(&self, strategy: &dyn Strategy, session: &mut Session) -> Result<Account, Error> {
        strategy.read_balance(session, self.user).await
    }
}

/// A look at an event and its bookings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventRead {
    /// Which one.
    pub event: i64,
}

#[async_trait]
impl Operation for EventRead {
    type Done = (Event, Vec<BookingRow>);

    const WORKLOAD: Workload = Workload::Booking;

    async fn attempt(&self, strategy: &dyn Strategy, session: &mut Session) -> Result<Self::Done, Error> {
        strategy.read_event(session, self.event).await
    }
}

/// A look at a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CounterRead {
    /// Which one.
    pub counter: i64,
}

#[async_trait]
impl Operation for CounterRead {
    type Done = Counter;

    const WORKLOAD: Workload = Workload::Counter;

    async fn attempt(&self, strategy: &dyn Strategy, session: &mut Session) -> Result<Counter, Error> {
        strategy.read_counter(session, self.counter).await
    }
}
