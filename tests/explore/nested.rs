//! What is a single statement leaves the explorer nothing to interleave: no other statement comes between its parts. Within a larger
//! transaction it does: the statement waits in its midst for a row that another one has changed, and goes on from there with what it
//! has read before. So that is where the approaches of a single statement are put to the test.

use async_trait::async_trait;
use concurrency_lab::domain::{Account, BalanceChange, Booked, Booking, Counter, Increment, Transfer, Transferred};
use concurrency_lab::error::Error;
use concurrency_lab::explore::findings::Verdict;
use concurrency_lab::explore::play::Piece;
use concurrency_lab::explore::scenario::Scenario;
use concurrency_lab::session::Session;
use concurrency_lab::session::statement::Isolation;
use concurrency_lab::strategy::{Approach, Card, Strategy};
use strum::IntoEnumIterator;

use crate::stage::{Stage, piece, reduced};

/// An approach whose statements are no transactions by themselves, within one.
struct InATransaction(&'static dyn Strategy);

/// An approach within a transaction, in a scenario.
pub fn nested(approach: Approach, scenario: Scenario, clients: u8) -> Piece {
    // Kept until the test ends, as every strategy is.
    let strategy = Box::leak(Box::new(InATransaction(approach.strategy())));
    Piece { strategy, ..piece(approach, scenario, clients) }
}

#[async_trait]
impl Strategy for InATransaction {
    fn card(&self) -> &'static Card {
        self.0.card()
    }

    async fn change_balance(&self, session: &mut Session, change: BalanceChange) -> Result<Account, Error> {
        session.begin(Isolation::ReadCommitted).await?;
        let changed = self.0.change_balance(session, change).await?;
        session.commit().await?;
        Ok(changed)
    }

    async fn transfer(&self, session: &mut Session, transfer: Transfer) -> Result<Transferred, Error> {
        session.begin(Isolation::ReadCommitted).await?;
        let transferred = self.0.transfer(session, transfer).await?;
        session.commit().await?;
        Ok(transferred)
    }

    async fn book(&self, session: &mut Session, booking: Booking) -> Result<Booked, Error> {
        session.begin(Isolation::ReadCommitted).await?;
        let booked = self.0.book(session, booking).await?;
        session.commit().await?;
        Ok(booked)
    }

    async fn increment(&self, session: &mut Session, increment: Increment) -> Result<Counter, Error> {
        session.begin(Isolation::ReadCommitted).await?;
        let counted = self.0.increment(session, increment).await?;
        session.commit().await?;
        Ok(counted)
    }
}

async fn hold_in_a_transaction(approach: Approach, scenarios: impl IntoIterator<Item = Scenario>) {
    let mut stage = Stage::new().await;
    for scenario in scenarios {
        let found = stage.explore(approach, &nested(approach, scenario, 2), reduced()).await;
        assert_eq!(found.verdict, Verdict::Proved, "{approach} {scenario}: {:?}", found.witness);
        assert!(found.waited > 0, "{approach} {scenario}: nobody ever waits in a statement");
        assert_eq!(found.deadlocks, 0, "{approach} {scenario}");
    }
}

#[tokio::test]
async fn atomic_returning_holds() {
    hold_in_a_transaction(Approach::AtomicReturning, Scenario::iter()).await;
}

#[tokio::test]
async fn stored_functions_hold() {
    hold_in_a_transaction(Approach::StoredFunction, Scenario::iter()).await;
}

/// Not where the refusal is an error of the database and a second statement asks for the reason: the error has aborted the
/// transaction by then.
#[tokio::test]
async fn check_constraints_hold() {
    use Scenario::{DepositAndWithdrawal, LastMoney, MoneyForAll, OppositeTransfers, SameUser};
    let scenarios = [LastMoney, MoneyForAll, DepositAndWithdrawal, OppositeTransfers, SameUser];
    hold_in_a_transaction(Approach::CheckConstraint, scenarios).await;
}
