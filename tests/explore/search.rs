//! The search: in parts, in another order, from a place that does not exist, with three clients, and with one that is not like the others.

use std::collections::{BTreeMap, BTreeSet};

use concurrency_lab::explore::crash::Crash;
use concurrency_lab::explore::execution::TestCase;
use concurrency_lab::explore::findings::{CrashKind, Exploration, ExplorationVerdict};
use concurrency_lab::explore::scenario::ExploreScenario;
use concurrency_lab::explore::search::SearchPlan;
use concurrency_lab::strategy::Approach;

use super::stage::{Stage, outcomes, piece, reduced};

/// How often each outcome came.
fn counts<'a>(found: impl IntoIterator<Item = &'a Exploration>) -> BTreeMap<&'a [String], u64> {
    let mut counts = BTreeMap::new();
    for outcome in found.into_iter().flat_map(|found| &found.outcomes) {
        *counts.entry(&*outcome.lines).or_default() += outcome.count;
    }
    counts
}

#[tokio::test]
async fn what_is_explored_in_two_parts_is_explored_once() {
    let mut stage = Stage::new().await;
    for (approach, seed) in
        [(Approach::Pessimistic, None), (Approach::Pessimistic, Some(7)), (Approach::ReadCommitted, None)]
    {
        let piece = piece(approach, ExploreScenario::DepositAndWithdrawal, 2);
        let plan = SearchPlan { seed, ..SearchPlan::default() };
        let whole = stage.explore(approach, &piece, plan.clone()).await;
        let first = stage.explore(approach, &piece, SearchPlan { limit: Some(10), ..plan.clone() }).await;
        assert!(first.interleavings == 10 && !first.complete, "{first:?}");
        let second = stage.explore(approach, &piece, SearchPlan { after: first.last.clone(), ..plan.clone() }).await;
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
async fn there_is_no_way_on_from_where_nobody_has_been() {
    let mut stage = Stage::new().await;
    let piece = piece(Approach::Pessimistic, ExploreScenario::DepositAndWithdrawal, 2);
    // Too short, nobody's, and one in which B steps while it waits.
    for schedule in ["AAAA", "AAAAx", "AABBBBAA"] {
        let plan = SearchPlan { after: Some(schedule.parse().expect("a schedule")), ..SearchPlan::default() };
        let found = stage.explore_so_far(Approach::Pessimistic, &piece, plan).await;
        assert_eq!((found.interleavings, found.verdict), (0, ExplorationVerdict::Undecided), "{schedule}");
        assert!(found.undecided[0].contains(schedule), "{:?}", found.undecided);
    }
}

#[tokio::test]
async fn a_seed_changes_the_order_and_nothing_else() {
    let mut stage = Stage::new().await;
    let piece = piece(Approach::ReadCommitted, ExploreScenario::LastMoney, 2);
    let mut found = Vec::new();
    for seed in [None, Some(1), Some(2), Some(2)] {
        found.push(stage.interleavings(&piece, SearchPlan { permute: true, seed, ..SearchPlan::default() }).await);
    }
    let [plain, first, second, again] = &*found else { panic!("four of them") };
    assert_eq!(second, again, "the same seed, the same order");
    for (one, other) in [(plain, first), (plain, second), (first, second)] {
        assert_ne!(one, other, "another order");
        assert_eq!(one.iter().collect::<BTreeSet<_>>(), other.iter().collect::<BTreeSet<_>>(), "of the same");
    }
    assert_eq!(plain.iter().collect::<BTreeSet<_>>().len(), plain.len(), "none comes twice");
}

#[tokio::test]
async fn a_seed_does_not_change_what_a_reduced_search_finds() {
    let mut stage = Stage::new().await;
    let piece = piece(Approach::ReadCommitted, ExploreScenario::LastSeat, 2);
    let plain = stage.explore(Approach::ReadCommitted, &piece, reduced()).await;
    for seed in 1..=3 {
        let found = stage.explore(Approach::ReadCommitted, &piece, SearchPlan { seed: Some(seed), ..reduced() }).await;
        assert_eq!(outcomes(&found), outcomes(&plain), "{seed}");
    }
}

#[tokio::test]
async fn identical_clients_are_not_permuted_and_nothing_is_missed() {
    let mut stage = Stage::new().await;
    let piece = piece(Approach::ReadCommitted, ExploreScenario::MoneyForAll, 2);
    let permuted =
        stage.explore(Approach::ReadCommitted, &piece, SearchPlan { permute: true, ..SearchPlan::default() }).await;
    let found = stage.explore(Approach::ReadCommitted, &piece, SearchPlan::default()).await;
    // Whoever is who: A's line and B's change places.
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
async fn the_victim_of_a_crash_is_not_like_the_others() {
    let crash = Some(Crash { kind: CrashKind::Cut, after: Some(1) });
    let piece = TestCase { crash, ..piece(Approach::Naive, ExploreScenario::Increments, 2) };
    let found = Stage::new().await.explore(Approach::Naive, &piece, SearchPlan::default()).await;
    // One step of A, which is then cut, before, between or after two of B.
    assert_eq!(found.interleavings, 3);
}

#[tokio::test]
async fn three_clients_are_proved_too() {
    let mut stage = Stage::new().await;
    for (approach, scenario) in [
        (Approach::Pessimistic, ExploreScenario::LastMoney),
        (Approach::Pessimistic, ExploreScenario::SameUser),
        (Approach::AtomicReturning, ExploreScenario::OppositeTransfers),
    ] {
        let found = stage.explore(approach, &piece(approach, scenario, 3), reduced()).await;
        assert_eq!(
            (found.verdict, found.deadlocks),
            (ExplorationVerdict::Proved, 0),
            "{approach} {scenario}: {:?}",
            found.witness
        );
    }
}

/// The first hundred of very many: in these, two queue behind the one who is ahead.
#[tokio::test]
async fn whoever_queues_for_a_row_comes_back_in_turn() {
    let piece = piece(Approach::OptimisticVersion, ExploreScenario::Increments, 3);
    let plan = SearchPlan { limit: Some(100), ..reduced() };
    let found = Stage::new().await.explore(Approach::OptimisticVersion, &piece, plan).await;
    assert_eq!((found.interleavings, found.verdict), (100, ExplorationVerdict::HeldSoFar), "{:?}", found.witness);
    assert!(found.waited > 0);
}
