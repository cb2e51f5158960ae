//! # check-constraint: the table refuses
//!
//! **Idea.** The application does not decide. It writes the change without a guard, relative to the current value, and
//! a CHECK on the table refuses a forbidden result: SQLSTATE 23514. The rule is written once, in the schema, and binds
//! every writer, also a script that is run by hand next year.
//!
//! **Guarantee.** Safe, for the same reason as [`super::atomic_returning`]: a relative UPDATE locks its row and
//! computes from the newest version, and the CHECK examines exactly the row that is about to be written
//! (`tests/explore/facts/05-check-stops-overdrafts.toml`).
//!
//! A CHECK alone guarantees less than is often assumed. It sees one row, so it stops an overdraft. It does not stop a
//! *lost update*, because a balance that is only wrong is not negative. With an absolute write (`set balance = $2`) the
//! same CHECK lets updates get lost: `tests/explore/facts/05-check-does-not-stop-lost-updates.toml`.
//!
//! **Cost.** One round trip for a change. A refusal is an error inside PostgreSQL: a rolled-back statement and a line
//! in PostgreSQL's log. Within a larger transaction it also aborts that transaction, unless a savepoint was set. Where
//! refusals are common, a guard in WHERE is cheaper.
//!
//! **How it fails.** A CHECK cannot express a rule about more than one row. For bookings a unique index says "once per
//! user", which is the same idea for two rows. For a counter there is nothing to refuse, so counters are not supported.

use async_trait::async_trait;

use super::{ApproachInfo, Claim, Claims, Strategy, UserRow, payer_and_payee};
use crate::session::statement::Statement;
use crate::session::{AttemptError, Session};
use domain::Refusal;
use domain::{
    Account, BalanceChange, Booked, Booking, Counter, Increment, Transfer, Transferred, transferred_balances,
};

const CHANGE: Statement = Statement::writes(
    "change",
    "update users set balance = balance + $2, version = version + 1 where id = $1 returning balance, version",
);

const TRANSFER: Statement = Statement::writes(
    "transfer",
    "with locked as ( \
         select id, balance, version from users where id in ($1, $2) order by id for update \
     ), both_there as ( \
         select from locked having count(*) = 2 \
     ) \
     update users set balance = case users.id when $1 then locked.balance - $3 else locked.balance + $3 end, \
                      version = locked.version + 1 \
     from locked, both_there where users.id = locked.id returning users.id, users.balance, users.version",
);

const BOOK: Statement = Statement::writes(
    "book",
    "with seat as ( \
         update events set booked = booked + 1, version = version + 1 \
         where id = $1 returning capacity - booked as seats_left, version \
     ), made as ( \
         insert into bookings (event_id, user_id, by_constraint) select $1, $2, true from seat returning id \
     ) \
     select made.id as booking_id, seats_left, version from made, seat",
);

/// The unique index that refuses a user's second booking.
const ONCE_A_USER: &str = "bookings_once_a_user";

const WHY_NOT: Statement = Statement::reads("why-not", "select id, balance, version from users where id in ($1, $2)");

const WHY_NOT_BOOKED: Statement = Statement::reads(
    "why-not-booked",
    "select exists(select from events where id = $1) as event, exists(select from users where id = $2) as guest, \
            exists(select from bookings where event_id = $1 and user_id = $2) as booked",
);

static INFO: ApproachInfo = ApproachInfo {
    source: include_str!("check_constraint.rs"),
    aliases: &[],
    idea: "Change without a guard; the table's CHECK (for bookings also a unique index) refuses a forbidden result.",
    claims: Claims { balance: Claim::Safe, transfer: Claim::Safe, booking: Claim::Safe, counter: Claim::Unsupported },
    unsupported_because: "a counter has no rule for a constraint to enforce",
    honours_if_match: false,
    crash_atomic: true,
    batches: false,
    read_decide_write: false,
    statements: &[CHANGE, TRANSFER, WHY_NOT, BOOK, WHY_NOT_BOOKED],
};

