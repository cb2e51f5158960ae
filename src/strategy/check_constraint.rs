//! # check-constraint: let the table refuse
//!
//! **Idea.** Do not decide in the application at all. Write the change without a guard, relative to whatever is there, and let
//! a CHECK on the table refuse what must not be: SQLSTATE 23514. The rule stands once, in the schema, and binds everybody,
//! also the script that somebody runs by hand next year.
//!
//! **Guarantee.** Safe, for the reason [`super::atomic_returning`] is: a relative UPDATE locks its row and computes from
//! the newest version, and the CHECK looks at exactly what is about to be written.
//!
//! A CHECK alone guarantees less than people think. It sees one row, so it stops an overdraft; it does not stop a *lost
//! update*, because a balance that is merely wrong is not negative. Put the same CHECK under an absolute write
//! (`set balance = $2`) and it will watch updates get lost, as in
//! `tests/explore/facts/05-check-does-not-stop-lost-updates.toml`.
//!
//! **Cost.** One round trip for a change. A refusal is an error inside PostgreSQL: a rolled-back statement, a line in its log,
//! and, within a larger transaction, that transaction aborted (unless a savepoint was set). Where refusals are common,
//! a guard in WHERE is cheaper.
//!
//! **How it fails.** It cannot express what needs more than one row. For bookings a unique index says "once a user", which
//! is the same idea for two rows. For a counter there is nothing to refuse: not supported.

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
    idea: "Change without a guard; the table's CHECK (and a unique index) refuses what must not be.",
    claims: Claims { balance: Claim::Safe, transfer: Claim::Safe, booking: Claim::Safe, counter: Claim::Unsupported },
    unsupported_because: "a counter has no rule that a constraint could refuse",
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
            // users.balance_not_negative, the only one that a change of a balance can break.
            Err(AttemptError::Constraint(_)) => Err(Refusal::InsufficientFunds.into()),
            // Below the least bigint is far below 0.
            Err(AttemptError::OutOfRange) if change.amount < 0 => Err(Refusal::InsufficientFunds.into()),
            Err(error) => Err(error),
        }
    }

    async fn transfer(&self, session: &mut Session, transfer: Transfer) -> Result<Transferred, AttemptError> {
        let Transfer { from, to, amount } = transfer;
        match session.fetch_all::<UserRow>(&TRANSFER, (from, to, amount)).await {
            Ok(changed) if !changed.is_empty() => Ok(payer_and_payee(&changed, &transfer)?),
            // Whichever row PostgreSQL looked at first: the payer's refusal is told before the payee's.
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
            // The index has said it: by the time of a second look, the other booking may be cancelled.
            Err(AttemptError::Constraint(name)) if name == ONCE_A_USER => Err(Refusal::AlreadyBooked.into()),
            // events_not_oversold, or a user who is not there: nothing was changed.
            Ok(None) | Err(AttemptError::Constraint(_)) => Err(why_not_booked(session, booking).await?.into()),
            Err(error) => Err(error),
        }
    }

    async fn increment(&self, _: &mut Session, _: Increment) -> Result<Counter, AttemptError> {
        Err(AttemptError::Unsupported(INFO.unsupported_because.into()))
    }
}

/// Why a statement that transfers changed nothing. If the rule would allow it by now, it was true at the moment of the
/// statement what the database said then.
async fn why_not_transferred(
    session: &mut Session,
    transfer: Transfer,
    then: Refusal,
) -> Result<Refusal, AttemptError> {
    let rows: Vec<UserRow> = session.fetch_all(&WHY_NOT, (transfer.from, transfer.to)).await?;
    let found = match payer_and_payee(&rows, &transfer) {
        Ok(found) => found,
        Err(unknown) => return Ok(unknown),
    };
    let decided = transferred_balances(found.from.balance, found.to.balance, transfer.amount);
    Ok(decided.err().unwrap_or(then))
}

/// Why a statement that books changed nothing, in the order in which refusals are told.
async fn why_not_booked(session: &mut Session, Booking { event, user }: Booking) -> Result<Refusal, AttemptError> {
    let (event, guest, booked): (bool, bool, bool) = session.fetch_one(&WHY_NOT_BOOKED, (event, user)).await?;
    Ok(match (event, guest, booked) {
        (false, _, _) => Refusal::EventNotFound,
        (_, false, _) => Refusal::UserNotFound,
        (_, _, true) => Refusal::AlreadyBooked,
        (_, _, false) => Refusal::SoldOut,
    })
}
