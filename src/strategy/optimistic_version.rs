//! # optimistic-version: look, then compare-and-set
//!
//! **Idea.** Assume that nobody will interfere, and notice if somebody did. Read the row with its version, decide, and
//! write only `WHERE version = $seen`. If no row was changed, somebody was faster: start again from the read.
//!
//! **Guarantee.** Safe at READ COMMITTED, without a transaction and without a lock across a round trip. The writing
//! UPDATE is a compare-and-set: when it has to wait for another writer, WHERE is evaluated again on the newest
//! version, whose number has changed, and no row matches. The version must be an explicit column that *every* writer
//! raises. `xmin` is 32 bits wide and wraps; a comparison of `ctid` finds the row by its place and skips the
//! re-evaluation. Comparing the balance itself suffers from ABA: 10000 may have been 9998 in between.
//!
//! **Cost.** Two round trips when nobody interferes. On a hot row of n competitors, one wins each round and the others
//! have worked for nothing: `Lab-Attempts` tells how often. Retries are backed off with jitter and bounded.
//!
//! **How it fails.** By giving up (503) when the contention outlasts the deadline; never by a wrong answer.
//!
//! **Across requests.** The version is the `ETag`; a client that read it a minute ago sends it back as `If-Match`,
//! and the change is made to exactly that version or refused with 412, with no retry: the client wanted *that*
//! balance, not the next best one. No lock could be held over that minute.

use async_trait::async_trait;

use super::{Card, Claim, Claims, Strategy};
use crate::domain::{Account, BalanceChange, changed_balance};
use crate::error::{Error, Refusal};
use crate::session::Session;
use crate::session::statement::Statement;

const READ: Statement = Statement::reads("read", "select balance, version from users where id = $1");

const WRITE: Statement = Statement::writes(
    "write",
    "update users set balance = $2, version = version + 1 \
     where id = $1 and version = $3 returning balance, version",
);

static CARD: Card = Card {
    aliases: &[],
    idea: "Read with the version, write only where the version is still the same, start again where it is not.",
    claims: Claims { balance: Claim::Safe },
    honours_if_match: true,
    statements: &[READ, WRITE],
};

/// The approach `optimistic-version`; see the [module](self).
pub struct OptimisticVersion;

#[async_trait]
impl Strategy for OptimisticVersion {
    fn card(&self) -> &'static Card {
        &CARD
    }

    async fn change_balance(&self, session: &mut Session, change: BalanceChange) -> Result<Account, Error> {
        let seen: Account = session.fetch_optional(&READ, (change.user,)).await?.ok_or(Refusal::UserNotFound)?;
        if change.if_version.is_some_and(|wanted| wanted != seen.version) {
            return Err(Refusal::VersionMismatch.into());
        }
        let balance = changed_balance(seen.balance, change.amount)?;
        let written = session.fetch_optional(&WRITE, (change.user, balance, seen.version)).await?;
        match written {
            Some(changed) => Ok(changed),
            None if change.if_version.is_some() => Err(Refusal::VersionMismatch.into()),
            None => Err(Error::Conflict("Too much contention: the version changed each time".into())),
        }
    }
}
