//! The isolation levels of PostgreSQL.

use strum::{Display, EnumIter, EnumString, IntoStaticStr, VariantNames};

/// The isolation level of a transaction. It is always named, because the default differs between databases and may be
/// changed by an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumIter, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum Isolation {
    /// Each statement sees what was committed before the statement began.
    ReadCommitted,
    /// Every statement sees what was committed before the first one; the second writer of a row gets 40001.
    RepeatableRead,
    /// As if the transactions had run one after the other. A transaction that does not fit gets 40001, at COMMIT too.
    Serializable,
}

impl Isolation {
    /// PostgreSQL's name for it.
    #[must_use]
    pub const fn sql(self) -> &'static str {
        match self {
            Self::ReadCommitted => "read committed",
            Self::RepeatableRead => "repeatable read",
            Self::Serializable => "serializable",
        }
    }
}
