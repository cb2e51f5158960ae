//! Every approach in every scenario with two clients, in full and reduced: safe if that is claimed, and otherwise broken with the
//! expected anomalies. The reduced search finds the same as the full search.

use concurrency_lab::explore::catalog::test_cases;
use concurrency_lab::explore::findings::{Exploration, ExplorationVerdict, Servers};
use concurrency_lab::explore::scenario::ExploreScenario;
use concurrency_lab::explore::test_case::TestCase;
use concurrency_lab::strategy::{Approach, Claim};
use referee::judgement::Anomaly::{self, *};
use strum::IntoEnumIterator;

use super::fixture::{Explorer, assert_finds};
use super::reduction::agree;

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

/// The anomalies that must be found, by name. For an approach without a column, any anomaly is accepted.
fn expected_anomalies(approach: Approach, scenario: ExploreScenario) -> &'static [Anomaly] {
    let column = match approach {
        Approach::Naive => 0,
        Approach::ReadCommitted => 1,
        Approach::InProcessMutex => 2,
        _ => return &[],
    };
    EXPECTED_ANOMALIES.iter().find(|(of, _)| *of == scenario).expect("a row for every scenario").1[column]
}

async fn is_as_claimed(approach: Approach) {
    let mut explorer = Explorer::new().await;
    for scenario in ExploreScenario::iter() {
        for case in test_cases(approach, scenario, 2) {
            // It has thousands of interleavings. Only the test of the program explores it, reduced.
            if approach.info().batches && case.servers == Servers::Each {
                continue;
            }
            let (full, less) = agree(&mut explorer, approach, &case).await;
            for found in [&full, &less] {
                ends_as_claimed(approach, &case, found);
            }
            if let Some(witness) = less.witness {
                let again = explorer.replay(&case, &witness.transcript.schedule.to_string()).await;
                let context = format!("{approach} {scenario} on {}", case.servers);
                assert_eq!((again.transcript, again.anomalies), (witness.transcript, witness.anomalies), "{context}");
            }
        }
    }
}

fn ends_as_claimed(approach: Approach, case: &TestCase, found: &Exploration) {
    let context = format!("{approach} {} on {}: {:?}", case.scenario, case.servers, found.witness);
    assert!(found.complete && !found.contradicts_claim(), "{context}");
    let safe = match approach.info().claims.of(case.scenario.workload()) {
        Claim::Safe => true,
        Claim::SafeOnOneServer => case.servers == Servers::One,
        Claim::Broken => false,
        Claim::Unsupported => panic!("{context}: not offered"),
    };
    if safe {
        assert_eq!(found.verdict, ExplorationVerdict::Proved, "{context}");
        assert_eq!(found.deadlocks, 0, "{context}: it locks in one order");
        return;
    }
    assert_eq!(found.verdict, ExplorationVerdict::Broken, "{context}");
    assert!(found.witness.is_some(), "{context}");
    for anomaly in expected_anomalies(approach, case.scenario) {
        assert_finds(found, *anomaly, &context);
    }
}

for_each_approach!(is_as_claimed);
