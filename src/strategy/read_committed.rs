//! # read-committed: a transaction is not a lock
//!
//! **Idea.** A common belief says: "Data used in a transaction is locked until it completes." So the application puts
//! BEGIN and COMMIT around read, decide and write. It is the most common fix of [`super::naive`], and it fixes no lost
//! update.
//!
//! **Guarantee.** Atomicity: the writes of the transaction all take effect or none does, so a refused or cut transfer
//! creates no money. Atomicity says nothing about other transactions that run meanwhile. In PostgreSQL a plain SELECT
//! takes no lock that an UPDATE would wait for. At READ COMMITTED, the default, each statement sees the rows that were
//! committed before *that statement* began. The write rests on a read that may be out of date, so updates are *lost* as
//! before (`tests/explore/facts/01-read-committed-loses-updates.toml`).
//!
//! ```text
//!   client A                          client B
//!   begin                             begin
//!   select → 10000
//!                                     select → 10000
//!   update set balance = 9998
//!                                     update set balance = 9998   (waits for A's row lock)
//!   commit
//!                                     the update goes on and overwrites A's value
//!                                     commit
//! ```
//!
//! A's UPDATE takes the row lock that B waits for. That is one statement too late: B has already read.
//!
//! **Cost.** That of a transaction: two more round trips, for atomicity alone.
//!
//! **How it fails.** Like `naive`, and more often: while B waits for A, B's read becomes out of date. Bookings oversell
//! and double book in the same way. There are three remedies: lock the row at the read ([`super::pessimistic`]),
//! compare at the write ([`super::optimistic_version`]), or let the database detect the conflict
//! ([`super::repeatable_read`]).

use async_trait::async_trait;

use super::{ApproachInfo, BookingCheck, Claim, Claims, Strategy};
use crate::session::statement::{Isolation, Statement};
use crate::session::{AttemptError, Session};
use domain::Refusal;
use domain::{
    Account, BalanceChange, Booked, Booking, Counter, Event, Increment, Transfer, Transferred, changed_balance,
    incremented, seats_taken, transferred_balances,
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
    source: include_str!("read_committed.rs"),
    aliases: &[],
    idea: "The same read, decide, write between BEGIN and COMMIT: a transaction alone is no lock.",
    claims: Claims::all(Claim::Broken),
    unsupported_because: "",
    honours_if_match: false,
    crash_atomic: true,
    batches: false,
    read_decide_write: true,
    statements: &[READ, WRITE, READ_EVENT, READ_GUEST, INSERT_BOOKING, WRITE_EVENT, READ_COUNTER, WRITE_COUNTER],
};

/// The approach `read-committed`; see the [module](self).
pub struct ReadCommitted;

#[async_trait]
impl Strategy for ReadCommitted {
    fn info(&self) -> &'static ApproachInfo {
        &INFO
    }

    async fn change_balance(&self, session: &mut Session, change: BalanceChange) -> Result<Account, AttemptError> {
        session.begin(Isolation::ReadCommitted).await?;
        let seen: Account = session.fetch_optional(&READ, (change.user,)).await?.ok_or(Refusal::UserNotFound)?;
        let balance = changed_balance(seen.balance, change.amount)?;
        // The UPDATE waits for the transaction that holds the row, and then overwrites what that one wrote.
        let changed = session.fetch_optional(&WRITE, (change.user, balance)).await?.ok_or(Refusal::UserNotFound)?;
        session.commit().await?;
        Ok(changed)
    }

    async fn transfer(&self, session: &mut Session, transfer: Transfer) -> Result<Transferred, AttemptError> {
        session.begin(Isolation::ReadCommitted).await?;
        let from: Account = session.fetch_optional(&READ, (transfer.from,)).await?.ok_or(Refusal::UserNotFound)?;
        let to: Account = session.fetch_optional(&READ, (transfer.to,)).await?.ok_or(Refusal::UserNotFound)?;
        let (payer, payee) = transferred_balances(from.balance, to.balance, transfer.amount)?;
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
        session.begin(Isolation::ReadCommitted).await?;
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
        session.begin(Isolation::ReadCommitted).await?;
        let seen: Counter = session.fetch_optional(&READ_COUNTER, (id,)).await?.ok_or(Refusal::CounterNotFound)?;
        let value = incremented(seen.value)?;
        let counted = session.fetch_optional(&WRITE_COUNTER, (id, value)).await?.ok_or(Refusal::CounterNotFound)?;
        session.commit().await?;
        Ok(counted)
    }
}
