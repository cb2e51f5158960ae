//! # in-process-mutex: a lock that only this process knows
//!
//! **Idea.** With one server, a mutex per row in its memory is enough: lock, read, decide, write, unlock. There is no
//! transaction and no lock in the database. No other approach has simpler code.
//!
//! **Guarantee.** Safe as long as *every* write goes through this one process. A second server (a rolling deployment, a
//! second replica, a nightly job, an operator with psql) does not know the mutex, and updates are lost as with
//! [`super::naive`]. So the approach is safe on the developer's machine and broken in production, where it matters
//! most.
//!
//! It is not atomic: the two writes of a transfer are two transactions. A server that dies between them leaves one of
//! them done. The approach reads everything and decides before the first write, so at least a *refusal* changes
//! nothing.
//!
//! **Cost.** Requests do not wait in the database at all, and the lock changes hands in memory. The lock is held across
//! round trips, so a slow database makes a long queue; both the queue and the wait are bounded. Rows are locked in one
//! order. Otherwise two transfers could wait for each other for ever, because no database is there to find the
//! deadlock.
//!
//! **How it fails.** Silently, as soon as a second server writes. On one server too, if a write is late: the network holds it until the
//! server has given up, answered 504 and released the mutex. Other requests then change the row and are acknowledged. When the late
//! write arrives, it sets a balance that was computed from the old one, and their changes are gone. A lock outside the database
//! cannot stop a statement that is on its way; a version in the statement's WHERE could.

use async_trait::async_trait;

use super::{ApproachInfo, BookingCheck, CANCEL, Claim, Claims, Strategy};
use crate::session::statement::Statement;
use crate::session::{AttemptError, Session};
use domain::Refusal;
use domain::{
    Account, BalanceChange, Booked, Booking, Cancellation, Cancelled, Counter, Event, Increment, Row, Transfer,
    Transferred, changed_balance, incremented, seats_taken, transferred_balances,
};
use uuid::Uuid;

const READ: Statement = Statement::reads("read", "select balance, version from users where id = $1");

const WRITE: Statement = Statement::writes(
    "write",
    "update users set balance = $2, version = version + 1 where id = $1 returning balance, version",
);

const READ_EVENT: Statement =
    Statement::reads("read-event", "select capacity, booked, version from events where id = $1");

const READ_GUEST: Statement = Statement::reads(
    "read-guest",
    "select exists(select from users where id = $2) as exists, \
            exists(select from bookings where event_id = $1 and user_id = $2) as booked",
);

const INSERT_BOOKING: Statement =
    Statement::writes("insert-booking", "insert into bookings (event_id, user_id) values ($1, $2) returning id");

const WRITE_EVENT: Statement = Statement::writes(
    "write-event",
    "update events set booked = $2, version = version + 1 where id = $1 \
     returning $3::uuid as booking_id, capacity - booked as seats_left, version",
);

const READ_COUNTER: Statement = Statement::reads("read-counter", "select value, version from counters where id = $1");

const WRITE_COUNTER: Statement = Statement::writes(
    "write-counter",
    "update counters set value = $2, version = version + 1 where id = $1 returning value, version",
);

const READ_BOOKING: Statement = Statement::reads("read-booking", "select event_id from bookings where id = $1");

static INFO: ApproachInfo = ApproachInfo {
    source: include_str!("in_process_mutex.rs"),
    aliases: &[],
    idea: "A mutex per row, in this process's memory, around read, decide and write: safe until there is a second server.",
    claims: Claims::all(Claim::SafeOnOneServer),
    unsupported_because: "",
    honours_if_match: false,
    crash_atomic: false,
    batches: false,
    read_decide_write: false,
    statements: &[
        READ,
        WRITE,
        READ_EVENT,
        READ_GUEST,
        INSERT_BOOKING,
        WRITE_EVENT,
        READ_COUNTER,
        WRITE_COUNTER,
        READ_BOOKING,
    ],
};

/// The approach `in-process-mutex`; see the [module](self).
pub struct InProcessMutex;

#[async_trait]
impl Strategy for InProcessMutex {
    fn info(&self) -> &'static ApproachInfo {
        &INFO
    }

    async fn change_balance(&self, session: &mut Session, change: BalanceChange) -> Result<Account, AttemptError> {
        session.lock_in_process(&[Row::User(change.user)]).await?;
        let seen: Account = session.fetch_optional(&READ, (change.user,)).await?.ok_or(Refusal::UserNotFound)?;
        let balance = changed_balance(seen.balance, change.amount)?;
        let changed = session.fetch_optional(&WRITE, (change.user, balance)).await?.ok_or(Refusal::UserNotFound)?;
        Ok(changed)
    }

    async fn transfer(&self, session: &mut Session, transfer: Transfer) -> Result<Transferred, AttemptError> {
        session.lock_in_process(&[Row::User(transfer.from), Row::User(transfer.to)]).await?;
        let from: Account = session.fetch_optional(&READ, (transfer.from,)).await?.ok_or(Refusal::UserNotFound)?;
        let to: Account = session.fetch_optional(&READ, (transfer.to,)).await?.ok_or(Refusal::UserNotFound)?;
        let (payer, payee) = transferred_balances(from.balance, to.balance, transfer.amount)?;
        let mut written = Vec::with_capacity(2);
        for user in transfer.in_order() {
            let balance = if user == transfer.from { payer } else { payee };
            written.push(session.fetch_optional(&WRITE, (user, balance)).await?.ok_or(Refusal::UserNotFound)?);
        }
        Ok(transfer.in_direction([written[0], written[1]]))
    }

    async fn book(&self, session: &mut Session, booking: Booking) -> Result<Booked, AttemptError> {
        let Booking { event, user } = booking;
        session.lock_in_process(&[Row::Event(event)]).await?;
        let seen: Event = session.fetch_optional(&READ_EVENT, (event,)).await?.ok_or(Refusal::EventNotFound)?;
        let guest: BookingCheck = session.fetch_one(&READ_GUEST, (event, user)).await?;
        let taken = seats_taken(&seen, guest.known()?)?;
        let (id,): (Uuid,) = session.fetch_one(&INSERT_BOOKING, (event, user)).await?;
        let booked = session.fetch_optional(&WRITE_EVENT, (event, taken, id)).await?;
        Ok(booked.ok_or(Refusal::EventNotFound)?)
    }

    async fn increment(&self, session: &mut Session, increment: Increment) -> Result<Counter, AttemptError> {
        let id = increment.counter;
        session.lock_in_process(&[Row::Counter(id)]).await?;
        let seen: Counter = session.fetch_optional(&READ_COUNTER, (id,)).await?.ok_or(Refusal::CounterNotFound)?;
        let value = incremented(seen.value)?;
        let counted = session.fetch_optional(&WRITE_COUNTER, (id, value)).await?.ok_or(Refusal::CounterNotFound)?;
        Ok(counted)
    }

    /// A cancellation holds the same mutex as a booking. Without it, the absolute write of a booking would undo the
    /// cancellation.
    async fn cancel(&self, session: &mut Session, cancellation: Cancellation) -> Result<Cancelled, AttemptError> {
        let booking = cancellation.booking;
        let found = session.fetch_optional(&READ_BOOKING, (booking,)).await?;
        let (event,): (i64,) = found.ok_or(Refusal::BookingNotFound)?;
        session.lock_in_process(&[Row::Event(event)]).await?;
        Ok(session.fetch_optional(&CANCEL, (booking,)).await?.ok_or(Refusal::BookingNotFound)?)
    }
}
