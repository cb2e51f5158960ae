//! # stored-function: lock and decide in the database
//!
//! **Idea.** The protocol of [`super::pessimistic`], moved into the database: a PL/pgSQL function locks the rows,
//! decides and writes. The application calls it in one round trip.
//!
//! **Guarantee.** That of the function's body. It takes its locks by SELECT … FOR UPDATE before it decides, rows in the
//! order of their ids, so it is safe at READ COMMITTED. The statement that calls the function is a transaction by
//! itself. At READ COMMITTED, each statement inside a VOLATILE function sees what was committed before *that
//! statement*. So a look for a user's booking after the lock finds the bookings that were made while the function
//! waited (`tests/explore/facts/16-check-after-the-lock.toml` shows the same order in two statements).
//!
//! **Cost.** One round trip instead of four. The lock is held during no round trip, only while the function and its
//! commit run. The decision uses the CPU of the database, which is the hardest one to add to.
//!
//! **How it fails.** Like software that lives in two places: the function must be deployed with the application, its
//! version must match, and its language has other tools. If the function is called within a larger transaction, its
//! locks last until *that* transaction ends. The functions are in `migrations/0003_stored_functions.sql`.

use async_trait::async_trait;
use uuid::Uuid;

use super::{ApproachInfo, Claim, Claims, Strategy};
use crate::session::statement::Statement;
use crate::session::{AttemptError, Session};
use domain::Refusal;
use domain::{Account, BalanceChange, Booked, Booking, Counter, Increment, Transfer, Transferred};

const CHANGE: Statement = Statement::writes("change", "select * from lab_change_balance($1, $2)");

const TRANSFER: Statement = Statement::writes("transfer", "select * from lab_transfer($1, $2, $3)");

const BOOK: Statement = Statement::writes("book", "select * from lab_book($1, $2)");

const INCREMENT: Statement = Statement::writes("increment", "select * from lab_increment($1)");

static INFO: ApproachInfo = ApproachInfo {
    source: include_str!("stored_function.rs"),
    aliases: &[],
    idea: "One round trip to a PL/pgSQL function that locks, decides and writes.",
    claims: Claims::all(Claim::Safe),
    unsupported_because: "",
    honours_if_match: false,
    crash_atomic: true,
    batches: false,
    read_decide_write: false,
    statements: &[CHANGE, TRANSFER, BOOK, INCREMENT],
};

/// The approach `stored-function`; see the [module](self).
pub struct StoredFunction;

#[async_trait]
impl Strategy for StoredFunction {
    fn info(&self) -> &'static ApproachInfo {
        &INFO
    }

    async fn change_balance(&self, session: &mut Session, change: BalanceChange) -> Result<Account, AttemptError> {
        let (outcome, balance, version): (String, i64, i64) =
            session.fetch_one(&CHANGE, (change.user, change.amount)).await?;
        done(&outcome)?;
        Ok(Account { balance, version })
    }

    async fn transfer(&self, session: &mut Session, transfer: Transfer) -> Result<Transferred, AttemptError> {
        let Transfer { from, to, amount } = transfer;
        let (outcome, payer, payer_version, payee, payee_version): (String, i64, i64, i64, i64) =
            session.fetch_one(&TRANSFER, (from, to, amount)).await?;
        done(&outcome)?;
        Ok(Transferred {
            from: Account { balance: payer, version: payer_version },
            to: Account { balance: payee, version: payee_version },
        })
    }

    async fn book(&self, session: &mut Session, booking: Booking) -> Result<Booked, AttemptError> {
        let (outcome, made, seats_left, version): (String, Option<Uuid>, i64, i64) =
            session.fetch_one(&BOOK, (booking.event, booking.user)).await?;
        done(&outcome)?;
        let booking_id = made.ok_or_else(|| AttemptError::Bug("lab_book: done, but no booking".into()))?;
        Ok(Booked { booking_id, seats_left, version })
    }

    async fn increment(&self, session: &mut Session, increment: Increment) -> Result<Counter, AttemptError> {
        let (outcome, value, version): (String, i64, i64) = session.fetch_one(&INCREMENT, (increment.counter,)).await?;
        done(&outcome)?;
        Ok(Counter { value, version })
    }
}

/// The refusal that a function's `outcome` names, or `Ok` for `done`.
fn done(outcome: &str) -> Result<(), AttemptError> {
    Err(match outcome {
        "done" => return Ok(()),
        "user not found" => Refusal::UserNotFound,
        "event not found" => Refusal::EventNotFound,
        "counter not found" => Refusal::CounterNotFound,
        "insufficient funds" => Refusal::InsufficientFunds,
        "already booked" => Refusal::AlreadyBooked,
        "sold out" => Refusal::SoldOut,
        other => return Err(AttemptError::Bug(format!("a stored function answered {other:?}").into())),
    }
    .into())
}
