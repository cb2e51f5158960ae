//! # repeatable-read: the second writer of a row gets an error
//!
//! **Idea.** The same read, decide and write as [`super::read_committed`], at REPEATABLE READ. Every statement of the
//! transaction sees one snapshot, and an UPDATE of a row that was changed since that snapshot fails with 40001. The
//! application then starts the transaction again.
//!
//! **Guarantee.** Snapshot isolation. No update is lost, because the first updater wins and the others get 40001
//! ("could not serialize access due to concurrent update"). It is safe for every workload here, because each
//! transaction writes the row that its decision rests on: a balance, both balances, the event, the counter. See
//! `tests/explore/facts/02-first-updater-wins.toml`.
//!
//! REPEATABLE READ is *not* serializable. Two transactions that both read two rows and write *different* ones do not
//! conflict: *write skew*. Two doctors on call, each seeing the other on call, may both go home
//! (`tests/explore/facts/02-write-skew.toml`). Against that, use [`super::serializable`], or lock the rows that the
//! transaction only reads.
//!
//! **Cost.** The approach locks nothing while it decides, so on rows without contention it costs what a transaction
//! costs. On a hot row most attempts wait for the winner and then fail, and their work is wasted. A retry repeats the
//! *whole* transaction, from BEGIN, because its snapshot is what is out of date.
//!
//! **How it fails.** It gives up (503) when the contention outlasts the deadline. An advisory lock taken inside the
//! transaction does not help, because the statement that takes the lock fixes the snapshot before it waits
//! (`tests/explore/facts/07-lock-statement-fixes-the-snapshot.toml`).

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
    source: include_str!("repeatable_read.rs"),
    aliases: &[],
    idea: "Read, decide, write at REPEATABLE READ; the second writer of a row gets 40001 and starts again.",
    claims: Claims::all(Claim::Safe),
    unsupported_because: "",
    honours_if_match: false,
    crash_atomic: true,
    batches: false,
    read_decide_write: true,
    statements: &[READ, WRITE, READ_EVENT, READ_GUEST, INSERT_BOOKING, WRITE_EVENT, READ_COUNTER, WRITE_COUNTER],
};

/// The approach `repeatable-read`; see the [module](self).
pub struct RepeatableRead;

#[async_trait]
impl Strategy for RepeatableRead {
    fn info(&self) -> &'static ApproachInfo {
        &INFO
    }

    async fn change_balance(&self, session: &mut Session, change: BalanceChange) -> Result<Account, AttemptError> {
        session.begin(Isolation::RepeatableRead).await?;
        let seen: Account = session.fetch_optional(&READ, (change.user,)).await?.ok_or(Refusal::UserNotFound)?;
        let balance = changed_balance(seen.balance, change.amount)?;
        // 40001 if another transaction changed the row since the snapshot.
        let changed = session.fetch_optional(&WRITE, (change.user, balance)).await?.ok_or(Refusal::UserNotFound)?;
        session.commit().await?;
        Ok(changed)
    }

    async fn transfer(&self, session: &mut Session, transfer: Transfer) -> Result<Transferred, AttemptError> {
        session.begin(Isolation::RepeatableRead).await?;
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
        session.begin(Isolation::RepeatableRead).await?;
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
        session.begin(Isolation::RepeatableRead).await?;
        let seen: Counter = session.fetch_optional(&READ_COUNTER, (id,)).await?.ok_or(Refusal::CounterNotFound)?;
        let value = incremented(seen.value)?;
        let counted = session.fetch_optional(&WRITE_COUNTER, (id, value)).await?.ok_or(Refusal::CounterNotFound)?;
        session.commit().await?;
        Ok(counted)
    }
}
