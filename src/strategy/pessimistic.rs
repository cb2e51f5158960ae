//! # pessimistic: lock, then look
//!
//! **Idea.** Assume that somebody will interfere, and keep everybody out before looking: SELECT … FOR UPDATE locks
//! the row as it is read, until the transaction ends. What was read stays true until it has been acted on.
//!
//! **Guarantee.** Safe at READ COMMITTED. A second locker waits, and when it gets the row it is given the newest version,
//! not the one its snapshot saw. The decision may be as complicated as it likes, in any language.
//!
//! FOR UPDATE locks what it *found*: if no row matches, nothing is locked, and two clients can both find nothing. It also
//! blocks inserts that refer to the row by a foreign key; FOR NO KEY UPDATE would not.
//!
//! ```text
//!   client A                          client B
//!   begin                             begin
//!   select … for update → 10000
//!                                     select … for update   (waits)
//!   update set balance = 9998
//!   commit                            → 9998
//!                                     update set balance = 9996
//!                                     commit
//! ```
//!
//! **Cost.** Four round trips, and the lock is held during three of them and the commit's write to disk: on a hot row
//! this is the price of a queue. A client that stalls inside its transaction stalls everybody behind it, hence
//! `idle_in_transaction_session_timeout`, and `lock_timeout` for those who wait.
//!
//! **How it fails.** Loudly: by lock timeouts, and by deadlocks when two transactions lock several rows in opposite order.
//! Lock rows in one order (by id). Left out once, in one place of the code, it silently protects nothing: a plain
//! SELECT is not stopped by anybody's lock.

use async_trait::async_trait;

use super::{Card, Claim, Claims, Strategy};
use crate::domain::{Account, BalanceChange, changed_balance};
use crate::error::{Error, Refusal};
use crate::session::Session;
use crate::session::statement::{Isolation, Statement};

const LOCK: Statement = Statement::reads("lock", "select balance, version from users where id = $1 for update");

const WRITE: Statement = Statement::writes(
    "write",
    "update users set balance = $2, version = version + 1 where id = $1 returning balance, version",
);

static CARD: Card = Card {
    aliases: &["transaction-pessimistic-locking", "robust"],
    idea: "SELECT … FOR UPDATE locks the row as it is read; what was read stays true until COMMIT.",
    claims: Claims { balance: Claim::Safe },
    honours_if_match: false,
    statements: &[LOCK, WRITE],
};

/// The approach `pessimistic`; see the [module](self).
pub struct Pessimistic;

#[async_trait]
impl Strategy for Pessimistic {
    fn card(&self) -> &'static Card {
        &CARD
    }

    async fn change_balance(&self, session: &mut Session, change: BalanceChange) -> Result<Account, Error> {
        session.begin(Isolation::ReadCommitted).await?;
        let locked: Account = session.fetch_optional(&LOCK, (change.user,)).await?.ok_or(Refusal::UserNotFound)?;
        let balance = changed_balance(locked.balance, change.amount)?;
        let changed = session.fetch_optional(&WRITE, (change.user, balance)).await?.ok_or(Refusal::UserNotFound)?;
        session.commit().await?;
        Ok(changed)
    }
}
