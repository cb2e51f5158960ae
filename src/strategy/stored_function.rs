//! # stored-function: lock and decide where the data are
//!
//! **Idea.** The protocol of [`super::pessimistic`], moved into the database: a PL/pgSQL function locks the rows, decides and
//! writes. The application calls it in one round trip.
//!
//! **Guarantee.** That of its body: SELECT … FOR UPDATE before the decision, rows in the order of their ids, so it is safe at READ
//! COMMITTED. The statement that calls it is a transaction by itself. Inside a function each statement of a VOLATILE
//! function at READ COMMITTED sees what was committed before *that statement*, so looking for a user's booking after the lock
//! finds those that were made while it waited.
//!
//! **Cost.** One round trip instead of four, and the lock is held for no round trip at all, only for the function and its
//! commit. The decision runs on the database's CPU, which is the one that is hardest to have more of.
//!
//! **How it fails.** As software does that lives in two places: the function must be deployed with the application, its
//! version must fit, its language has other tools. Called within a larger transaction, its locks last until *that* ends.
//! The functions are in `migrations/0003_stored_functions.sql`.

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

/// What a function's `outcome` says.
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
