//! # unique-constraint: claim a row, and let the index decide
//!
//! **Idea.** A thing that exists once gets a row that can exist once. A seat is not "one less than before" but *this*
//! seat. INSERT claims the lowest free one, and a unique index over (event, seat) decides which claim was first. A
//! request that loses claims the next seat. The approach takes no explicit lock and compares no version.
//!
//! **Guarantee.** Safe. PostgreSQL enforces a unique index at every isolation level and across all transactions, also
//! between those that cannot see each other's rows. An insert that meets the same key of an unfinished transaction
//! waits for its end, and then succeeds or conflicts (`tests/explore/facts/16-a-unique-index-decides.toml`). A second
//! index, over (event, user), lets a user book once.
//!
//! ON CONFLICT DO NOTHING returns no row on a conflict instead of an error that would abort the transaction
//! (`10-on-conflict-returns-no-row.toml`, in the same folder). It does not say *which* index refused, so the approach
//! reads again to find out.
//!
//! It is a myth that transactions which only insert do not deadlock: two that insert the same two keys in opposite
//! order do (`examples/explore/two-unique-keys.toml`). Here each transaction inserts one row and then takes the event's
//! row, which every booking takes last.
//!
//! **Cost.** Free seats do not contend: n clients claim n seats side by side, until they update the event's count. The
//! last seats are contended. A request that waited for a seat and lost it starts with the next one, at most capacity
//! times.
//!
//! **How it fails.** It needs things that can be named one by one. Money and counters cannot, so both are not
//! supported.

use async_trait::async_trait;
use uuid::Uuid;

use super::{ApproachInfo, BookingCheck, Claim, Claims, Strategy};
use crate::session::statement::{Isolation, Statement};
use crate::session::{AttemptError, Session};
use domain::Refusal;
use domain::{Account, BalanceChange, Booked, Booking, Counter, Event, Increment, Transfer, Transferred};

const READ_EVENT: Statement =
    Statement::reads("read-event", "select capacity, booked, version from events where id = $1");

const READ_GUEST: Statement = Statement::reads(
    "read-guest",
    "select exists(select from users where id = $2) as exists, \
            exists(select from bookings where event_id = $1 and user_id = $2) as booked",
);

const CLAIM: Statement = Statement::writes(
    "claim",
    "insert into bookings (event_id, user_id, seat, by_constraint) \
     select $1, $2, free.seat, true from generate_series(1, $3) as free (seat) \
     where not exists (select from bookings where event_id = $1 and bookings.seat = free.seat) \
     order by free.seat limit 1 on conflict do nothing returning id",
);

const SEATS_FREE: Statement =
    Statement::reads("seats-free", "select count(seat) < $2 from bookings where event_id = $1");

const COUNT: Statement = Statement::writes(
    "count",
    "update events set booked = booked + 1, version = version + 1 where id = $1 \
     returning $2::uuid as booking_id, capacity - booked as seats_left, version",
);

static INFO: ApproachInfo = ApproachInfo {
    source: include_str!("unique_constraint.rs"),
    aliases: &[],
    idea: "INSERT claims the lowest free seat; a unique index decides which claim was first, and the others try the next seat.",
    claims: Claims {
        balance: Claim::Unsupported,
        transfer: Claim::Unsupported,
        booking: Claim::Safe,
        counter: Claim::Unsupported,
    },
    unsupported_because: "a unique constraint guards things that exist once, such as a seat; a sum of money and a counter are not such things",
    honours_if_match: false,
    crash_atomic: true,
    batches: false,
    read_decide_write: false,
    statements: &[READ_EVENT, READ_GUEST, CLAIM, SEATS_FREE, COUNT],
};

/// The approach `unique-constraint`; see the [module](self).
pub struct UniqueConstraint;

#[async_trait]
impl Strategy for UniqueConstraint {
    fn info(&self) -> &'static ApproachInfo {
        &INFO
    }

    async fn change_balance(&self, _: &mut Session, _: BalanceChange) -> Result<Account, AttemptError> {
        Err(AttemptError::Unsupported(INFO.unsupported_because.into()))
    }

    async fn transfer(&self, _: &mut Session, _: Transfer) -> Result<Transferred, AttemptError> {
        Err(AttemptError::Unsupported(INFO.unsupported_because.into()))
    }

    async fn book(&self, session: &mut Session, booking: Booking) -> Result<Booked, AttemptError> {
        let Booking { event, user } = booking;
        session.begin(Isolation::ReadCommitted).await?;
        let seen: Event = session.fetch_optional(&READ_EVENT, (event,)).await?.ok_or(Refusal::EventNotFound)?;
        // Bounded by the seats: each round either ends or finds a seat taken that was free before.
        for _ in 0..=seen.capacity {
            let guest: BookingCheck = session.fetch_one(&READ_GUEST, (event, user)).await?;
            if guest.known()? {
                return Err(Refusal::AlreadyBooked.into());
            }
            if let Some((id,)) = session.fetch_optional::<(Uuid,)>(&CLAIM, (event, user, seen.capacity)).await? {
                let booked = match session.fetch_one(&COUNT, (event, id)).await {
                    // events_not_oversold refused: bookings of other approaches, which fill no `seat`, hold the rest.
                    Err(AttemptError::Constraint(_)) => return Err(Refusal::SoldOut.into()),
                    counted => counted?,
                };
                session.commit().await?;
                return Ok(booked);
            }
            let (free,): (bool,) = session.fetch_one(&SEATS_FREE, (event, seen.capacity)).await?;
            if !free {
                // Another request of this user may have got one of the last seats. The refusal then is "already
                // booked".
                let guest: BookingCheck = session.fetch_one(&READ_GUEST, (event, user)).await?;
                return Err(if guest.booked { Refusal::AlreadyBooked } else { Refusal::SoldOut }.into());
            }
        }
        Err(AttemptError::Conflict("Too much contention: other requests took every seat that this one tried".into()))
    }

    async fn increment(&self, _: &mut Session, _: Increment) -> Result<Counter, AttemptError> {
        Err(AttemptError::Unsupported(INFO.unsupported_because.into()))
    }
}
