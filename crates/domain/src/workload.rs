//! The kinds of rows that operations contend for.

use strum::{Display, EnumCount, EnumIter, IntoStaticStr};

/// A kind of row that operations contend for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumCount, EnumIter, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Workload {
    /// One user's balance.
    Balance,
    /// Two users' balances at once.
    Transfer,
    /// Seats of an event.
    Booking,
    /// A counter.
    Counter,
}
