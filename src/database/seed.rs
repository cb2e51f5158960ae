//! Seeds: one idempotent SQL file for each scenario, under `seeds/`.

use strum::{Display, EnumString, IntoStaticStr, VariantNames};

/// The data that a scenario starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Display, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum Seed {
    /// User 1 with 10000.
    #[default]
    Withdrawal,
    /// Users 1 to 3 with 1000 each.
    Mixed,
    /// Users 1 (Markov) with 5000, 2 (Curie) with 10000, and 98 more with 1000.
    Transfer,
    /// Users 1 to 1000; event 1 with one seat, event 2 with 100.
    Booking,
    /// Counter 1 at 1.
    Counter,
    /// Users 1 to 1000 with 10^12 each.
    Bench,
}

impl Seed {
    /// The SQL that inserts the rows; running it again changes nothing.
    #[must_use]
    pub fn sql(self) -> &'static str {
        match self {
            Self::Withdrawal => include_str!("../../seeds/withdrawal.sql"),
            Self::Mixed => include_str!("../../seeds/mixed.sql"),
            Self::Transfer => include_str!("../../seeds/transfer.sql"),
            Self::Booking => include_str!("../../seeds/booking.sql"),
            Self::Counter => include_str!("../../seeds/counter.sql"),
            Self::Bench => include_str!("../../seeds/bench.sql"),
        }
    }
}
