//! # serializable: as if one after the other
//!
//! **Idea.** The application is written as if its transaction ran alone, and the database makes that true:
//! SERIALIZABLE. PostgreSQL rolls back with 40001 a transaction that fits no serial order, and the application starts
//! it again.
//!
//! **Guarantee.** The strongest one there is, for any transaction, also for one whose decision rests on rows that it
//! does not write (write skew) or that do not exist yet (phantoms). PostgreSQL implements it as Serializable Snapshot
//! Isolation: transactions run on snapshots, PostgreSQL tracks which transaction read what another one writes, and it
//! aborts a transaction where these dependencies form a dangerous structure (Ports and Grittner, "Serializable Snapshot
//! Isolation in PostgreSQL", VLDB 2012).
//!
//! Two rules are easily forgotten. First, 40001 may come from *any* statement, COMMIT included. What a transaction read
//! is not valid until its COMMIT has succeeded, so the server answers after COMMIT and not before. Second, every
//! transaction must run at this level: one writer at a lower level voids the guarantee for all. See
//! `02-commit-may-fail.toml` and `02-mixed-levels-void-the-guarantee.toml` in `tests/explore/facts`.
//!
//! **Cost.** PostgreSQL keeps records of reads (predicate locks) and aborts transactions. It aborts more of them than
//! strictly necessary, because it tracks reads by page or by table when there are many rows or when a scan is
//! sequential, as on tiny tables (`02-false-conflicts-on-tiny-tables.toml`, in the same folder). On a hot row it
//! behaves like [`super::repeatable_read`] with more aborts.
//!
//! **How it fails.** It gives up (503) when the contention outlasts the deadline. It never gives a wrong answer.

use async_trait::async_trait;

use super::{ApproachInfo, BookingCheck, CANCEL, Claim, Claims, Strategy};
use crate::session::statement::{Isolation, Statement};
use crate::session::{AttemptError, Session};
use domain::Refusal;
use domain::{
    Account, BalanceChange, Booked, Booking, Cancellation, Cancelled, Counter, Event, Increment, Transfer, Transferred,
    changed_balance, incremented, seats_taken, transferred_balances,
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

static INFO: ApproachInfo = ApproachInfo {
    source: include_str!("serializable.rs"),
    aliases: &[],
    idea: "Read, decide, write at SERIALIZABLE; a transaction that fits no serial order gets 40001, even at COMMIT, and starts again.",
    claims: Claims::all(Claim::Safe),
    unsupported_because: "",
    honours_if_match: false,
    crash_atomic: true,
    batches: false,
    read_decide_write: true,
    statements: &[READ, WRITE, READ_EVENT, READ_GUEST, INSERT_BOOKING, WRITE_EVENT, READ_COUNTER, WRITE_COUNTER],
};

/// The approach `serializable`; see the [module](self).
pub struct Serializable;

#[async_trait]
impl Strategy for Serializable {
    fn info(&self) -> &'static ApproachInfo {
        &INFO
    }

    async fn change_balance(&self, session: &mut Session, change: BalanceChange) -> Result<Account, AttemptError> {
        session.begin(Isolation::Serializable).await?;
        let seen: Account = session.fetch_optional(&READ, (change.user,)).await?.ok_or(Refusal::UserNotFound)?;
        let balance = changed_balance(seen.balance, change.amount)?;
        let changed = session.fetch_optional(&WRITE, (change.user, balance)).await?.ok_or(Refusal::UserNotFound)?;
        session.commit().await?;
        Ok(changed)
    }

    async fn transfer(&self, session: &mut Session, transfer: Transfer) -> Result<Transferred, AttemptError> {
        session.begin(Isolation::Serializable).await?;
        let from: Account = session.fetch_optional(&READ, (transfer.from,)).await?.ok_or(Refusal::UserNotFound)?;
        let to: Account = session.fetch_optional(&READ, (transfer.to,)).await?.ok_or(Refusal::UserNotFound)?;
        let (payer, payee) = transferred_balances(from.balance, to.balance, transfer.amount)?;
        // In the order of the ids: opposite transfers conflict and seldom deadlock.
        let mut written = Vec::with_capacity(2);
        for user in transfer.in_order() {
            let balance = if user == transfer.from { payer } else { payee };
            written.push(session.fetch_optional(&WRITE, (user, balance)).await?.ok_or(Refusal::UserNotFound)?);
        }
        session.commit().await?;
        Ok(transfer.in_direction([written[0], written[1]]))
    }

    async fn book(&self, session: &mut Session, booking: Booking) -> Result<Booked, AttemptError> {
        let Booking { event, user } = booking;
        session.begin(Isolation::Serializable).await?;
        let seen: Event = session.fetch_optional(&READ_EVENT, (event,)).await?.ok_or(Refusal::EventNotFound)?;
        let guest: BookingCheck = session.fetch_one(&READ_GUEST, (event, user)).await?;
        let taken = seats_taken(&seen, guest.known()?)?;
        let (id,): (Uuid,) = session.fetch_one(&INSERT_BOOKING, (event, user)).await?;
        let booked = session.fetch_one(&WRITE_EVENT, (event, taken, id)).await?;
        session.commit().await?;
        Ok(booked)
    }

    async fn increment(&self, session: &mut Session, increment: Increment) -> Result<Counter, AttemptError> {
        let id = increment.counter;
        session.begin(Isolation::Serializable).await?;
        let seen: Counter = session.fetch_optional(&READ_COUNTER, (id,)).await?.ok_or(Refusal::CounterNotFound)?;
        let value = incremented(seen.value)?;
        let counted = session.fetch_optional(&WRITE_COUNTER, (id, value)).await?.ok_or(Refusal::CounterNotFound)?;
        session.commit().await?;
        Ok(counted)
    }

    /// At the same level as a booking: one writer at a lower level voids the guarantee for all.
    async fn cancel(&self, session: &mut Session, cancellation: Cancellation) -> Result<Cancelled, AttemptError> {
        let booking = cancellation.booking;
        session.begin(Isolation::Serializable).await?;
        let cancelled = session.fetch_optional(&CANCEL, (booking,)).await?.ok_or(Refusal::BookingNotFound)?;
        session.commit().await?;
        Ok(cancelled)
    }
}
