//! What the reduced search leaves out is really equivalent to what it runs: it finds the same as the full one, sooner.
//! With two clients, `claims` compares the two for every approach in every scenario.

use std::sync::Arc;

use concurrency_lab::explore::execution::TestCase;
use concurrency_lab::explore::findings::Exploration;
use concurrency_lab::explore::mutation::Mutation;
use concurrency_lab::explore::scenario::ExploreScenario;
use concurrency_lab::explore::search::SearchPlan;
use concurrency_lab::strategy::Approach;

use super::stage::{Stage, outcomes, piece, reduced};

/// Explores a piece in full and reduced. Both must find the same.
pub async fn agree(stage: &mut Stage, approach: Approach, piece: &TestCase) -> (Exploration, Exploration) {
    let full = stage.explore(approach, piece, SearchPlan::default()).await;
    let less = stage.explore(approach, piece, reduced()).await;
    let told = format!("{approach} {} with {} clients on {}", piece.scenario, piece.clients, piece.servers);
    assert!(full.complete && less.complete, "{told}");
    assert_eq!(full.verdict, less.verdict, "{told}");
    assert_eq!(outcomes(&full), outcomes(&less), "{told}");
    assert!(less.interleavings <= full.interleavings, "{told}");
    let seen = |found: &Exploration| (found.waited > 0, found.deadlocks > 0, found.conflicts > 0);
    assert_eq!(seen(&full), seen(&less), "{told}: waits, deadlocks, conflicts");
    (full, less)
}

#[tokio::test]
async fn with_three_clients_as_well() {
    let mut stage = Stage::new().await;
    for (approach, scenario) in [
        (Approach::Naive, ExploreScenario::LastMoney),
        (Approach::Naive, ExploreScenario::TransferAndWithdrawal),
        (Approach::CheckConstraint, ExploreScenario::LastSeat),
        (Approach::AtomicReturning, ExploreScenario::TransferAndWithdrawal),
        (Approach::Pessimistic, ExploreScenario::MoneyForAll),
        (Approach::InProcessMutex, ExploreScenario::OppositeTransfers),
    ] {
        agree(&mut stage, approach, &piece(approach, scenario, 3)).await;
    }
}

/// Who is ended by a deadlock is the same in every replay; its transaction begins again, and may meet the other once more.
#[tokio::test]
async fn with_deadlocks_as_well() {
    let mut stage = Stage::new().await;
    for (text, by, scenario) in [
        ("for update", "for share", ExploreScenario::LastMoney),
        (" for update", "", ExploreScenario::OppositeTransfers),
    ] {
        let piece = piece(Approach::Pessimistic, scenario, 2);
        let amend = Mutation::new(piece.strategy, text, by).expect("a text of the approach");
        let piece = TestCase { amend: Some(Arc::new(amend)), ..piece };
        agree(&mut stage, Approach::Pessimistic, &piece).await;
    }
}

/// It pays: a transaction that reads before it writes has far fewer interleavings than it seems.
#[tokio::test]
async fn it_leaves_most_of_them_out() {
    let mut stage = Stage::new().await;
    for (approach, scenario, at_least) in [
        (Approach::ReadCommitted, ExploreScenario::OppositeTransfers, 10),
        (Approach::Serializable, ExploreScenario::DepositAndWithdrawal, 2),
    ] {
        let (full, less) = agree(&mut stage, approach, &piece(approach, scenario, 2)).await;
        let (full, less) = (full.interleavings, less.interleavings);
        assert!(less * at_least <= full, "{approach} {scenario}: {less} of {full}");
    }
}
