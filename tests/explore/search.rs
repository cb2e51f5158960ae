//! The search: in two parts, in another order, after a schedule that does not exist, with three clients, and with one that crashes.

use std::collections::{BTreeMap, BTreeSet};

use concurrency_lab::explore::findings::{CrashKind, Exploration, ExplorationVerdict};
use concurrency_lab::explore::scenario::ExploreScenario;
use concurrency_lab::explore::search::SearchPlan;
use concurrency_lab::explore::test_case::{Crash, TestCase};
use concurrency_lab::strategy::Approach;

use super::fixture::{Explorer, outcomes, reduced, test_case};

/// The number of interleavings of each outcome.
fn counts<'a>(found: impl IntoIterator<Item = &'a Exploration>) -> BTreeMap<&'a [String], u64> {
    let mut counts = BTreeMap::new();
    for outcome in found.into_iter().flat_map(|found| &found.outcomes) {
        *counts.entry(&*outcome.lines).or_default() += outcome.count;
    }
    counts
}

#[tokio::test]
async fn two_parts_of_a_search_run_each_interleaving_once() {
    let mut explorer = Explorer::new().await;
    for (approach, seed) in
        [(Approach::Pessimistic, None), (Approach::Pessimistic, Some(7)), (Approach::ReadCommitted, None)]
    {
        let case = test_case(approach, ExploreScenario::DepositAndWithdrawal, 2);
        let plan = SearchPlan { seed, ..SearchPlan::default() };
        let whole = explorer.explore(approach, &case, plan.clone()).await;
        let first = explorer.explore(approach, &case, SearchPlan { limit: Some(10), ..plan.clone() }).await;
        assert!(first.interleavings == 10 && !first.complete, "{first:?}");
        let second = explorer.explore(approach, &case, SearchPlan { after: first.last.clone(), ..plan.clone() }).await;
        assert_eq!(first.interleavings + second.interleavings, whole.interleavings);
        assert_eq!(counts([&first, &second]), counts([&whole]));
        assert_eq!(second.last, None, "there are no more");
        assert!(whole.complete && !second.complete, "a part is not the whole");
        let parts = if whole.verdict == ExplorationVerdict::Proved {
            ExplorationVerdict::HeldSoFar
        } else {
            ExplorationVerdict::Broken
        };
        assert_eq!((first.verdict, second.verdict), (parts, parts), "{approach}");
    }
}

#[tokio::test]
async fn a_search_cannot_continue_after_a_schedule_that_does_not_exist() {
    let mut explorer = Explorer::new().await;
    let case = test_case(Approach::Pessimistic, ExploreScenario::DepositAndWithdrawal, 2);
    // One is too short, one has an actor that does not exist, and in one B goes while it waits.
    for schedule in ["AAAA", "AAAAx", "AABBBBAA"] {
        let plan = SearchPlan { after: Some(schedule.parse().expect("a schedule")), ..SearchPlan::default() };
        let found = explorer.explore_so_far(Approach::Pessimistic, &case, plan).await;
        assert_eq!((found.interleavings, found.verdict), (0, ExplorationVerdict::Undecided), "{schedule}");
        assert!(found.undecided[0].contains(schedule), "{:?}", found.undecided);
    }
}

#[tokio::test]
async fn a_seed_changes_only_the_order() {
    let mut explorer = Explorer::new().await;
    let case = test_case(Approach::ReadCommitted, ExploreScenario::LastMoney, 2);
    let mut found = Vec::new();
    for seed in [None, Some(1), Some(2), Some(2)] {
        found.push(explorer.interleavings(&case, SearchPlan { permute: true, seed, ..SearchPlan::default() }).await);
    }
    let [plain, first, second, again] = &*found else { panic!("four of them") };
    assert_eq!(second, again, "the same seed gives the same order");
    for (one, other) in [(plain, first), (plain, second), (first, second)] {
        assert_ne!(one, other, "another seed gives another order");
        assert_eq!(
            one.iter().collect::<BTreeSet<_>>(),
            other.iter().collect::<BTreeSet<_>>(),
            "of the same interleavings"
        );
    }
    assert_eq!(plain.iter().collect::<BTreeSet<_>>().len(), plain.len(), "no interleaving is run twice");
}

