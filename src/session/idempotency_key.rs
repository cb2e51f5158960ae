//! Exactly once: a change that is made under an idempotency key.
//!
//! A client that did not get the answer cannot know whether its change was made, and a second request may make it twice. So
//! the client names the change with a key. The key is stored in the same transaction as the change, together with the
//! answer, and a later request with the same key gets that answer. (The header is an Internet-Draft,
//! draft-ietf-httpapi-idempotency-key-header.)
//!
//! The session adds this around the strategy's statements, in this order:
//!
//! ```text
//!   begin                                at the strategy's level; READ COMMITTED if it has no transaction of its own
//!   insert … on conflict do nothing      claims the key; waits for another transaction that is claiming the same key
//!   … the strategy's statements …
//!   update … set answer                  stores the answer
//!   commit                               the key and the change, or neither
//! ```
//!
//! The claim comes before the first read of the data. Of two requests with one key the second waits at the claim; if it read
//! first, it could be refused for want of the money that the first one took. A claim that finds the key reads the stored
//! answer in a later statement, whose snapshot contains it.
//!
//! The first success is the last: from then on the stored answer is returned. Until then an answer is about one request only.
//! A 503 says that *this* request changed nothing, while another request with the same key may still be in progress.
//!
//! A refusal is not stored. It changed nothing, its transaction is rolled back and the claim with it, so the same key may be
//! used again. Some approaches let a constraint refuse (23514, 23505), which aborts the transaction; the session then ends it
//! before the strategy asks for the reason.

use serde::Serialize;
use sqlx::FromRow as _;
use uuid::Uuid;

use super::statement::{Isolation, Statement};
use super::{AttemptError, Session, Transaction};
use domain::state::Change;

/// Claims a key for a request.
const CLAIM: Statement = Statement::writes(
    "claim-key",
    "insert into idempotency_keys (key, request) values ($1, $2) on conflict do nothing returning key",
);

/// Reads what was stored with a key.
const RECALL: Statement =
    Statement::reads("recall-answer", "select request, answer from idempotency_keys where key = $1");

/// Stores the answer with a claimed key.
const STORE: Statement =
    Statement::writes("store-answer", "update idempotency_keys set answer = $2 where key = $1 returning key");

/// The statements that a session sends for a key, beside the strategy's own.
pub const STATEMENTS: &[Statement] = &[CLAIM, RECALL, STORE];

/// A key, and the change that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The client's name for the change.
    pub id: Uuid,
    /// The change in JSON: the same key must come with the same one.
    pub request: String,
    claim: KeyClaim,
}

/// The state of a key's claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyClaim {
    /// The key is still to be claimed.
    Due,
    /// The open transaction has claimed it.
    Held,
    /// The change was refused; the statements that follow only ask for the reason.
    GivenUp,
}

impl IdempotencyKey {
    /// The key of this change.
    ///
    /// # Errors
    /// [`AttemptError::Bug`]: the change cannot be written as JSON.
    pub fn new(id: Uuid, change: &Change) -> Result<Self, AttemptError> {
        Ok(Self { id, request: json(change)?, claim: KeyClaim::Due })
    }
}

/// What is stored with a key.
#[derive(Debug, Clone)]
pub struct StoredAnswer {
    /// The change that the key was used for.
    pub request: String,
    /// The answer to that change.
    pub answer: String,
}

domain::from_row!(StoredAnswer: request, answer);

impl StoredAnswer {
    /// How the attempt at this request ends, now that an answer is stored under its key. It is never a success, because
    /// there is nothing left to do.
    #[must_use]
    pub fn end_of_attempt(self, request: &str) -> AttemptError {
        if self.request == request { AttemptError::MadeBefore(self.answer.into()) } else { AttemptError::KeyReused }
    }
}

/// The JSON that is stored with a key.
///
/// # Errors
/// [`AttemptError::Bug`]: the answer cannot be written as JSON.
pub fn json(value: &impl Serialize) -> Result<String, AttemptError> {
    serde_json::to_string(value).map_err(|error| AttemptError::Bug(error.to_string().into()))
}

impl Session {
    /// Makes the session's change at most once under this key, in whichever session it is tried.
    pub fn use_key(&mut self, key: IdempotencyKey) {
        self.key = Some(key);
    }

    /// Ends an attempt that succeeded: with a key, stores the answer and commits the transaction that was kept open for it.
    ///
    /// # Errors
    /// As [`Session::commit`].
    pub async fn complete_attempt(&mut self, answer: &impl Serialize) -> Result<(), AttemptError> {
        // Boxed, so that requests without a key do not pay for it.
        if self.key.is_some() { Box::pin(self.store_and_commit(json(answer)?)).await } else { Ok(()) }
    }

    async fn store_and_commit(&mut self, answer: String) -> Result<(), AttemptError> {
        let Some(IdempotencyKey { id, claim, .. }) = &self.key else { return Ok(()) };
        if *claim != KeyClaim::Held {
            return Err(AttemptError::Bug("a change was made without claiming its idempotency key".into()));
        }
        let id = *id;
        if self.send_without_key(&STORE, (id, answer)).await?.is_none() {
            return Err(AttemptError::Bug("a claimed idempotency key is gone".into()));
        }
        self.commit_now().await
    }

    /// Whether the open transaction has claimed the key.
    pub(super) fn holds_key(&self) -> bool {
        self.key.as_ref().is_some_and(|key| key.claim == KeyClaim::Held)
    }

    /// Marks the key as not claimed: its transaction was rolled back.
    pub(super) fn return_key(&mut self) {
        if let Some(key) = &mut self.key {
            key.claim = KeyClaim::Due;
        }
    }

    /// Claims the key in the open transaction, if the session has a key that is not claimed yet.
    pub(super) async fn claim_key(&mut self) -> Result<(), AttemptError> {
        match self.key.clone() {
            Some(IdempotencyKey { id, request, claim: KeyClaim::Due }) => Box::pin(self.claim(id, request)).await,
            _ => Ok(()),
        }
    }

    async fn claim(&mut self, id: Uuid, request: String) -> Result<(), AttemptError> {
        if self.send_without_key(&CLAIM, (id, request.clone())).await?.is_some() {
            if let Some(key) = &mut self.key {
                key.claim = KeyClaim::Held;
            }
            return Ok(());
        }
        let row = self.send_without_key(&RECALL, (id,)).await?;
        let stored = row.as_ref().map(StoredAnswer::from_row).transpose();
        match stored.map_err(|error| AttemptError::Bug(error.to_string().into()))? {
            Some(stored) => Err(stored.end_of_attempt(&request)),
            // The key expired between the two statements.
            None => Err(AttemptError::Conflict("The key was being forgotten".into())),
        }
    }

    /// Called before each statement of the strategy: opens a transaction for the key if the strategy has none, and ends a
    /// transaction that a constraint has aborted, because that refused the change.
    pub(super) async fn prepare_for_key(&mut self) -> Result<(), AttemptError> {
        if self.key.is_some() { Box::pin(self.open_for_key()).await } else { Ok(()) }
    }

    async fn open_for_key(&mut self) -> Result<(), AttemptError> {
        if self.transaction == Transaction::Aborted {
            self.rollback().await?;
            if let Some(key) = &mut self.key {
                key.claim = KeyClaim::GivenUp;
            }
        }
        let due = self.key.as_ref().is_some_and(|key| key.claim == KeyClaim::Due);
        if due && !self.in_transaction() { self.begin(Isolation::ReadCommitted).await } else { Ok(()) }
    }
}
