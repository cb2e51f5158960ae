//! How one attempt at an operation ends if it does not succeed.
//!
//! An attempt is what a strategy does once: it may lose a race, meet a constraint, or find that its change was made before.
//! A finished operation never ends in one of these: the engine repeats, explains or answers them, and has an error type of
//! its own, [`crate::engine::OperationError`]. SQLSTATE becomes an [`AttemptError`] in one place ([`super::sqlstate`]).

use std::borrow::Cow;

use domain::Refusal;

use crate::database::pool::LeaseError;
use crate::server::admission::AdmissionRefused;

/// What a client reads that used its key for another change.
pub const KEY_REUSED: &str = "Idempotency-Key: this key came with another request; a new request needs a new key";

/// The end of an attempt that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttemptError {
    /// The state refuses the change.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The attempt lost a race and changed nothing; the engine repeats it. The text names the race.
    #[error("{0}")]
    Conflict(Cow<'static, str>),
    /// A constraint of the database refused. Only the strategy that relies on the constraint can say which refusal that is.
    #[error("Constraint {0}")]
    Constraint(Cow<'static, str>),
    /// A number that the database computed does not fit into a bigint. The engine says which refusal that is.
    #[error("Out of range")]
    OutOfRange,
    /// The change was certainly not made: contention, a limit, a timeout before it, no database.
    #[error("{0}")]
    NotDone(Cow<'static, str>),
    /// The change was certainly not made: another session kept a row locked for as long as a statement may wait.
    #[error("Lock timeout")]
    LockTimeout,
    /// The change may have been made, because its answer was lost. Only a later read can tell.
    #[error("Outcome unknown")]
    OutcomeUnknown(Cow<'static, str>),
    /// The change was made before under the same idempotency key. This is its answer in JSON, which the engine returns.
    #[error("Made before")]
    MadeBefore(Box<str>),
    /// The idempotency key was used for another change before.
    #[error("{}", KEY_REUSED)]
    KeyReused,
    /// The approach does not offer this at all; the text says why.
    #[error("{0}")]
    Unsupported(Cow<'static, str>),
    /// A bug in this program: SQL that does not fit the schema, an answer that cannot be. The text is for the log.
    #[error("Internal error")]
    Bug(Cow<'static, str>),
}

impl AttemptError {
    /// Whether one change of a batch may be the reason, so that the others could be made without it.
    #[must_use]
    pub fn may_concern_one_change(&self) -> bool {
        matches!(self, Self::LockTimeout | Self::Constraint(_) | Self::OutOfRange | Self::Bug(_))
    }
}

impl From<LeaseError> for AttemptError {
    fn from(error: LeaseError) -> Self {
        Self::NotDone(error.reason())
    }
}

impl From<AdmissionRefused> for AttemptError {
    fn from(refused: AdmissionRefused) -> Self {
        Self::NotDone(match refused {
            AdmissionRefused::QueueFull => "Too many requests waiting".into(),
            AdmissionRefused::WaitedTooLong => "Waited too long for the row".into(),
        })
    }
}
