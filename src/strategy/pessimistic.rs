//! # pessimistic: lock, then read
//!
//! **Idea.** The approach expects interference and excludes it before it reads: SELECT … FOR UPDATE locks the row as it
//! reads it, until the transaction ends. What was read stays true until the transaction has acted on it.
//!
//! **Guarantee.** Safe at READ COMMITTED. A second transaction that wants the lock waits. When it gets the row, it gets
//! the newest version, not the one that its snapshot saw. The decision may be of any kind, in any language.
//!
//! FOR UPDATE locks the rows that it *found*. If no row matches, it locks nothing, and two clients can both find
//! nothing. FOR UPDATE also blocks an insert that refers to the row by a foreign key; FOR NO KEY UPDATE does not.
//! `tests/explore/facts/06-*.toml` prove all three statements.
//!
//! ```text
//!   client A                          client B
//!   begin                             begin
//!   select … for update → 10000
//!                                     select … for update   (waits)
//!   update set balance = 9998
//!   commit                            → 9998
//!                                     update set balance = 9996
//!                                     commit
//! ```
//!
//! **Cost.** Four round trips. The lock is held during three of them and during the commit's write to disk, so requests
//! for a hot row form a queue. A client that stalls inside its transaction stalls every transaction behind it. Two
//! settings bound this: `idle_in_transaction_session_timeout` for the stalled one and `lock_timeout` for those that
//! wait.
//!
//! **How it fails.** With errors: lock timeouts, and deadlocks when two transactions lock several rows in opposite
//! order. Locking rows in one order (by id) avoids the deadlocks (`tests/explore/facts/09-locks-in-order.toml`). One
//! place in the code that omits the lock fails silently: no row lock stops a plain SELECT.
//!
//! **Bookings** lock the event, the parent row that every booking finds, and only then look whether the user has a
//! seat. A booking that does not exist yet cannot be locked.

use async_trait::async_trait;

use super::{ApproachInfo, BookingCheck, Claim, Claims, Strategy, UserRow, payer_and_payee};
use crate::session::statement::{Isolation, Statement};
use crate::session::{AttemptError, Session};
use domain::Refusal;
use domain::{
    Account, BalanceChange, Booked, Booking, Counter, Event, Increment, Transfer, Transferred, changed_balance,
    incremented, seats_taken, transferred_balances,
};
use uuid::Uuid;

const LOCK: Statement = Statement::reads("lock", "select balance, version from users where id = $1 for update");

const LOCK_BOTH: Statement =
    Statement::reads("lock-both", "select id, balance, version from users where id in ($1, $2) order by id for update");

const WRITE: Statement = Statement::writes(
    "write",
    "update users set balance = $2, version = version + 1 where id = $1 returning balance, version",
);

const LOCK_EVENT: Statement =
    Statement::reads("lock-event", "select capacity, booked, version from events where id = $1 for update");

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

const LOCK_COUNTER: Statement =
    Statement::reads("lock-counter", "select value, version from counters where id = $1 for update");

const WRITE_COUNTER: Statement = Statement::writes(
    "write-counter",
    "update counters set value = $2, version = version + 1 where id = $1 returning value, version",
);

static INFO: ApproachInfo = ApproachInfo {
    source: include_str!("pessimistic.rs"),
    aliases: &["transaction-pessimistic-locking", "robust"],
    idea: "SELECT … FOR UPDATE locks the row as it is read; what was read stays true until COMMIT.",
    claims: Claims::all(Claim::Safe),
    unsupported_because: "",
    honours_if_match: false,
    crash_atomic: true,
    batches: false,
    read_decide_write: true,
    statements: &[
        LOCK,
        LOCK_BOTH,
        WRITE,
        LOCK_EVENT,
        READ_GUEST,
        INSERT_BOOKING,
        WRITE_EVENT,
        LOCK_COUNTER,
        WRITE_COUNTER,
    ],
};

/// The approach `pessimistic`; see the [module](self).
pub struct Pessimistic;

#[async_trait]
impl Strategy for Pessimistic {
    fn info(&self) -> &'static ApproachInfo {
        &INFO
    }

    async fn change_balance(&self, session: &mut Session, change: BalanceChange) -> Result<Account, AttemptError> {
        session.begin(Isolation::ReadCommitted).await?;
        let locked: Account = session.fetch_optional(&LOCK, (change.user,)).await?.ok_or(Refusal::UserNotFound)?;
        let balance = changed_balance(locked.balance, change.amount)?;
        let changed = session.fetch_optional(&WRITE, (change.user, balance)).await?.ok_or(Refusal::UserNotFound)?;
        session.commit().await?;
        Ok(changed)
    }

    async fn transfer(&self, session: &mut Session, transfer: Transfer) -> Result<Transferred, AttemptError> {
        let Transfer { from, to, amount } = transfer;
        session.begin(Isolation::ReadCommitted).await?;
        let rows: Vec<UserRow> = session.fetch_all(&LOCK_BOTH, (from, to)).await?;
        let locked = payer_and_payee(&rows, &transfer)?;
        let (payer, payee) = transferred_balances(locked.from.balance, locked.to.balance, amount)?;
        let from = session.fetch_one(&WRITE, (from, payer)).await?;
        let to = session.fetch_one(&WRITE, (to, payee)).await?;
        session.commit().await?;
        Ok(Transferred { from, to })
    }

    async fn book(&self, session: &mut Session, booking: Booking) -> Result<Booked, AttemptError> {
        let Booking { event, user } = booking;
        session.begin(Isolation::ReadCommitted).await?;
        let locked: Event = session.fetch_optional(&LOCK_EVENT, (event,)).await?.ok_or(Refusal::EventNotFound)?;
        // In a statement of its own, after the lock: its snapshot then contains every booking that was committed before
        // the lock.
        let guest: BookingCheck = session.fetch_one(&READ_GUEST, (event, user)).await?;
        let taken = seats_taken(&locked, guest.known()?)?;
        let (id,): (Uuid,) = session.fetch_one(&INSERT_BOOKING, (event, user)).await?;
        let booked = session.fetch_one(&WRITE_EVENT, (event, taken, id)).await?;
        session.commit().await?;
        Ok(booked)
    }

    async fn increment(&self, session: &mut Session, increment: Increment) -> Result<Counter, AttemptError> {
        let id = increment.counter;
        session.begin(Isolation::ReadCommitted).await?;
        let locked: Counter = session.fetch_optional(&LOCK_COUNTER, (id,)).await?.ok_or(Refusal::CounterNotFound)?;
        let value = incremented(locked.value)?;
        let counted = session.fetch_optional(&WRITE_COUNTER, (id, value)).await?.ok_or(Refusal::CounterNotFound)?;
        session.commit().await?;
        Ok(counted)
    }
}
