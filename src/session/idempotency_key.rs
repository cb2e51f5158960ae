//! Exactly once: a change that is made under an idempotency key.
//!
//! A client whose answer was lost cannot know whether its change was made, and asking again may make it twice. So it names
//! the change with a key; the key is stored in the same transaction as the change, with the answer, and whoever comes
//! with that key again gets this answer. (The idea is old; the header is an Internet-Draft,
//! draft-ietf-httpapi-idempotency-key-header.)
//!
//! The session does it around whatever a strategy does, in this order:
//!
//! ```text
//!   begin                                at the strategy's level; READ COMMITTED where it has no transaction of its own
//!   insert … on conflict do nothing      claims the key; waits for another transaction that is claiming the same one
//!   … the strategy's statements …
//!   update … set answer                  stores what is answered
//!   commit                               the key and the change, or neither
//! ```
//!
//! The claim comes before the first look at the data. Of two requests with one key the second waits at the claim; had it
//! looked first, it could have refused for want of the money that the first one took. A claim that finds the key made reads
//! the answer, in a later statement, whose snapshot has it.
//!
//! A key's story ends with its first success. Until then an answer is about one request only: a 503 says that *this* request
//! changed nothing, while another one with the same key may still be under way.
//!
//! A refusal is not stored: it changed nothing, its transaction is rolled back and the claim with it, and the same key simply
//! asks again. Some approaches let a constraint refuse (23514, 23505), which aborts the transaction; the session ends it
//! before the strategy asks for the reason.

use serde::Serialize;
use sqlx::FromRow;
use uuid::Uuid;

use super::statement::{Isolation, Statement};
use super::{Session, Transaction};
use crate::error::Error;
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

/// What a session sends for a key, beside the strategy's own statements.
pub const STATEMENTS: &[Statement] = &[CLAIM, RECALL, STORE];

/// A key, and the change that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The client's name for the change.
    pub key: Uuid,
    /// The change in JSON: the same key must come with the same one.
    pub request: String,
    claim: KeyClaim,
}

/// How far a claim has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyClaim {
    /// Still to be made.
    Due,
    /// The transaction that is open has it.
    Held,
    /// The change was refused; what follows only asks for the reason.
    GivenUp,
}

impl IdempotencyKey {
    /// This change, once under this key.
    ///
    /// # Errors
    /// [`Error::Bug`]: a change that is no JSON.
    pub fn new(key: Uuid, change: &Change) -> Result<Self, Error> {
        Ok(Self { key, request: json(change)?, claim: KeyClaim::Due })
    }
}

/// What is stored with a key.
#[derive(Debug, Clone, FromRow)]
pub struct StoredAnswer {
    /// The change that it was used for.
    pub request: String,
    /// What that was answered.
    pub answer: String,
}

impl StoredAnswer {
    /// What to tell those who come with this request again: never `Ok`, as there is nothing left to do.
    #[must_use]
    pub fn told(self, request: &str) -> Error {
        if self.request == request { Error::MadeBefore(self.answer.into()) } else { Error::KeyReused }
    }
}

/// An answer as it is stored.
///
/// # Errors
/// [`Error::Bug`]: an answer that is no JSON.
pub fn json(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Bug(error.to_string().into()))
}

impl Session {
    /// Makes the session's change at most once under this key, whichever session it is tried in.
    pub fn once(&mut self, once: IdempotencyKey) {
        self.once = Some(once);
    }

    /// Ends an attempt that succeeded: stores its answer if a key wants it, and commits what that has kept open.
    ///
    /// # Errors
    /// As [`Session::commit`].
    pub async fn settle(&mut self, answer: &impl Serialize) -> Result<(), Error> {
        // Boxed where a key is used, so that those who use none do not pay for it.
        if self.once.is_some() { Box::pin(self.store_and_commit(json(answer)?)).await } else { Ok(()) }
    }

    async fn store_and_commit(&mut self, answer: String) -> Result<(), Error> {
        let Some(once) = &self.once else { return Ok(()) };
        if once.claim != KeyClaim::Held {
            return Err(Error::Bug("a change was made without the key that names it".into()));
        }
        let key = once.key;
        if self.send_plainly(&STORE, (key, answer)).await?.is_none() {
            return Err(Error::Bug("a claimed key is gone".into()));
        }
        self.commit_now().await
    }

    /// Whether the transaction that is open has claimed the key.
    pub(super) fn holds_key(&self) -> bool {
        self.once.as_ref().is_some_and(|once| once.claim == KeyClaim::Held)
    }

    /// The claim went with its transaction.
    pub(super) fn give_key_back(&mut self) {
        if let Some(once) = &mut self.once {
            once.claim = KeyClaim::Due;
        }
    }

    /// Claims the key in the transaction that is open, if there is one to claim.
    pub(super) async fn claim_key(&mut self) -> Result<(), Error> {
        match self.once.clone() {
            Some(IdempotencyKey { key, request, claim: KeyClaim::Due }) => Box::pin(self.claim(key, request)).await,
            _ => Ok(()),
        }
    }

    async fn claim(&mut self, key: Uuid, request: String) -> Result<(), Error> {
        if self.send_plainly(&CLAIM, (key, request.clone())).await?.is_some() {
            if let Some(once) = &mut self.once {
                once.claim = KeyClaim::Held;
            }
            return Ok(());
        }
        let row = self.send_plainly(&RECALL, (key,)).await?;
        let stored = row.as_ref().map(StoredAnswer::from_row).transpose();
        match stored.map_err(|error| Error::Bug(error.to_string().into()))? {
            Some(stored) => Err(stored.told(&request)),
            // It expired between the two statements.
            None => Err(Error::Conflict("The key was being forgotten".into())),
        }
    }

    /// Before a statement of the strategy: opens a transaction for the key where the strategy has none, and ends one that an
    /// error has aborted, as that refused the change.
    pub(super) async fn prepare_for_key(&mut self) -> Result<(), Error> {
        if self.once.is_some() { Box::pin(self.open_for_key()).await } else { Ok(()) }
    }

    async fn open_for_key(&mut self) -> Result<(), Error> {
        if self.transaction == Transaction::Aborted {
            self.rollback().await?;
            if let Some(once) = &mut self.once {
                once.claim = KeyClaim::GivenUp;
            }
        }
        let due = self.once.as_ref().is_some_and(|once| once.claim == KeyClaim::Due);
        if due && !self.in_transaction() { self.begin(Isolation::ReadCommitted).await } else { Ok(()) }
    }
}
