//! The approaches: every way of guarding a read-decide-write, each with its own SQL.
//!
//! A strategy is one file of this folder. Its module documentation is the textbook chapter, its consts are the SQL, and
//! each method shows one attempt of the whole protocol. What does not differ between approaches is written once
//! elsewhere: the rules ([`domain`]), the retry loop ([`crate::engine`]), the meaning of an SQLSTATE
//! ([`crate::session::sqlstate`]).
//!
//! To add an approach: write its file, declare it below, and add a line to the list at the end of this file.

pub mod advisory_lock;
pub mod atomic_returning;
pub mod check_constraint;
pub mod group_commit;
pub mod in_process_mutex;
pub mod naive;
pub mod optimistic_version;
pub mod pessimistic;
pub mod read_committed;
pub mod repeatable_read;
pub mod serializable;
pub mod stored_function;
pub mod unique_constraint;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter, EnumString, IntoStaticStr, VariantNames};
use uuid::Uuid;

use crate::metrics::ApproachIndex;
use crate::session::statement::Statement;
use crate::session::{AttemptError, Session};
use domain::{
    Account, BalanceChange, Booked, Booking, Cancellation, Cancelled, Counter, Event, Increment, Transfer, Transferred,
};
use domain::{Refusal, Workload};

/// What an approach claims for a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Claim {
    /// Correct under any interleaving, on any number of servers.
    Safe,
    /// Correct as long as there is only one server.
    SafeOnOneServer,
    /// Known to be wrong. The explorer must find the anomaly.
    Broken,
    /// Not offered. The server answers 501 with the reason in [`ApproachInfo::unsupported_because`].
    Unsupported,
}

/// The claims of an approach, by workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// Changes of one user's balance.
    pub balance: Claim,
    /// Transfers between two users.
    pub transfer: Claim,
    /// Bookings of an event's seats.
    pub booking: Claim,
    /// Increments of a counter.
    pub counter: Claim,
}

impl Claims {
    /// The same claim for every workload.
    #[must_use]
    pub const fn all(claim: Claim) -> Self {
        Self { balance: claim, transfer: claim, booking: claim, counter: claim }
    }

    /// The claim for a workload.
    #[must_use]
    pub const fn of(&self, workload: Workload) -> Claim {
        match workload {
            Workload::Balance => self.balance,
            Workload::Transfer => self.transfer,
            Workload::Booking => self.booking,
            Workload::Counter => self.counter,
        }
    }
}

/// What is known about an approach without running it.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::struct_excessive_bools, reason = "independent properties of an approach")]
pub struct ApproachInfo {
    /// The text of its file, which starts with its chapter.
    pub source: &'static str,
    /// Other names that routes and options accept.
    pub aliases: &'static [&'static str],
    /// The idea in one sentence.
    pub idea: &'static str,
    /// Its claims.
    pub claims: Claims,
    /// Why it does not offer the workloads that its claims call unsupported. Empty if it offers every workload.
    pub unsupported_because: &'static str,
    /// Whether it honours `If-Match`.
    pub honours_if_match: bool,
    /// Whether a change is whole or absent wherever its connection is cut. Only then can an idempotency key be stored
    /// with the change.
    pub crash_atomic: bool,
    /// Whether requests share transactions ([`crate::session::batch`]), and so do not queue for their rows one by one.
    pub batches: bool,
    /// Whether it reads, decides in the application and writes, with nothing but the database to keep others out: then the
    /// isolation level may decide whether it is safe, and `explore --isolation` runs it by default.
    pub read_decide_write: bool,
    /// Every statement that it sends, except `begin`, `commit` and `rollback`, in the order of the protocol.
    pub statements: &'static [Statement],
}

/// A way of guarding a read-decide-write. Each method is **one attempt**. An attempt may end in [`AttemptError::Conflict`];
/// the engine then rolls it back and makes another one.
#[async_trait]
pub trait Strategy: Send + Sync {
    /// Describes the approach.
    fn info(&self) -> &'static ApproachInfo;

