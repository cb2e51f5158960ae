//! The approaches: every way of guarding a read-decide-write, each with its own SQL.
//!
//! A strategy is one file of this folder. Its module documentation is the textbook chapter, its consts are the SQL,
//! and each method shows one attempt of the whole protocol. What is not the exhibit is written once elsewhere: the
//! rules ([`crate::domain`]), the retry loop ([`crate::engine`]), what an SQLSTATE means
//! ([`crate::session::sqlstate`]).
//!
//! To add an approach: write its file, and add a line to the list at the end of this one.

use async_trait::async_trait;
use serde::Serialize;
use strum::{Display, EnumIter, EnumString, IntoStaticStr, VariantNames};

use crate::domain::{Account, BalanceChange};
use crate::error::{Error, Refusal};
use crate::session::Session;
use crate::session::statement::Statement;

/// What an approach promises for a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Claim {
    /// Correct under any interleaving, on any number of servers.
    Safe,
    /// Known to be wrong; the lab must be able to show it.
    Broken,
}

/// An approach's promises, by workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// Changes of one user's balance.
    pub balance: Claim,
}

/// What is known about an approach without running it.
#[derive(Debug, Clone, Copy)]
pub struct Card {
    /// Other names that routes and options accept.
    pub aliases: &'static [&'static str],
    /// The idea in one sentence.
    pub idea: &'static str,
    /// The promises.
    pub claims: Claims,
    /// Whether `If-Match` is part of its protocol.
    pub honours_if_match: bool,
    /// Every statement it sends, beside `begin`, `commit` and `rollback`, in protocol order.
    pub statements: &'static [Statement],
}

/// A way of guarding a read-decide-write. Each method is **one attempt**: it may end in [`Error::Conflict`], and the
/// engine then ends the attempt (rolling back) and makes another one.
#[async_trait]
pub trait Strategy: Send + Sync {
    /// What is known about it.
    fn card(&self) -> &'static Card;

    /// Changes a balance, or refuses.
    ///
    /// A refusal or an error may leave by `?` with a transaction open: the engine rolls it back.
    async fn change_balance(&self, session: &mut Session, change: BalanceChange) -> Result<Account, Error>;

    /// Reads a balance. A single statement sees one committed version whatever the approach.
    async fn read_balance(&self, session: &mut Session, user: i64) -> Result<Account, Error> {
        Ok(session.fetch_optional(&READ_BALANCE, (user,)).await?.ok_or(Refusal::UserNotFound)?)
    }
}

/// How every approach reads a balance for `GET`.
pub const READ_BALANCE: Statement =
    Statement::reads("read-balance", "select balance, version from users where id = $1");

impl Approach {
    /// Finds an approach by its name or one of its aliases.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        use strum::IntoEnumIterator as _;
        name.parse().ok().or_else(|| Self::iter().find(|approach| approach.card().aliases.contains(&name)))
    }

    /// The name in routes, options and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// What is known about it.
    #[must_use]
    pub fn card(self) -> &'static Card {
        self.strategy().card()
    }
}

/// The one list: each line makes a module, an [`Approach`] and its strategy.
macro_rules! approaches {
    ($($module:ident :: $name:ident,)+) => {
        $(pub mod $module;)+

        /// The name of an approach; in kebab-case wherever people read or write it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[derive(Display, EnumIter, EnumString, IntoStaticStr, VariantNames)]
        #[strum(serialize_all = "kebab-case")]
        pub enum Approach {
            $(#[doc = concat!("See [`", stringify!($module), "`].")] $name,)+
        }

        impl Approach {
            /// The code that does it.
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
    atomic_returning::AtomicReturning,
    pessimistic::Pessimistic,
    optimistic_version::OptimisticVersion,
    advisory_lock::AdvisoryLock,
}
