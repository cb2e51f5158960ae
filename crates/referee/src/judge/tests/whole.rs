//! Longer histories that are correct by construction: none may be found broken, or left undecided.

use fastrand::Rng;
use proptest::prelude::*;
use strum::IntoEnumIterator;

use super::simulate::{SimulationPlan, correct, row_state, serve};
use crate::history::{HistoryState, Outcome, Request};
use crate::judge;
use crate::judgement::Anomaly;
use domain::Row;
use domain::Workload;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2500))]

    #[test]
    fn what_a_correct_server_answers_is_accepted(
        seed in any::<u64>(),
        operations in 0..60_usize,
        clients in 1..9_u32,
        unknown_percent in prop_oneof![Just(0_u32), 0..20_u32],
        versions in any::<bool>(),
        with_end in prop::bool::weighted(0.9),
    ) {
        for workload in Workload::iter() {
            let mut history = correct(
                &mut Rng::with_seed(seed),
                SimulationPlan { workload, operations, clients, unknown_percent, versions },
            );
            if !with_end {
                history.after = None;
            }
            let judgement = judge(&history);
            prop_assert!(!judgement.broken(), "{:#?}\n{:#?}", history, judgement);
            prop_assert!(judgement.undecided.is_empty() || !with_end, "{:#?}", judgement);
        }
    }
}

proptest! {
    /// An unexpected answer is a finding by itself. Its change may have been made or not.
    #[test]
    fn an_unexpected_answer_may_have_been_done_or_not(seed in any::<u64>(), versions in any::<bool>()) {
        for workload in Workload::iter() {
            let plan = SimulationPlan { workload, operations: 30, clients: 4, unknown_percent: 20, versions };
            let mut history = correct(&mut Rng::with_seed(seed), plan);
            let mut unexpected = 0;
            for operation in &mut history.operations {
                if operation.outcome == Outcome::Unknown {
                    operation.outcome = Outcome::Unexpected;
                    unexpected += 1;
                }
            }
            let judgement = judge(&history);
            let found: Vec<_> = judgement.findings.iter().map(|finding| (finding.anomaly, finding.count)).collect();
            let expected = if unexpected > 0 { vec![(Anomaly::UnexpectedAnswer, unexpected)] } else { Vec::new() };
            prop_assert_eq!(found, expected, "{:#?}", history);
        }
    }
}

/// Where the values tell the order, a long history must not take longer than reading it. Found undecided, it would have.
#[test]
fn long_histories_without_versions_are_decided_where_values_tell_the_order() {
    const OPERATIONS: usize = 100_000;
    let most = 100_000;
    let request = |row: Row, at: i64| match row {
        Row::User(user) => Request::Balance { user, amount: -2 },
        Row::Counter(counter) => Request::Increment { counter },
        Row::Event(event) => Request::Booking { event, user: 1 + at % 90 },
    };
    for (row, value) in [(Row::User(1), most), (Row::Counter(1), 1), (Row::Event(1), most / 2)] {
        let plan = SimulationPlan {
            workload: Workload::Balance,
            operations: OPERATIONS,
            clients: 256,
            unknown_percent: 1,
            versions: false,
        };
        let before: HistoryState = [(row, row_state(value, None, Vec::new()))].into();
        let requests = (0..most).map(|at| request(row, at)).collect();
        let judgement = judge(&serve(&mut Rng::with_seed(3), plan, before, requests));
        assert!(!judgement.broken() && judgement.undecided.is_empty(), "{judgement:#?}");
    }
}

/// Deposits and withdrawals of one user come to the same values again and again: that takes the search.
#[test]
fn mixed_histories_without_versions_are_decided() {
    let plan = SimulationPlan {
        workload: Workload::Balance,
        operations: 10_000,
        clients: 16,
        unknown_percent: 0,
        versions: false,
    };
    for seed in 0..4 {
        let judgement = judge(&correct(&mut Rng::with_seed(seed), plan));
        assert!(!judgement.broken() && judgement.undecided.is_empty(), "{judgement:#?}");
    }
}