    /// Changes a balance, or refuses.
    ///
    /// A method may return a refusal or an error with a transaction open: the engine rolls it back.
    async fn change_balance(&self, session: &mut Session, change: BalanceChange) -> Result<Account, AttemptError>;

    /// Moves money from one user to another, or refuses.
    async fn transfer(&self, session: &mut Session, transfer: Transfer) -> Result<Transferred, AttemptError>;

    /// Books a seat, or refuses.
    async fn book(&self, session: &mut Session, booking: Booking) -> Result<Booked, AttemptError>;

    /// Adds one to a counter.
    async fn increment(&self, session: &mut Session, increment: Increment) -> Result<Counter, AttemptError>;

    /// Cancels a booking. Every approach sends the same single statement: it locks the event's row first, as a booking
    /// does, and subtracts one from the count that it then reads.
    async fn cancel(&self, session: &mut Session, cancellation: Cancellation) -> Result<Cancelled, AttemptError> {
        Ok(session.fetch_optional(&CANCEL, (cancellation.booking,)).await?.ok_or(Refusal::BookingNotFound)?)
    }

    /// Reads a balance. A single statement sees one committed version, whatever the approach.
    async fn read_balance(&self, session: &mut Session, user: i64) -> Result<Account, AttemptError> {
        Ok(session.fetch_optional(&READ_BALANCE, (user,)).await?.ok_or(Refusal::UserNotFound)?)
    }

    /// Reads a counter.
    async fn read_counter(&self, session: &mut Session, counter: i64) -> Result<Counter, AttemptError> {
        Ok(session.fetch_optional(&READ_COUNTER, (counter,)).await?.ok_or(Refusal::CounterNotFound)?)
    }

    /// Reads an event with its bookings, in one statement, so that the count and the rows belong to the same moment.
    async fn read_event(&self, session: &mut Session, event: i64) -> Result<(Event, Vec<BookingRow>), AttemptError> {
        let rows: Vec<EventRow> = session.fetch_all(&READ_EVENT, (event,)).await?;
        let first = rows.first().ok_or(Refusal::EventNotFound)?;
        let event = Event { capacity: first.capacity, booked: first.booked, version: first.version };
        Ok((event, rows.into_iter().filter_map(EventRow::booking).collect()))
    }
}

/// How every approach reads a balance for `GET`.
pub const READ_BALANCE: Statement =
    Statement::reads("read-balance", "select balance, version from users where id = $1");

/// How every approach reads a counter for `GET`.
pub const READ_COUNTER: Statement =
    Statement::reads("read-counter", "select value, version from counters where id = $1");

/// How every approach reads an event for `GET`: one row per booking, or a single row if there is none.
pub const READ_EVENT: Statement = Statement::reads(
    "read-event",
    "select e.capacity, e.booked, e.version, b.id as booking_id, b.user_id, \
            to_char(b.booking_time at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') as booking_time \
     from events e left join bookings b on b.event_id = e.id where e.id = $1 order by b.booking_time, b.id",
);

/// How a booking is cancelled. The lock is `for no key update`, because FOR UPDATE would deadlock: it would wait for a
/// transaction that has inserted a booking and not yet counted it (whose foreign key holds the event FOR KEY SHARE),
/// while that transaction waits behind it.
pub const CANCEL: Statement = Statement::writes(
    "cancel",
    "with event as ( \
         select id, booked from events where id = (select event_id from bookings where id = $1) for no key update \
     ), gone as ( \
         delete from bookings where id = $1 and event_id = (select id from event) returning event_id \
     ) \
     update events set booked = greatest(event.booked - 1, 0), version = version + 1 \
     from gone join event on event.id = gone.event_id where events.id = event.id \
     returning events.id as event_id, events.version",
);

/// One booking of an event, as `GET /events/{id}` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BookingRow {
    /// The booking.
    pub booking_id: Uuid,
    /// The user whose booking it is.
    pub user_id: i64,
    /// When it was made, in UTC (RFC 3339).
    pub booking_time: String,
}

