//! # advisory-lock: a lock that the application names
//!
//! **Idea.** Lock a *name* instead of a row. `pg_advisory_xact_lock` takes a number that means whatever the
//! application says it means, here "the balance of user n", and holds it until the transaction ends. It can guard
//! things that are not rows: a name that does not exist yet, an external service, a computation.
//!
//! **Guarantee.** Safe at READ COMMITTED, *if* everybody asks for the same lock before looking, and if the lock is a
//! statement of its own. A statement's snapshot is taken before the statement runs: lock and read in one SELECT read what was
//! committed before the lock was waited for. At REPEATABLE READ and above the same mistake happens across statements,
//! because the statement that locks is the first one and fixes the transaction's snapshot.
//!
//! The lock ends with the transaction (`xact`). The session's form, `pg_advisory_lock`, survives ROLLBACK, must be
//! released by hand, after COMMIT and never before, and stays with a pooled connection if its owner stops waiting.
//!
//! **Cost.** Five round trips; the lock is held during four of them and the commit. The lock table in shared memory is bounded
//! (`max_locks_per_transaction` × `max_connections`).
//!
//! **How it fails.** By convention: whoever does not ask is not stopped. Two keys may collide, which only makes
//! strangers wait for each other. Keys live in one namespace for the whole database: `classid` is ours, `objid` the user.

use async_trait::async_trait;

use super::{Card, Claim, Claims, Strategy};
use crate::domain::{Account, BalanceChange, changed_balance};
use crate::error::{Error, Refusal};
use crate::session::Session;
use crate::session::statement::{Isolation, Statement};

/// The `classid` of our locks on users: the letters "clab", so that other users of the database are unlikely to share it.
const USERS: i32 = i32::from_be_bytes(*b"clab");

const LOCK: Statement = Statement::reads("lock", "select pg_advisory_xact_lock($1, $2)");

const READ: Statement = Statement::reads("read", "select balance, version from users where id = $1");

const WRITE: Statement = Statement::writes(
    "write",
    "update users set balance = $2, version = version + 1 where id = $1 returning balance, version",
);

static CARD: Card = Card {
    aliases: &[],
    idea: "pg_advisory_xact_lock on the user's number, in its own statement; then read, decide, write.",
    claims: Claims { balance: Claim::Safe },
    honours_if_match: false,
    statements: &[LOCK, READ, WRITE],
};

/// The approach `advisory-lock`; see the [module](self).
pub struct AdvisoryLock;

#[async_trait]
impl Strategy for AdvisoryLock {
    fn card(&self) -> &'static Card {
        &CARD
    }

    async fn change_balance(&self, session: &mut Session, change: BalanceChange) -> Result<Account, Error> {
        session.begin(Isolation::ReadCommitted).await?;
        session.execute(&LOCK, (USERS, object_id(change.user))).await?;
        let seen: Account = session.fetch_optional(&READ, (change.user,)).await?.ok_or(Refusal::UserNotFound)?;
        let balance = changed_balance(seen.balance, change.amount)?;
        let changed = session.fetch_optional(&WRITE, (change.user, balance)).await?.ok_or(Refusal::UserNotFound)?;
        session.commit().await?;
        Ok(changed)
    }
}

/// The lower 32 bits of an id: users 2^32 apart share a lock, which makes them wait and nothing worse.
#[allow(clippy::cast_possible_truncation, reason = "a collision only over-serialises")]
fn object_id(user: i64) -> i32 {
    user as i32
}
