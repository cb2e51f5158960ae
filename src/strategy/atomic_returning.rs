//! # atomic-returning: one guarded UPDATE
//!
//! **Idea.** The application does not read first. One statement checks, changes and answers: the guard is in WHERE, the
//! change is relative, and RETURNING gives the answer. No other request can come between a read and a write.
//!
//! **Guarantee.** Safe at READ COMMITTED, PostgreSQL's default. An UPDATE locks the row that it found. If it had to
//! wait for another writer, it evaluates WHERE again on the newest version before it writes. (The manual calls this
//! re-evaluating the search condition; the source code calls it `EvalPlanQual`.) So the guard always holds for the
//! version that is changed. If no row is returned, nothing was changed.
//!
//! PostgreSQL re-evaluates the condition for the locked row only. A subquery in the same WHERE keeps the old snapshot
//! of the statement, and rows that only *newly* match are missed: a withdrawal that found too little money is refused
//! at once, even if a deposit is about to commit. That refusal is true, because at that moment the money was not there.
//! `tests/explore/facts/04-*.toml` show both in every interleaving.
//!
//! **Cost.** One round trip for a change. The lock is held for one statement and its commit, the shortest time of all
//! approaches. A refusal costs a second statement, which tells an unknown user from one with too little money.
//!
//! **How it fails.** It is limited to what one statement can see. A decision that needs other rows, or code of the
//! application, needs another approach. Written with an absolute value (`set balance = $2`), it would be `naive` again.
//!
//! The sum may exceed a bigint before the guard is evaluated (22003). The server then answers "Balance out of range".
//!
//! **Transfers** are one statement too, with a trap: an UPDATE of two rows locks them in the order in which it finds
//! them, so opposite transfers deadlock. Here a first CTE locks both rows in the order of their ids, and the new values
//! come from the rows that this CTE returned. The target's own column would still have the value of the statement's old
//! snapshot. `tests/explore/facts/15-*.toml` show the traps and the remedy.
//!
//! **Bookings** cannot be guarded by `not exists (select … from bookings …)` in the same WHERE: after a wait,
//! PostgreSQL does not evaluate the subquery on a new snapshot, and the same user is booked twice
//! (`tests/explore/facts/16-subquery-in-where-is-stale.toml`). Here the event's own column guards the event's row, and
//! a unique index refuses the second booking of a user.

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
    "update users set balance = balance + $2, version = version + 1 \
     where id = $1 and balance + $2 >= 0 returning balance, version",
);

const EXISTS: Statement = Statement::reads("exists", "select balance, version from users where id = $1");

const TRANSFER: Statement = Statement::writes(
    "transfer",
    "with locked as ( \
         select id, balance, version from users where id in ($1, $2) order by id for update \
     ), payer as ( \
         select from locked where id = $1 and balance >= $3 and (select count(*) from locked) = 2 \
     ) \
     update users set balance = case users.id when $1 then locked.balance - $3 else locked.balance + $3 end, \
                      version = locked.version + 1 \
     from locked, payer where users.id = locked.id returning users.id, users.balance, users.version",
);

const BOOK: Statement = Statement::writes(
    "book",
    "with seat as ( \
         update events set booked = booked + 1, version = version + 1 \
         where id = $1 and booked < capacity returning capacity - booked as seats_left, version \
     ), made as ( \
         insert into bookings (event_id, user_id, by_constraint) select $1, $2, true from seat returning id \
     ) \
     select made.id as booking_id, seats_left, version from made, seat",
);

/// The unique index that refuses a user's second booking.
const ONCE_A_USER: &str = "bookings_once_a_user";

const INCREMENT: Statement = Statement::writes(
    "increment",
    "update counters set value = value + 1, version = version + 1 where id = $1 returning value, version",
);

const WHY_NOT: Statement = Statement::reads("why-not", "select id, balance, version from users where id in ($1, $2)");

const WHY_NOT_BOOKED: Statement = Statement::reads(
    "why-not-booked",
    "select exists(select from events where id = $1) as event, exists(select from users where id = $2) as guest, \
            exists(select from bookings where event_id = $1 and user_id = $2) as booked",
);

static INFO: ApproachInfo = ApproachInfo {
    source: include_str!("atomic_returning.rs"),
    aliases: &["self"],
    idea: "One statement checks, changes and answers: the guard in WHERE, a relative change, RETURNING for the answer.",
    claims: Claims::all(Claim::Safe),
    unsupported_because: "",
    honours_if_match: false,
    crash_atomic: true,
    batches: false,
    read_decide_write: false,
    statements: &[CHANGE, EXISTS, TRANSFER, WHY_NOT, BOOK, WHY_NOT_BOOKED, INCREMENT],
};

/// The approach `atomic-returning`; see the [module](self).
pub struct AtomicReturning;

#[async_trait]
impl Strategy for AtomicReturning {
    fn info(&self) -> &'static ApproachInfo {
        &INFO
    }

    async fn change_balance(&self, session: &mut Session, change: BalanceChange) -> Result<Account, AttemptError> {
        if let Some(changed) = session.fetch_optional(&CHANGE, (change.user, change.amount)).await? {
            return Ok(changed);
        }
        // Nothing was changed. This read only finds out why.
        let found: Option<Account> = session.fetch_optional(&EXISTS, (change.user,)).await?;
        Err(found.map_or(Refusal::UserNotFound, |_| Refusal::InsufficientFunds).into())
    }

    async fn transfer(&self, session: &mut Session, transfer: Transfer) -> Result<Transferred, AttemptError> {
        let Transfer { from, to, amount } = transfer;
        let changed: Vec<UserRow> = session.fetch_all(&TRANSFER, (from, to, amount)).await?;
        if changed.is_empty() {
            return Err(why_not_transferred(session, transfer).await?.into());
        }
        Ok(payer_and_payee(&changed, &transfer)?)
    }

    async fn book(&self, session: &mut Session, booking: Booking) -> Result<Booked, AttemptError> {
        match session.fetch_optional(&BOOK, (booking.event, booking.user)).await {
            Ok(Some(booked)) => Ok(booked),
            // The index has decided. A second read would not do: the other booking may be cancelled by then.
            Err(AttemptError::Constraint(name)) if name == ONCE_A_USER => Err(Refusal::AlreadyBooked.into()),
            // There is no free seat, or no such user. Nothing was changed.
            Ok(None) | Err(AttemptError::Constraint(_)) => Err(why_not_booked(session, booking).await?.into()),
            Err(error) => Err(error),
        }
    }

    async fn increment(&self, session: &mut Session, increment: Increment) -> Result<Counter, AttemptError> {
        let counted = session.fetch_optional(&INCREMENT, (increment.counter,)).await?;
        Ok(counted.ok_or(Refusal::CounterNotFound)?)
    }
}

/// Why the statement of a transfer changed nothing. If the rule would allow the transfer now, money arrived since; at
/// the moment of the statement it was missing.
async fn why_not_transferred(session: &mut Session, transfer: Transfer) -> Result<Refusal, AttemptError> {
    let rows: Vec<UserRow> = session.fetch_all(&WHY_NOT, (transfer.from, transfer.to)).await?;
    let found = match payer_and_payee(&rows, &transfer) {
        Ok(found) => found,
        Err(unknown) => return Ok(unknown),
    };
    let decided = transferred_balances(found.from.balance, found.to.balance, transfer.amount);
    Ok(decided.err().unwrap_or(Refusal::InsufficientFunds))
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