#[derive(Debug)]
struct EventRow {
    capacity: i64,
    booked: i64,
    version: i64,
    booking_id: Option<Uuid>,
    user_id: Option<i64>,
    booking_time: Option<String>,
}

domain::from_row!(EventRow: capacity, booked, version, booking_id, user_id, booking_time);

impl EventRow {
    fn booking(self) -> Option<BookingRow> {
        Some(BookingRow { booking_id: self.booking_id?, user_id: self.user_id?, booking_time: self.booking_time? })
    }
}

/// A row of `users`, where a statement reads several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserRow {
    /// The user.
    pub id: i64,
    /// The balance.
    pub balance: i64,
    /// Its version.
    pub version: i64,
}

domain::from_row!(UserRow: id, balance, version);

/// The payer's and the payee's account, from the rows read for a transfer.
///
/// # Errors
/// [`Refusal::UserNotFound`].
pub fn payer_and_payee(rows: &[UserRow], transfer: &Transfer) -> Result<Transferred, Refusal> {
    let find = |user| {
        let row = rows.iter().find(|row| row.id == user).ok_or(Refusal::UserNotFound)?;
        Ok(Account { balance: row.balance, version: row.version })
    };
    Ok(Transferred { from: find(transfer.from)?, to: find(transfer.to)? })
}

/// What a booking reads in addition to the event's own row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BookingCheck {
    /// The user exists.
    pub exists: bool,
    /// The user has a booking for this event.
    pub booked: bool,
}

domain::from_row!(BookingCheck: exists, booked);

impl BookingCheck {
    /// Whether the user, who must exist, has booked already.
    ///
    /// # Errors
    /// [`Refusal::UserNotFound`].
    pub fn known(self) -> Result<bool, Refusal> {
        if self.exists { Ok(self.booked) } else { Err(Refusal::UserNotFound) }
    }
}

impl Approach {
    /// Finds an approach by its name or one of its aliases.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        use strum::IntoEnumIterator as _;
        name.parse().ok().or_else(|| Self::iter().find(|approach| approach.info().aliases.contains(&name)))
    }

    /// The name in routes, options and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The index of its figures among those of [`crate::metrics::Metrics::on`], which gets the names of all approaches.
    #[must_use]
    pub const fn metric_index(self) -> ApproachIndex {
        ApproachIndex(self as usize)
    }

    /// Describes the approach.
    #[must_use]
    pub fn info(self) -> &'static ApproachInfo {
        self.strategy().info()
    }
}

/// The only list of approaches: each line declares an [`Approach`] and names its strategy.
macro_rules! approaches {
    ($($module:ident :: $name:ident,)+) => {
        /// The name of an approach. Routes, options and reports write it in kebab-case.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[derive(Display, EnumIter, EnumString, IntoStaticStr, VariantNames)]
        #[strum(serialize_all = "kebab-case")]
        pub enum Approach {
            $(#[doc = concat!("See [`", stringify!($module), "`].")] $name,)+
        }

        impl Approach {
            /// The strategy that implements the approach.
            #[must_use]
            pub fn strategy(self) -> &'static dyn Strategy {
                match self {
                    $(Self::$name => &$module::$name,)+
                }
            }
        }
    };
}

approaches! {
    naive::Naive,
    read_committed::ReadCommitted,
    atomic_returning::AtomicReturning,
    check_constraint::CheckConstraint,
    pessimistic::Pessimistic,
    optimistic_version::OptimisticVersion,
    advisory_lock::AdvisoryLock,
    repeatable_read::RepeatableRead,
    serializable::Serializable,
    stored_function::StoredFunction,
    unique_constraint::UniqueConstraint,
    in_process_mutex::InProcessMutex,
    group_commit::GroupCommit,
}

#[cfg(test)]
mod tests {
    use strum::{IntoEnumIterator as _, VariantNames as _};

    use super::*;

    #[test]
    fn the_metric_index_is_the_position_in_the_list_of_names() {
        for approach in Approach::iter() {
            assert_eq!(Approach::VARIANTS[approach.metric_index().0], approach.name());
        }
    }
}
