//! # advisory-lock: a lock that the application names
//!
//! **Idea.** The approach locks a *name* instead of a row. `pg_advisory_xact_lock` takes a number whose meaning the
//! application defines, here "the balance of user n", and holds the lock until the transaction ends. Such a lock can
//! guard things that are not rows: a name that does not exist yet, an external service, a computation.
//!
//! **Guarantee.** Safe at READ COMMITTED, on two conditions: every transaction takes the same lock before it reads, and
//! it takes the lock in a statement of its own. A statement's snapshot is older than the lock that the statement waits
//! for. So a SELECT that both locks and reads returns what was committed before the wait. At REPEATABLE READ and above
//! the same happens across statements: the statement that locks is the first one of the transaction and fixes its
//! snapshot. `tests/explore/facts/07-*.toml` prove both, and what the next paragraph says of ROLLBACK and COMMIT.
//!
//! The lock of this form (`xact`) ends with the transaction. The session form, `pg_advisory_lock`, survives ROLLBACK.
//! It must be released explicitly, after COMMIT and never before: a release before COMMIT loses updates. If its owner
//! stops waiting, the lock stays with the pooled connection.
//!
//! **Cost.** Five round trips. The lock is held during four of them and the commit. Advisory locks take space in the
//! lock table in shared memory, whose size is bounded (`max_locks_per_transaction` × `max_connections`).
//!
//! **How it fails.** The lock is a convention: it does not stop a transaction that does not ask for it. Two keys may
//! collide; then unrelated requests wait for each other, and nothing else goes wrong. All keys share one namespace in
//! the database. Here `classid` stands for the table, with a value that is specific to this project, and `objid` for
//! the row.

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

/// The `classid` of locks on users: the letters "clau", so that another application in the database is unlikely to use
/// it.
const USERS: i32 = i32::from_be_bytes(*b"clau");

/// The `classid` of locks on events.
const EVENTS: i32 = i32::from_be_bytes(*b"clae");

/// The `classid` of locks on counters.
const COUNTERS: i32 = i32::from_be_bytes(*b"clac");

const LOCK: Statement = Statement::reads("lock", "select pg_advisory_xact_lock($1, $2)");

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
    source: include_str!("advisory_lock.rs"),
    aliases: &[],
    idea: "pg_advisory_xact_lock on a number that names the row, in its own statement; then read, decide, write.",
    claims: Claims::all(Claim::Safe),
    unsupported_because: "",
    honours_if_match: false,
    crash_atomic: true,
    batches: false,
    read_decide_write: true,
    statements: &[
        LOCK,
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

/// The approach `advisory-lock`; see the [module](self).
pub struct AdvisoryLock;

#[async_trait]
impl Strategy for AdvisoryLock {
    fn info(&self) -> &'static ApproachInfo {
        &INFO
    }

    async fn change_balance(&self, session: &mut Session, change: BalanceChange) -> Result<Account, AttemptError> {
        session.begin(Isolation::ReadCommitted).await?;
        session.execute(&LOCK, (USERS, object_id(change.user))).await?;
        let seen: Account = session.fetch_optional(&READ, (change.user,)).await?.ok_or(Refusal::UserNotFound)?;
        let balance = changed_balance(seen.balance, change.amount)?;
        let changed = session.fetch_optional(&WRITE, (change.user, balance)).await?.ok_or(Refusal::UserNotFound)?;
        session.commit().await?;
        Ok(changed)
    }

    async fn transfer(&self, session: &mut Session, transfer: Transfer) -> Result<Transferred, AttemptError> {
        session.begin(Isolation::ReadCommitted).await?;
        // In the order of the keys, not of the ids. Two ids may share a key; locking it twice does no harm.
        let mut keys = [object_id(transfer.from), object_id(transfer.to)];
        keys.sort_unstable();
        for key in keys {
            session.execute(&LOCK, (USERS, key)).await?;
        }
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
        session.execute(&LOCK, (EVENTS, object_id(event))).await?;
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
        session.execute(&LOCK, (COUNTERS, object_id(id))).await?;
        let seen: Counter = session.fetch_optional(&READ_COUNTER, (id,)).await?.ok_or(Refusal::CounterNotFound)?;
        let value = incremented(seen.value)?;
        let counted = session.fetch_optional(&WRITE_COUNTER, (id, value)).await?.ok_or(Refusal::CounterNotFound)?;
        session.commit().await?;
        Ok(counted)
    }

    /// A cancellation takes the same lock as a booking. Without it, the absolute write of a booking would undo the
    /// cancellation.
    async fn cancel(&self, session: &mut Session, cancellation: Cancellation) -> Result<Cancelled, AttemptError> {
        let booking = cancellation.booking;
        session.begin(Isolation::ReadCommitted).await?;
        let found = session.fetch_optional(&READ_BOOKING, (booking,)).await?;
        let (event,): (i64,) = found.ok_or(Refusal::BookingNotFound)?;
        session.execute(&LOCK, (EVENTS, object_id(event))).await?;
        let cancelled = session.fetch_optional(&CANCEL, (booking,)).await?.ok_or(Refusal::BookingNotFound)?;
        session.commit().await?;
        Ok(cancelled)
    }
}

/// The lower 32 bits of an id. Ids that are 2^32 apart share a lock: their requests wait for each other, and nothing
/// else happens.
#[allow(clippy::cast_possible_truncation, reason = "a collision only makes requests wait")]
fn object_id(id: i64) -> i32 {
    id as i32
}
