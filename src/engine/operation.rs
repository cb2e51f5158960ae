//! The operations: the workload that each belongs to, the rows that it contends for, and its attempt.

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::session::{AttemptError, Session};
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
    /// Its result, which is also stored with an idempotency key as JSON.
    type Done: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// The workload whose claim decides whether an approach offers it.
    const WORKLOAD: Workload;

    /// The refusal that a number out of range means; `None` if the database computes no number for it.
    const OUT_OF_RANGE: Option<Refusal> = None;

    /// What it changes; `None` for a read, whose outcome cannot be unknown.
    fn change(&self) -> Option<Change> {
        None
    }

    /// The rows that it contends for. A read has none, because it waits for no row.
    fn rows(&self) -> Vec<Row> {
        Vec::new()
    }

    /// One attempt.
    async fn attempt(&self, strategy: &dyn Strategy, session: &mut Session) -> Result<Self::Done, AttemptError>;
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

    async fn attempt(&self, strategy: &dyn Strategy, session: &mut Session) -> Result<Account, AttemptError> {
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

    async fn attempt(&self, strategy: &dyn Strategy, session: &mut Session) -> Result<Transferred, AttemptError> {
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

    async fn attempt(&self, strategy: &dyn Strategy, session: &mut Session) -> Result<Booked, AttemptError> {
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

    async fn attempt(&self, strategy: &dyn Strategy, session: &mut Session) -> Result<Counter, AttemptError> {
        strategy.increment(session, *self).await
    }
}

/// Only the booking's row tells which event a cancellation contends for, so it queues for no row.
#[async_trait]
impl Operation for Cancellation {
    type Done = Cancelled;

    const WORKLOAD: Workload = Workload::Booking;

    fn change(&self) -> Option<Change> {
        Some(Change::Cancellation(*self))
    }

    async fn attempt(&self, strategy: &dyn Strategy, session: &mut Session) -> Result<Cancelled, AttemptError> {
        strategy.cancel(session, *self).await
    }
}

/// A read of a balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BalanceRead {
    /// The user.
    pub user: i64,
}

#[async_trait]
impl Operation for BalanceRead {
    type Done = Account;

    const WORKLOAD: Workload = Workload::Balance;

    async fn attempt(&self, strategy: &dyn Strategy, session: &mut Session) -> Result<Account, AttemptError> {
        strategy.read_balance(session, self.user).await
    }
}

/// A read of an event and its bookings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventRead {
    /// The event.
    pub event: i64,
}

#[async_trait]
impl Operation for EventRead {
    type Done = (Event, Vec<BookingRow>);

    const WORKLOAD: Workload = Workload::Booking;

    async fn attempt(&self, strategy: &dyn Strategy, session: &mut Session) -> Result<Self::Done, AttemptError> {
        strategy.read_event(session, self.event).await
    }
}

/// A read of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CounterRead {
    /// The counter.
    pub counter: i64,
}

#[async_trait]
impl Operation for CounterRead {
    type Done = Counter;

    const WORKLOAD: Workload = Workload::Counter;

    async fn attempt(&self, strategy: &dyn Strategy, session: &mut Session) -> Result<Counter, AttemptError> {
        strategy.read_counter(session, self.counter).await
    }
}
