//! Why the state refuses a change.

use strum::{EnumIter, IntoStaticStr};

/// Why the state refuses a change. Nothing was changed; the same request may succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, EnumIter, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Refusal {
    /// There is no such user.
    #[error("User not found")]
    UserNotFound,
    /// There is no such event.
    #[error("Event not found")]
    EventNotFound,
    /// There is no such booking.
    #[error("Booking not found")]
    BookingNotFound,
    /// There is no such counter.
    #[error("Counter not found")]
    CounterNotFound,
    /// `If-Match` names another version than the row has.
    #[error("Version does not match")]
    VersionMismatch,
    /// The user already has a booking for this event.
    #[error("Already booked")]
    AlreadyBooked,
    /// Every seat is taken.
    #[error("Sold out")]
    SoldOut,
    /// The balance would fall below 0.
    #[error("Insufficient funds")]
    InsufficientFunds,
    /// The balance would not fit into a bigint.
    #[error("Balance out of range")]
    BalanceOutOfRange,
    /// The counter would not fit into a bigint.
    #[error("Counter out of range")]
    CounterOutOfRange,
}
