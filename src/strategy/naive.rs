//! # naive: read, decide, write
//!
//! **Idea.** Read the balance, compute the new one in the application, write it. It is what everybody writes first,
//! and every test that runs one request at a time is green.
//!
//! **Guarantee.** None. Between the read and the write anybody may write, and the second writer overwrites the first
//! with a value that never heard of it: a *lost update*.
//!
//! ```text
//!   client A                          client B
//!   select → 10000
//!                                     select → 10000
//!   update set balance = 9998
//!                                     update set balance = 9998   ← A's withdrawal is lost
//! ```
//!
//! Both are told "9998". Two withdrawals of 2 were paid out and the account shows one: with 10000 requests, far more
//! than the 5000 that there is money for are accepted. The two equal answers are how the loss can be seen with the
//! naked eye in `responses.log`.
//!
//! **Cost.** Two statements, no transaction: cheap, and worth nothing.
//!
//! **How it fails under load.** Only if two requests overlap. With no gap between read and write it may pass a
//! load test by luck; a think time widens the gap, and an enumeration of the interleavings needs no luck.
//! The CHECK constraint on the table (balance ≥ 0) does not help: no written value is negative, there are just too
//! few of them.

use async_trait::async_trait;

use super::{Card, Claim, Claims, Strategy};
use crate::domain::{Account, BalanceChange, changed_balance};
use crate::error::{Error, Refusal};
use crate::session::Session;
use crate::session::statement::Statement;

const READ: Statement = Statement::reads("read", "select balance, version from users where id = $1");

const WRITE: Statement = Statement::writes(
    "write",
    "update users set balance = $2, version = version + 1 where id = $1 returning balance, version",
);

static CARD: Card = Card {
    aliases: &[],
    idea: "Read the balance, decide in the application, write the new value: no transaction, no lock.",
    claims: Claims { balance: Claim::Broken },
    honours_if_match: false,
    statements: &[READ, WRITE],
};

/// The approach `naive`; see the [module](self).
pub struct Naive;

#[async_trait]
impl Strategy for Naive {
    fn card(&self) -> &'static Card {
        &CARD
    }

    async fn change_balance(&self, session: &mut Session, change: BalanceChange) -> Result<Account, Error> {
        let seen: Account = session.fetch_optional(&READ, (change.user,)).await?.ok_or(Refusal::UserNotFound)?;
        let balance = changed_balance(seen.balance, change.amount)?;
        // Whatever was committed since the read is overwritten here.
        Ok(session.fetch_optional(&WRITE, (change.user, balance)).await?.ok_or(Refusal::UserNotFound)?)
    }
}
