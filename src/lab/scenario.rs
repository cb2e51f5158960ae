//! What is sent, and to which data.

use strum::{Display, EnumString, VariantNames};

use crate::database::seed::Seed;

/// A workload with its seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum Scenario {
    /// Many withdrawals from one user, more than there is money for.
    Withdrawal,
}

impl Scenario {
    /// The data it starts from.
    #[must_use]
    pub fn seed(self) -> Seed {
        match self {
            Self::Withdrawal => Seed::Withdrawal,
        }
    }
}