/// The approach `check-constraint`; see the [module](self).
pub struct CheckConstraint;

#[async_trait]
impl Strategy for CheckConstraint {
    fn info(&self) -> &'static ApproachInfo {
        &INFO
    }

    async fn change_balance(&self, session: &mut Session, change: BalanceChange) -> Result<Account, AttemptError> {
        match session.fetch_optional(&CHANGE, (change.user, change.amount)).await {
            Ok(changed) => Ok(changed.ok_or(Refusal::UserNotFound)?),
            // users.balance_not_negative: no other constraint can refuse a change of a balance.
            Err(AttemptError::Constraint(_)) => Err(Refusal::InsufficientFunds.into()),
            // A value below the least bigint is below 0 as well.
            Err(AttemptError::OutOfRange) if change.amount < 0 => Err(Refusal::InsufficientFunds.into()),
            Err(error) => Err(error),
        }
    }

    async fn transfer(&self, session: &mut Session, transfer: Transfer) -> Result<Transferred, AttemptError> {
        let Transfer { from, to, amount } = transfer;
        match session.fetch_all::<UserRow>(&TRANSFER, (from, to, amount)).await {
            Ok(changed) if !changed.is_empty() => Ok(payer_and_payee(&changed, &transfer)?),
            // PostgreSQL may have checked either row first. The answer names the payer's refusal before the payee's.
            Ok(_) | Err(AttemptError::Constraint(_)) => {
                Err(why_not_transferred(session, transfer, Refusal::InsufficientFunds).await?.into())
            }
            Err(AttemptError::OutOfRange) => {
                Err(why_not_transferred(session, transfer, Refusal::BalanceOutOfRange).await?.into())
            }
            Err(error) => Err(error),
        }
    }

    async fn book(&self, session: &mut Session, booking: Booking) -> Result<Booked, AttemptError> {
        match session.fetch_optional(&BOOK, (booking.event, booking.user)).await {
            Ok(Some(booked)) => Ok(booked),
            // The index has decided. A second read would not do: the other booking may be cancelled by then.
            Err(AttemptError::Constraint(name)) if name == ONCE_A_USER => Err(Refusal::AlreadyBooked.into()),
            // events_not_oversold refused, or there is no such user. Nothing was changed.
            Ok(None) | Err(AttemptError::Constraint(_)) => Err(why_not_booked(session, booking).await?.into()),
            Err(error) => Err(error),
        }
    }

    async fn increment(&self, _: &mut Session, _: Increment) -> Result<Counter, AttemptError> {
        Err(AttemptError::Unsupported(INFO.unsupported_because.into()))
    }
}

/// Why the statement of a transfer changed nothing. If the rule would allow the transfer now, the rows have changed
/// since; the answer is then the refusal that the database gave at the time.
async fn why_not_transferred(
    session: &mut Session,
    transfer: Transfer,
    at_the_time: Refusal,
) -> Result<Refusal, AttemptError> {
    let rows: Vec<UserRow> = session.fetch_all(&WHY_NOT, (transfer.from, transfer.to)).await?;
    let found = match payer_and_payee(&rows, &transfer) {
        Ok(found) => found,
        Err(unknown) => return Ok(unknown),
    };
    let decided = transferred_balances(found.from.balance, found.to.balance, transfer.amount);
    Ok(decided.err().unwrap_or(at_the_time))
}

/// Why the statement of a booking changed nothing: the first refusal in the fixed order.
async fn why_not_booked(session: &mut Session, Booking { event, user }: Booking) -> Result<Refusal, AttemptError> {
    let (event, guest, booked): (bool, bool, bool) = session.fetch_one(&WHY_NOT_BOOKED, (event, user)).await?;
    Ok(match (event, guest, booked) {
        (false, _, _) => Refusal::EventNotFound,
        (_, false, _) => Refusal::UserNotFound,
        (_, _, true) => Refusal::AlreadyBooked,
        (_, _, false) => Refusal::SoldOut,
    })
}