#[tokio::test]
async fn a_seed_does_not_change_what_a_reduced_search_finds() {
    let mut explorer = Explorer::new().await;
    let case = test_case(Approach::ReadCommitted, ExploreScenario::LastSeat, 2);
    let plain = explorer.explore(Approach::ReadCommitted, &case, reduced()).await;
    for seed in 1..=3 {
        let found =
            explorer.explore(Approach::ReadCommitted, &case, SearchPlan { seed: Some(seed), ..reduced() }).await;
        assert_eq!(outcomes(&found), outcomes(&plain), "{seed}");
    }
}

#[tokio::test]
async fn without_permuting_identical_clients_the_same_outcomes_are_found() {
    let mut explorer = Explorer::new().await;
    let case = test_case(Approach::ReadCommitted, ExploreScenario::MoneyForAll, 2);
    let permuted =
        explorer.explore(Approach::ReadCommitted, &case, SearchPlan { permute: true, ..SearchPlan::default() }).await;
    let found = explorer.explore(Approach::ReadCommitted, &case, SearchPlan::default()).await;
    // The same outcome with the names of the clients exchanged.
    let exchanged = |lines: &[String]| {
        let mut lines = lines.to_vec();
        let (a, b) = (lines[0].replacen('A', "B", 1), lines[1].replacen('B', "A", 1));
        (lines[0], lines[1]) = (b, a);
        lines
    };
    let mut both: BTreeSet<Vec<String>> = outcomes(&found).into_keys().map(<[String]>::to_vec).collect();
    both.extend(outcomes(&found).into_keys().map(exchanged));
    assert_eq!(both, outcomes(&permuted).into_keys().map(<[String]>::to_vec).collect());
    assert!(found.interleavings < permuted.interleavings);
}

#[tokio::test]
async fn a_client_that_crashes_is_not_identical_to_the_others() {
    let crash = Some(Crash { kind: CrashKind::Cut, after: Some(1) });
    let case = TestCase { crash, ..test_case(Approach::Naive, ExploreScenario::Increments, 2) };
    let found = Explorer::new().await.explore(Approach::Naive, &case, SearchPlan::default()).await;
    // A takes one step, and is then cut: before, between or after the two steps of B.
    assert_eq!(found.interleavings, 3);
}

#[tokio::test]
async fn safe_approaches_are_proved_with_three_clients() {
    let mut explorer = Explorer::new().await;
    for (approach, scenario) in [
        (Approach::Pessimistic, ExploreScenario::LastMoney),
        (Approach::Pessimistic, ExploreScenario::SameUser),
        (Approach::AtomicReturning, ExploreScenario::OppositeTransfers),
    ] {
        let found = explorer.explore(approach, &test_case(approach, scenario, 3), reduced()).await;
        assert_eq!(
            (found.verdict, found.deadlocks),
            (ExplorationVerdict::Proved, 0),
            "{approach} {scenario}: {:?}",
            found.witness
        );
    }
}

/// Only the first hundred interleavings. In these, two clients queue behind the one that holds the row.
#[tokio::test]
async fn clients_leave_the_queue_for_a_row_in_their_order() {
    let case = test_case(Approach::OptimisticVersion, ExploreScenario::Increments, 3);
    let plan = SearchPlan { limit: Some(100), ..reduced() };
    let found = Explorer::new().await.explore(Approach::OptimisticVersion, &case, plan).await;
    assert_eq!((found.interleavings, found.verdict), (100, ExplorationVerdict::HeldSoFar), "{:?}", found.witness);
    assert!(found.waited > 0);
}
