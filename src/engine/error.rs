//! How a finished operation ends if it does not succeed.
//!
//! Every variant is something that a client must be able to tell from the others: the state refused, the change was
//! certainly not made, or its outcome is unknown. A lost race, a constraint and a number out of range are ends of an
//! attempt only ([`AttemptError`]); they become ends of an operation here and nowhere else. [`crate::http`] turns these
//! into statuses in one place.

use std::borrow::Cow;

use domain::Refusal;

use crate::session::AttemptError;
use crate::session::error::KEY_REUSED;

/// The end of an operation that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperationError {
    /// The state refuses the change.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The change was certainly not made: contention, a limit, a timeout before it, no database.
    #[error("{0}")]
    NotDone(Cow<'static, str>),
    /// The change may have been made, because its answer was lost. Only a later read can tell.
    #[error("Outcome unknown")]
    OutcomeUnknown(Cow<'static, str>),
    /// The idempotency key was used for another change before.
    #[error("{}", KEY_REUSED)]
    KeyReused,
    /// The approach does not offer this at all; the text says why.
    #[error("{0}")]
    Unsupported(Cow<'static, str>),
    /// A bug in this program. The text is for the log.
    #[error("Internal error")]
    Bug(Cow<'static, str>),
}

impl OperationError {
    /// The end of an operation whose last attempt ended so. `out_of_range` is the refusal that a number out of range means for
    /// this operation; an operation that computes no number has none.
    pub(super) fn after_last_attempt(error: AttemptError, out_of_range: Option<Refusal>) -> Self {
        match error {
            AttemptError::Refused(refusal) => Self::Refused(refusal),
            // A race that was lost when no attempt was left.
            AttemptError::Conflict(reason) | AttemptError::NotDone(reason) => Self::NotDone(reason),
            AttemptError::LockTimeout => Self::NotDone(error.to_string().into()),
            AttemptError::OutcomeUnknown(reason) => Self::OutcomeUnknown(reason),
            AttemptError::KeyReused => Self::KeyReused,
            AttemptError::Unsupported(reason) => Self::Unsupported(reason),
            AttemptError::Bug(reason) => Self::Bug(reason),
            AttemptError::OutOfRange => {
                out_of_range.map_or_else(|| Self::Bug("a number out of range".into()), Self::Refused)
            }
            AttemptError::Constraint(name) => match &*name {
                // A reset removed the row after the attempt had read it and before it inserted the booking.
                "bookings_event_id_fkey" => Self::Refused(Refusal::EventNotFound),
                "bookings_user_id_fkey" => Self::Refused(Refusal::UserNotFound),
                // The strategy explains every other constraint that it relies on.
                unexplained => Self::Bug(format!("constraint {unexplained} refused").into()),
            },
            // The engine returns the stored answer before it comes here.
            AttemptError::MadeBefore(answer) => {
                Self::Bug(format!("the stored answer {answer} was not returned").into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_that_ends_an_operation_is_explained_or_a_bug() {
        let range = Some(Refusal::BalanceOutOfRange);
        let table = [
            (AttemptError::Refused(Refusal::SoldOut), None, OperationError::Refused(Refusal::SoldOut)),
            (AttemptError::Conflict("Deadlock".into()), None, OperationError::NotDone("Deadlock".into())),
            (AttemptError::NotDone("Lock timeout".into()), None, OperationError::NotDone("Lock timeout".into())),
            (AttemptError::OutcomeUnknown("cut".into()), None, OperationError::OutcomeUnknown("cut".into())),
            (AttemptError::KeyReused, None, OperationError::KeyReused),
            (AttemptError::Unsupported("no".into()), None, OperationError::Unsupported("no".into())),
            (AttemptError::Bug("oops".into()), None, OperationError::Bug("oops".into())),
            (AttemptError::OutOfRange, range, OperationError::Refused(Refusal::BalanceOutOfRange)),
            (AttemptError::OutOfRange, None, OperationError::Bug("a number out of range".into())),
            (
                AttemptError::Constraint("bookings_event_id_fkey".into()),
                None,
                OperationError::Refused(Refusal::EventNotFound),
            ),
            (
                AttemptError::Constraint("bookings_user_id_fkey".into()),
                None,
                OperationError::Refused(Refusal::UserNotFound),
            ),
            (AttemptError::Constraint("other".into()), range, OperationError::Bug("constraint other refused".into())),
        ];
        for (attempt, out_of_range, operation) in table {
            assert_eq!(OperationError::after_last_attempt(attempt.clone(), out_of_range), operation, "{attempt:?}");
        }
    }
}
