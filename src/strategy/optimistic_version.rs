//! # optimistic-version: read, then compare and set
//!
//! **Idea.** The approach expects no interference, and detects it where it happens. It reads the row with its version,
//! decides, and writes only `WHERE version = $seen`. If no row was changed, another request was faster, and the attempt
//! starts again from the read.
//!
//! **Guarantee.** Safe at READ COMMITTED, without a transaction and without a lock across a round trip. The UPDATE that
//! writes is a compare-and-set: if it has to wait for another writer, PostgreSQL evaluates WHERE again on the newest
//! version of the row. Its version number has changed, so no row matches. The version must be an explicit column that
//! *every* writer raises (`tests/explore/facts/08-version-column.toml`).
//!
//! Substitutes for that column have flaws:
//!
//! - `xmin` is 32 bits wide and wraps around.
//! - `ctid` is a place in the file. Another version may have the same place once VACUUM has cleared it;
//!   `tests/explore/facts/08-ctid-is-a-place.toml` loses an update that way. Before the minor releases of November
//!   2025, such as 17.7, PostgreSQL did not even evaluate a comparison of `ctid` again after a wait.
//! - The balance itself suffers from the ABA problem: a balance of 10000 may have been 9998 in between.
//!
//! **Cost.** Two round trips without interference. When n requests compete for a hot row, one wins each round and the
//! work of the others is wasted; `Lab-Attempts` reports the number of attempts. Retries wait with jitter and are
//! bounded.
//!
//! **How it fails.** It gives up (503) when the contention outlasts the deadline. It never gives a wrong answer.
//!
//! **Across requests.** The version is the `ETag`. A client that read it a minute ago sends it back as `If-Match`. The
//! change is then made to exactly that version, or refused with 412 and not retried, because the client decided on
//! *that* balance and not on a later one. No lock could be held for that minute.

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
    "update users set balance = $2, version = version + 1 \
     where id = $1 and version = $3 returning balance, version",
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
    "update events set booked = $2, version = version + 1 \
     where id = $1 and version = $3 returning capacity - booked, version",
);

const READ_COUNTER: Statement = Statement::reads("read-counter", "select value, version from counters where id = $1");

const WRITE_COUNTER: Statement = Statement::writes(
    "write-counter",
    "update counters set value = $2, version = version + 1 \
     where id = $1 and version = $3 returning value, version",
);

static INFO: ApproachInfo = ApproachInfo {
    source: include_str!("optimistic_version.rs"),
    aliases: &[],
    idea: "Read the row with its version, write only if the version is still the same, and otherwise start again.",
    claims: Claims::all(Claim::Safe),
    unsupported_because: "",
    honours_if_match: true,
    crash_atomic: true,
    batches: false,
    read_decide_write: true,
    statements: &[READ, WRITE, READ_EVENT, READ_GUEST, INSERT_BOOKING, WRITE_EVENT, READ_COUNTER, WRITE_COUNTER],
};

/// The approach `optimistic-version`; see the [module](self).
pub struct OptimisticVersion;

#[async_trait]
impl Strategy for OptimisticVersion {
    fn info(&self) -> &'static ApproachInfo {
        &INFO
    }

    async fn change_balance(&self, session: &mut Session, change: BalanceChange) -> Result<Account, AttemptError> {
        let seen: Account = session.fetch_optional(&READ, (change.user,)).await?.ok_or(Refusal::UserNotFound)?;
        if change.if_version.is_some_and(|wanted| wanted != seen.version) {
            return Err(Refusal::VersionMismatch.into());
        }
        let balance = changed_balance(seen.balance, change.amount)?;
        let written = session.fetch_optional(&WRITE, (change.user, balance, seen.version)).await?;
        written.ok_or_else(|| lost_race(change.if_version))
    }

    async fn transfer(&self, session: &mut Session, transfer: Transfer) -> Result<Transferred, AttemptError> {
        let from: Account = session.fetch_optional(&READ, (transfer.from,)).await?.ok_or(Refusal::UserNotFound)?;
        let to: Account = session.fetch_optional(&READ, (transfer.to,)).await?.ok_or(Refusal::UserNotFound)?;
        let (payer, payee) = transferred_balances(from.balance, to.balance, transfer.amount)?;
        // Two rows, so two compare-and-sets in one transaction: both or none, in the order of the ids.
        session.begin(Isolation::ReadCommitted).await?;
        let mut written = Vec::with_capacity(2);
        for user in transfer.in_order() {
            let (balance, version) = if user == transfer.from { (payer, from.version) } else { (payee, to.version) };
            let row = session.fetch_optional(&WRITE, (user, balance, version)).await?;
            written.push(row.ok_or_else(|| lost_race(None))?);
        }
        session.commit().await?;
        Ok(transfer.in_direction([written[0], written[1]]))
    }

    async fn book(&self, session: &mut Session, booking: Booking) -> Result<Booked, AttemptError> {
        let Booking { event, user } = booking;
        let seen: Event = session.fetch_optional(&READ_EVENT, (event,)).await?.ok_or(Refusal::EventNotFound)?;
        // After the event: a booking in between raises the version that is compared below.
        let guest: BookingCheck = session.fetch_one(&READ_GUEST, (event, user)).await?;
        let taken = seats_taken(&seen, guest.known()?)?;
        session.begin(Isolation::ReadCommitted).await?;
        let written = session.fetch_optional(&WRITE_EVENT, (event, taken, seen.version)).await?;
        let (seats_left, version): (i64, i64) = written.ok_or_else(|| lost_race(None))?;
        let (booking_id,): (Uuid,) = session.fetch_one(&INSERT_BOOKING, (event, user)).await?;
        session.commit().await?;
        Ok(Booked { booking_id, seats_left, version })
    }

    async fn increment(&self, session: &mut Session, increment: Increment) -> Result<Counter, AttemptError> {
        let id = increment.counter;
        let seen: Counter = session.fetch_optional(&READ_COUNTER, (id,)).await?.ok_or(Refusal::CounterNotFound)?;
        if increment.if_version.is_some_and(|wanted| wanted != seen.version) {
            return Err(Refusal::VersionMismatch.into());
        }
        let value = incremented(seen.value)?;
        let written = session.fetch_optional(&WRITE_COUNTER, (id, value, seen.version)).await?;
        written.ok_or_else(|| lost_race(increment.if_version))
    }
}

/// The result when no row had the version that was read. A request with `If-Match` is refused; any other is retried.
fn lost_race(if_version: Option<i64>) -> AttemptError {
    if if_version.is_some() {
        return Refusal::VersionMismatch.into();
    }
    AttemptError::Conflict("Too much contention: the version changed each time".into())
}
