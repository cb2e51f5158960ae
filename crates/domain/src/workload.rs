//! What operations contend for.

use strum::{Display, EnumCount, EnumIter, IntoStaticStr};

/// What is contended for.
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
