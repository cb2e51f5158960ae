//! # atomic-returning: one guarded UPDATE
//!
//! **Idea.** Do not read at all. Let one statement check, change and tell: the guard stands in WHERE, the change is
//! relative, the answer comes from RETURNING. There is no gap to race in.
//!
//! **Guarantee.** Safe at READ COMMITTED, PostgreSQL's default. An UPDATE locks the row that it found. If it had to wait
//! for another writer, it evaluates WHERE again on the newest version before it writes (the manual calls it
//! re-checking the search condition, the source code `EvalPlanQual`); so the guard always holds for the version that is
//! changed. No row returned means that nothing was changed.
//!
//! What is re-evaluated is the locked row only. A subquery in the same WHERE keeps the statement's old snapshot,
//! and rows that only *newly* match are missed: a withdrawal that found too little money is refused at once, even
//! if a deposit is about to commit. That refusal is true: at that moment the money was not there.
//!
//! **Cost.** One round trip for a change, and the lock is held for one statement and its commit, the shortest time of
//! all. A refusal costs a second statement, to tell an unknown user from a poor one.
//!
//! **How it fails.** By not fitting: it can guard only what one statement can see. As soon as the decision needs other
//! rows, or the application's own code, it is another approach's turn. Written with an absolute value
//! (`set balance = $2`) it would be naive again.
//!
//! The sum may exceed a bigint before the guard is asked (22003): the engine answers "Balance out of range".

use async_trait::async_trait;

use super::{Card, Claim, Claims, Strategy};
use crate::domain::{Account, BalanceChange};
use crate::error::{Error, Refusal};
use crate::session::Session;
use crate::session::statement::Statement;

const CHANGE: Statement = Statement::writes(
    "change",
    "update users set balance = balance + $2, version = version + 1 \
     where id = $1 and balance + $2 >= 0 returning balance, version",
);

const EXISTS: Statement = Statement::reads("exists", "select balance, version from users where id = $1");

static CARD: Card = Card {
    aliases: &["self"],
    idea: "One UPDATE checks, changes and tells: the guard in WHERE, a relative change, RETURNING for the answer.",
    claims: Claims { balance: Claim::Safe },
    honours_if_match: false,
    statements: &[CHANGE, EXISTS],
};

/// The approach `atomic-returning`; see the [module](self).
pub struct AtomicReturning;

#[async_trait]
impl Strategy for AtomicReturning {
    fn card(&self) -> &'static Card {
        &CARD
    }

    async fn change_balance(&self, session: &mut Session, change: BalanceChange) -> Result<Account, Error> {
        if let Some(changed) = session.fetch_optional(&CHANGE, (change.user, change.amount)).await? {
            return Ok(changed);
        }
        // Nothing was changed; this only finds out why.
        let found: Option<Account> = session.fetch_optional(&EXISTS, (change.user,)).await?;
        Err(found.map_or(Refusal::UserNotFound, |_| Refusal::InsufficientFunds).into())
    }
}
