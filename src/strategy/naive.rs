//! # naive: read, decide, write
//!
//! **Idea.** The application reads the balance, computes the new one and writes it. Most first versions of a service
//! look like this, and they pass every test that runs one request at a time.
//!
//! **Guarantee.** None. Another request may write between the read and the write. The second writer then overwrites the
//! first one's value with a value that does not contain the first change: a *lost update*.
//!
//! ```text
//!   client A                          client B
//!   select → 10000
//!                                     select → 10000
//!   update set balance = 9998
//!                                     update set balance = 9998   ← A's withdrawal is lost
//! ```
//!
//! Both clients receive the answer 9998. Two withdrawals of 2 were paid out, and the account shows one. Of 10000 such
//! requests, far more than the 5000 that there is money for succeed. The two equal answers show the loss:
//! `responses.log` lists every answer that came more than once.
//!
//! **Cost.** Two statements and no transaction. It is cheap, but its results are wrong.
//!
//! **How it fails.** Two requests must overlap. Without a gap between read and write, a load test may pass by luck. A
//! think time widens the gap. Running every interleaving needs no luck: `concurrency-lab explore --approach naive`. The
//! CHECK constraint on the table (balance ≥ 0) does not help, because no written value is negative; there are only
//! fewer writes than withdrawals.
//!
//! **Transfers** add a second mistake: they are two independent changes, and the credit comes first. If the debit is
//! refused, or the connection is cut in between, the credit stays: *money created*.
//!
//! **Bookings** look for a free seat and then insert. Two clients can see the same last seat free (*oversell*), and two
//! requests of one user can both find no booking yet (*double booking*).

use async_trait::async_trait;

use super::{ApproachInfo, BookingCheck, Claim, Claims, Strategy};
use crate::session::statement::Statement;
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
    source: include_str!("naive.rs"),
    aliases: &[],
    idea: "Read, decide in the application, write the new value: no transaction, no lock.",
    claims: Claims::all(Claim::Broken),
    unsupported_because: "",
    honours_if_match: false,
    crash_atomic: false,
    batches: false,
    read_decide_write: true,
    statements: &[READ, WRITE, READ_EVENT, READ_GUEST, INSERT_BOOKING, WRITE_EVENT, READ_COUNTER, WRITE_COUNTER],
};

/// The approach `naive`; see the [module](self).
pub struct Naive;

#[async_trait]
impl Strategy for Naive {
    fn info(&self) -> &'static ApproachInfo {
        &INFO
    }

    async fn change_balance(&self, session: &mut Session, change: BalanceChange) -> Result<Account, AttemptError> {
        let seen: Account = session.fetch_optional(&READ, (change.user,)).await?.ok_or(Refusal::UserNotFound)?;
        let balance = changed_balance(seen.balance, change.amount)?;
        // This overwrites every change that was committed since the read.
        let changed = session.fetch_optional(&WRITE, (change.user, balance)).await?.ok_or(Refusal::UserNotFound)?;
        Ok(changed)
    }

    async fn transfer(&self, session: &mut Session, transfer: Transfer) -> Result<Transferred, AttemptError> {
        let Transfer { from, to, amount } = transfer;
        // Both rows are read first, only to refuse unknown users as every approach does.
        let payer: Account = session.fetch_optional(&READ, (from,)).await?.ok_or(Refusal::UserNotFound)?;
        let payee: Account = session.fetch_optional(&READ, (to,)).await?.ok_or(Refusal::UserNotFound)?;
        // If the credit does not fit a bigint, the answer is the refusal that comes first in the fixed order. Nothing
        // has been changed yet.
        let credited = changed_balance(payee.balance, amount).map_err(|out_of_range| {
            transferred_balances(payer.balance, payee.balance, amount).err().unwrap_or(out_of_range)
        })?;
        let to = session.fetch_optional(&WRITE, (to, credited)).await?.ok_or(Refusal::UserNotFound)?;
        // The credit is committed. A refusal or a cut connection from here on leaves it in place: money created.
        let payer: Account = session.fetch_optional(&READ, (from,)).await?.ok_or(Refusal::UserNotFound)?;
        let debited = changed_balance(payer.balance, -amount)?;
        let from = session.fetch_optional(&WRITE, (from, debited)).await?.ok_or(Refusal::UserNotFound)?;
        Ok(Transferred { from, to })
    }

    async fn book(&self, session: &mut Session, booking: Booking) -> Result<Booked, AttemptError> {
        let Booking { event, user } = booking;
        let seen: Event = session.fetch_optional(&READ_EVENT, (event,)).await?.ok_or(Refusal::EventNotFound)?;
        let guest: BookingCheck = session.fetch_one(&READ_GUEST, (event, user)).await?;
        let taken = seats_taken(&seen, guest.known()?)?;
        // Another request that saw the same seat free inserts as well.
        let (id,): (Uuid,) = session.fetch_one(&INSERT_BOOKING, (event, user)).await?;
        let booked = session.fetch_optional(&WRITE_EVENT, (event, taken, id)).await?;
        Ok(booked.ok_or(Refusal::EventNotFound)?)
    }

    async fn increment(&self, session: &mut Session, increment: Increment) -> Result<Counter, AttemptError> {
        let id = increment.counter;
        let seen: Counter = session.fetch_optional(&READ_COUNTER, (id,)).await?.ok_or(Refusal::CounterNotFound)?;
        let value = incremented(seen.value)?;
        let counted = session.fetch_optional(&WRITE_COUNTER, (id, value)).await?.ok_or(Refusal::CounterNotFound)?;
        Ok(counted)
    }
}
