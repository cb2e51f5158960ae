//! Every approach in every scenario with two clients: safe where that is claimed, and broken as promised where it is not.

use concurrency_lab::explore::catalog::pieces;
use concurrency_lab::explore::findings::{ExplorationVerdict, Servers};
use concurrency_lab::explore::scenario::ExploreScenario;
use concurrency_lab::strategy::{Approach, Claim};
use referee::judgement::Anomaly::{self, *};
use strum::IntoEnumIterator;

use crate::stage::{Stage, assert_finds, reduced};

/// What must be found under naive, read-committed, and in-process-mutex on a server each.
const PROMISED: [(ExploreScenario, [&[Anomaly]; 3]); 8] = [
    (ExploreScenario::LastMoney, [&[LostUpdate, Overdraft], &[LostUpdate, Overdraft], &[LostUpdate, Overdraft]]),
    (ExploreScenario::MoneyForAll, [&[LostUpdate], &[LostUpdate], &[LostUpdate]]),
    (ExploreScenario::DepositAndWithdrawal, [&[LostUpdate], &[LostUpdate], &[LostUpdate]]),
    (
        ExploreScenario::OppositeTransfers,
        [&[LostUpdate, MoneyCreated, MoneyDestroyed], &[LostUpdate], &[LostUpdate, MoneyCreated, MoneyDestroyed]],
    ),
    (ExploreScenario::TransferAndWithdrawal, [&[MoneyCreated], &[LostUpdate, Overdraft], &[LostUpdate, Overdraft]]),
    (ExploreScenario::LastSeat, [&[LostUpdate, Oversell], &[LostUpdate, Oversell], &[LostUpdate, Oversell]]),
    (ExploreScenario::SameUser, [&[DoubleBooking], &[DoubleBooking], &[DoubleBooking]]),
    (ExploreScenario::Increments, [&[LostUpdate], &[LostUpdate], &[LostUpdate]]),
];

fn promised(approach: Approach, scenario: ExploreScenario) -> &'static [Anomaly] {
    let column = match approach {
        Approach::Naive => 0,
        Approach::ReadCommitted => 1,
        Approach::InProcessMutex => 2,
        other => panic!("{other} promises nothing bad"),
    };
    PROMISED.iter().find(|(of, _)| *of == scenario).expect("a row for every scenario").1[column]
}

async fn is_as_claimed(approach: Approach) {
    let mut stage = Stage::new().await;
    for scenario in ExploreScenario::iter() {
        for piece in pieces(approach, scenario, 2) {
            // That takes minutes, and is left to the test of the program.
            if approach == Approach::GroupCommit && piece.servers == Servers::Each {
                continue;
            }
            let found = stage.explore(approach, &piece, reduced()).await;
            let told = format!("{approach} {scenario} on {}: {:?}", piece.servers, found.witness);
            assert!(found.complete && !found.contradicts_claim(), "{told}");
            let safe = match approach.info().claims.of(scenario.workload()) {
                Claim::Safe => true,
                Claim::SafeOnOneServer => piece.servers == Servers::One,
                Claim::Broken => false,
                Claim::Unsupported => panic!("{told}: not offered"),
            };
            if safe {
                assert_eq!(found.verdict, ExplorationVerdict::Proved, "{told}");
                assert_eq!(found.deadlocks, 0, "{told}: it locks in one order");
                continue;
            }
            for anomaly in promised(approach, scenario) {
                assert_finds(&found, *anomaly, &told);
            }
            let witness = found.witness.expect(&told);
            let again = stage.replay(&piece, &witness.transcript.schedule.to_string()).await;
            assert_eq!((again.transcript, again.anomalies), (witness.transcript, witness.anomalies), "{told}");
        }
    }
}

for_each_approach!(is_as_claimed);
