//! One error for everything that can happen to an operation.
//!
//! The variants are what a client must be able to tell apart: the state refused ([`Refusal`]), the attempt lost
//! a race and may be repeated, the change was *certainly not* made, or nobody knows. SQLSTATE becomes an
//! [`Error`] in one place ([`crate::session::sqlstate`]), an [`Error`] becomes HTTP in one place
//! ([`crate::http`]).

use std::borrow::Cow;

use domain::Refusal;

/// The end of an operation that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The state refuses the change.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The attempt lost a race and changed nothing; the engine repeats it. The text names the race.
    #[error("{0}")]
    Conflict(Cow<'static, str>),
    /// A constraint of the database refused: an outcome, which only the strategy that asked for it can name.
    #[error("Constraint {0}")]
    Constraint(Cow<'static, str>),
    /// A number that the database computed does not fit into a bigint; the engine says of what.
    #[error("Out of range")]
    OutOfRange,
    /// The change was certainly not made: contention, a limit, a timeout before it, no database.
    #[error("{0}")]
    NotDone(Cow<'static, str>),
    /// The change may have been made: its answer was lost. Only a later read can tell.
    #[error("Outcome unknown")]
    OutcomeUnknown(Cow<'static, str>),
    /// Not an end: the change was made before under the same idempotency key, and this is its answer in JSON. The engine
    /// answers with it.
    #[error("Made before")]
    MadeBefore(Box<str>),
    /// The idempotency key came with another request before.
    #[error("Idempotency-Key: this key came with another request; a new request needs a new key")]
    KeyReused,
    /// This approach cannot do this at all; the text says why.
    #[error("{0}")]
    Unsupported(Cow<'static, str>),
    /// A fault of ours: SQL that does not fit the schema, an answer that cannot be.
    #[error("Internal error")]
    Bug(Cow<'static, str>),
}
