//! Crash points: what is claimed of a change whose connection is cut or whose client is gone.

use concurrency_lab::explore::catalog::{pieces, subject};
use concurrency_lab::explore::crash::{self, Crash};
use concurrency_lab::explore::explorer_database::ExplorerDatabase;
use concurrency_lab::explore::findings::{CrashKind, Exploration, ExplorationVerdict};
use concurrency_lab::explore::scenario::ExploreScenario;
use concurrency_lab::explore::search::SearchPlan;
use concurrency_lab::strategy::{Approach, Claim};
use strum::IntoEnumIterator as _;

use crate::common;

/// Explores an approach on one server, the first client crashing after each of its statements in turn.
async fn crashed(
    world: &mut ExplorerDatabase,
    approach: Approach,
    scenario: ExploreScenario,
    kind: CrashKind,
    limit: u64,
) -> Exploration {
    let mut piece = pieces(approach, scenario, 2).swap_remove(0);
    let crash = Crash { kind, after: None };
    piece.crash = Some(crash);
    let (subject, plan) =
        (subject(approach, &piece), SearchPlan { limit: Some(limit), reduce: true, ..SearchPlan::default() });
    crash::explore(world, &piece, crash, subject, &plan, &mut |_| true).await.expect("an exploration")
}

/// Whoever claims to be whole in a crash is, in every interleaving with another client.
async fn survives(kind: CrashKind, scenario: ExploreScenario, limit: u64) {
    let cluster = common::cluster().await;
    let mut world = ExplorerDatabase::open(&common::new_database(&cluster).await).await.expect("a world");
    for approach in Approach::iter() {
        let info = approach.info();
        if !info.crash_atomic || info.claims.of(scenario.workload()) != Claim::Safe {
            continue;
        }
        let found = crashed(&mut world, approach, scenario, kind, limit).await;
        assert!(found.interleavings > 1, "{approach}: {}", found.interleavings);
        assert_eq!((found.witness, found.undecided), (None, Vec::new()), "{approach} {scenario} {kind}");
    }
    world.close().await.expect("a clean end");
}

#[tokio::test]
async fn a_withdrawal_whose_connection_is_cut_is_whole_or_absent() {
    survives(CrashKind::Cut, ExploreScenario::LastMoney, 40).await;
}

#[tokio::test]
async fn a_transfer_whose_connection_is_cut_is_whole_or_absent() {
    survives(CrashKind::Cut, ExploreScenario::OppositeTransfers, 6).await;
}

#[tokio::test]
async fn a_booking_whose_connection_is_cut_is_whole_or_absent() {
    survives(CrashKind::Cut, ExploreScenario::SameUser, 6).await;
}

#[tokio::test]
async fn a_client_who_is_gone_leaves_a_whole_change() {
    survives(CrashKind::HangUp, ExploreScenario::LastMoney, 15).await;
}

#[tokio::test]
async fn approaches_without_a_transaction_leave_halves() {
    let cluster = common::cluster().await;
    let mut world = ExplorerDatabase::open(&common::new_database(&cluster).await).await.expect("a world");
    for approach in [Approach::Naive, Approach::InProcessMutex] {
        let found = crashed(&mut world, approach, ExploreScenario::OppositeTransfers, CrashKind::Cut, 200).await;
        assert_eq!(found.verdict, ExplorationVerdict::Broken, "{approach}");
        let names: Vec<&String> = found.outcomes.iter().flat_map(|outcome| &outcome.anomalies).collect();
        let halves = ["money-created", "money-destroyed"];
        assert!(names.iter().any(|name| halves.contains(&name.as_str())), "{approach}: {names:?}");
    }
    world.close().await.expect("a clean end");
}
