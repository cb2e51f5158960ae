//! Crash points: a change is whole or absent if its connection is cut or its client hangs up.

use concurrency_lab::explore::catalog::{subject, test_cases};
use concurrency_lab::explore::crash;
use concurrency_lab::explore::explorer_database::ExplorerDatabase;
use concurrency_lab::explore::findings::{CrashKind, Exploration, ExplorationVerdict};
use concurrency_lab::explore::scenario::ExploreScenario;
use concurrency_lab::explore::search::SearchPlan;
use concurrency_lab::explore::test_case::Crash;
use concurrency_lab::strategy::{Approach, Claim};
use strum::IntoEnumIterator as _;

use super::fixture::explorer_database;
use crate::common;

/// Explores an approach on one server. The first client crashes after each of its statements in turn.
async fn explore_crashes(
    database: &mut ExplorerDatabase,
    approach: Approach,
    scenario: ExploreScenario,
    kind: CrashKind,
    limit: u64,
) -> Exploration {
    let mut case = test_cases(approach, scenario, 2).swap_remove(0);
    let crash = Crash { kind, after: None };
    case.crash = Some(crash);
    let (subject, plan) =
        (subject(approach, &case), SearchPlan { limit: Some(limit), reduce: true, ..SearchPlan::default() });
    crash::explore(database, &case, crash, subject, &plan, &mut |_| true).await.expect("an exploration")
}

/// Every approach that claims to be atomic in a crash is atomic in every interleaving with another client.
async fn atomic_approaches_are_atomic(kind: CrashKind, scenario: ExploreScenario, limit: u64) {
    let cluster = common::cluster().await;
    let mut database = explorer_database(&cluster).await;
    for approach in Approach::iter() {
        let info = approach.info();
        if !info.crash_atomic || info.claims.of(scenario.workload()) != Claim::Safe {
            continue;
        }
        let found = explore_crashes(&mut database, approach, scenario, kind, limit).await;
        assert!(found.interleavings > 1, "{approach}: {}", found.interleavings);
        assert_eq!((found.witness, found.undecided), (None, Vec::new()), "{approach} {scenario} {kind}");
    }
    database.close().await.expect("a clean end");
}

#[tokio::test]
async fn a_withdrawal_whose_connection_is_cut_is_whole_or_absent() {
    atomic_approaches_are_atomic(CrashKind::Cut, ExploreScenario::LastMoney, 12).await;
}

#[tokio::test]
async fn a_transfer_whose_connection_is_cut_is_whole_or_absent() {
    atomic_approaches_are_atomic(CrashKind::Cut, ExploreScenario::OppositeTransfers, 6).await;
}

#[tokio::test]
async fn a_booking_whose_connection_is_cut_is_whole_or_absent() {
    atomic_approaches_are_atomic(CrashKind::Cut, ExploreScenario::SameUser, 6).await;
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_a_whole_change() {
    atomic_approaches_are_atomic(CrashKind::HangUp, ExploreScenario::LastMoney, 12).await;
}

#[tokio::test]
async fn approaches_without_a_transaction_leave_half_a_change() {
    let cluster = common::cluster().await;
    let mut database = explorer_database(&cluster).await;
    for approach in [Approach::Naive, Approach::InProcessMutex] {
        let found =
            explore_crashes(&mut database, approach, ExploreScenario::OppositeTransfers, CrashKind::Cut, 200).await;
        assert_eq!(found.verdict, ExplorationVerdict::Broken, "{approach}");
        let names: Vec<&String> = found.outcomes.iter().flat_map(|outcome| &outcome.anomalies).collect();
        let halves = ["money-created", "money-destroyed"];
        assert!(names.iter().any(|name| halves.contains(&name.as_str())), "{approach}: {names:?}");
    }
    database.close().await.expect("a clean end");
}
