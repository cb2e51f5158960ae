//! Every approach in every scenario with two clients: safe if that is claimed, and otherwise broken with the expected anomalies.

use concurrency_lab::explore::catalog::test_cases;
use concurrency_lab::explore::findings::{ExplorationVerdict, Servers};
use concurrency_lab::explore::scenario::ExploreScenario;
use concurrency_lab::strategy::{Approach, Claim};
use referee::judgement::Anomaly::{self, *};
use strum::IntoEnumIterator;

use crate::fixture::{Explorer, assert_finds, reduced};

/// The anomalies that must be found under naive, read-committed, and in-process-mutex with a server each.
const EXPECTED_ANOMALIES: [(ExploreScenario, [&[Anomaly]; 3]); 8] = [
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

fn expected_anomalies(approach: Approach, scenario: ExploreScenario) -> &'static [Anomaly] {
    let column = match approach {
        Approach::Naive => 0,
        Approach::ReadCommitted => 1,
        Approach::InProcessMutex => 2,
        other => panic!("{other} is not claimed to be broken"),
    };
    EXPECTED_ANOMALIES.iter().find(|(of, _)| *of == scenario).expect("a row for every scenario").1[column]
}

async fn is_as_claimed(approach: Approach) {
    let mut explorer = Explorer::new().await;
    for scenario in ExploreScenario::iter() {
        for case in test_cases(approach, scenario, 2) {
            // It takes minutes, so only the test of the program explores it.
            if approach == Approach::GroupCommit && case.servers == Servers::Each {
                continue;
            }
            let found = explorer.explore(approach, &case, reduced()).await;
            let context = format!("{approach} {scenario} on {}: {:?}", case.servers, found.witness);
            assert!(found.complete && !found.contradicts_claim(), "{context}");
            let safe = match approach.info().claims.of(scenario.workload()) {
                Claim::Safe => true,
                Claim::SafeOnOneServer => case.servers == Servers::One,
                Claim::Broken => false,
                Claim::Unsupported => panic!("{context}: not supported"),
            };
            if safe {
                assert_eq!(found.verdict, ExplorationVerdict::Proved, "{context}");
                assert_eq!(found.deadlocks, 0, "{context}: it locks in a fixed order");
                continue;
            }
            for anomaly in expected_anomalies(approach, scenario) {
                assert_finds(&found, *anomaly, &context);
            }
            let witness = found.witness.expect(&context);
            let again = explorer.replay(&case, &witness.transcript.schedule.to_string()).await;
            assert_eq!((again.transcript, again.anomalies), (witness.transcript, witness.anomalies), "{context}");
        }
    }
}

for_each_approach!(is_as_claimed);
