//! The reduced search leaves out only equivalent interleavings: it finds the same as the full search, with fewer runs.
//! With two clients, `claims` compares the two for every approach in every scenario.

use std::sync::Arc;

use concurrency_lab::explore::findings::Exploration;
use concurrency_lab::explore::mutation::Mutation;
use concurrency_lab::explore::scenario::ExploreScenario;
use concurrency_lab::explore::search::SearchPlan;
use concurrency_lab::explore::test_case::TestCase;
use concurrency_lab::strategy::Approach;

use super::fixture::{Explorer, outcomes, reduced, test_case};

/// Explores a test case with both searches. Both must find the same.
pub async fn agree(explorer: &mut Explorer, approach: Approach, case: &TestCase) -> (Exploration, Exploration) {
    let full = explorer.explore(approach, case, SearchPlan::default()).await;
    let less = explorer.explore(approach, case, reduced()).await;
    let context = format!("{approach} {} with {} clients on {}", case.scenario, case.clients, case.servers);
    assert!(full.complete && less.complete, "{context}");
    assert_eq!(full.verdict, less.verdict, "{context}");
    assert_eq!(outcomes(&full), outcomes(&less), "{context}");
    assert!(less.interleavings <= full.interleavings, "{context}");
    let seen = |found: &Exploration| (found.waited > 0, found.deadlocks > 0, found.conflicts > 0);
    assert_eq!(seen(&full), seen(&less), "{context}: waits, deadlocks, conflicts");
    (full, less)
}

#[tokio::test]
async fn reduced_and_full_search_agree_with_three_clients() {
    let mut explorer = Explorer::new().await;
    for (approach, scenario) in [
        (Approach::Naive, ExploreScenario::LastMoney),
        (Approach::Naive, ExploreScenario::TransferAndWithdrawal),
        (Approach::CheckConstraint, ExploreScenario::LastSeat),
        (Approach::AtomicReturning, ExploreScenario::TransferAndWithdrawal),
        (Approach::Pessimistic, ExploreScenario::MoneyForAll),
        (Approach::InProcessMutex, ExploreScenario::OppositeTransfers),
    ] {
        agree(&mut explorer, approach, &test_case(approach, scenario, 3)).await;
    }
}

/// The victim of a deadlock is the same in every replay. Its transaction begins again, and may meet the other one again.
#[tokio::test]
async fn reduced_and_full_search_agree_with_deadlocks() {
    let mut explorer = Explorer::new().await;
    for (text, by, scenario) in [
        ("for update", "for share", ExploreScenario::LastMoney),
        (" for update", "", ExploreScenario::OppositeTransfers),
    ] {
        let case = test_case(Approach::Pessimistic, scenario, 2);
        let mutation = Mutation::new(case.strategy, text, by).expect("a text of the approach");
        let case = TestCase { mutation: Some(Arc::new(mutation)), ..case };
        agree(&mut explorer, Approach::Pessimistic, &case).await;
    }
}

/// Many interleavings of transactions that read before they write are equivalent.
#[tokio::test]
async fn the_reduced_search_leaves_most_interleavings_out() {
    let mut explorer = Explorer::new().await;
    for (approach, scenario, at_least) in [
        (Approach::ReadCommitted, ExploreScenario::OppositeTransfers, 10),
        (Approach::Serializable, ExploreScenario::DepositAndWithdrawal, 2),
    ] {
        let (full, less) = agree(&mut explorer, approach, &test_case(approach, scenario, 2)).await;
        let (full, less) = (full.interleavings, less.interleavings);
        assert!(less * at_least <= full, "{approach} {scenario}: {less} of {full}");
    }
}
