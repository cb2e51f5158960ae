//! Correct histories of hundreds of operations, each with one mistake in it that no order can explain: all must be found, by
//! their names.

use fastrand::Rng;
use proptest::prelude::*;
use strum::IntoEnumIterator;

use super::simulate::{SimulationPlan, correct};
use crate::history::{History, ObservedRow, Outcome, Reason, RecordedOperation, Request};
use crate::judge;
use crate::judgement::Anomaly;
use domain::Row;
use domain::Workload;

/// A long correct history whose answers all came, and the places of those that were done.
fn history(seed: u64, workload: Workload) -> (Rng, History, Vec<usize>) {
    let mut rng = Rng::with_seed(seed);
    let plan = SimulationPlan { workload, operations: 300, clients: 8, unknown_percent: 0, versions: true };
    let history = correct(&mut rng, plan);
    let is_done = |at: &usize| matches!(history.operations[*at].outcome, Outcome::Done(_));
    let done = (0..history.operations.len()).filter(is_done).collect();
    (rng, history, done)
}

fn first_seen(operation: &mut RecordedOperation) -> Option<&mut ObservedRow> {
    match &mut operation.outcome {
        Outcome::Done([Some(seen), _]) => Some(seen),
        _ => None,
    }
}

fn names(history: &History) -> Vec<Anomaly> {
    judge(history).findings.iter().map(|finding| finding.anomaly).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_wrong_value_is_a_lost_update(seed in any::<u64>(), by in prop_oneof![-3..=-1_i64, 1..=3_i64]) {
        for workload in Workload::iter() {
            let (mut rng, mut history, done) = history(seed, workload);
            let Some(&at) = rng.choice(&done) else { continue };
            if let Some(seen) = first_seen(&mut history.operations[at])
                && let Some(value) = seen.value.checked_add(by)
            {
                seen.value = value;
                prop_assert!(names(&history).contains(&Anomaly::LostUpdate), "{workload}: {:?}", judge(&history));
            }
        }
    }

    #[test]
    fn an_answer_given_twice_is_a_duplicate_version(seed in any::<u64>()) {
        for workload in Workload::iter() {
            let (mut rng, mut history, done) = history(seed, workload);
            let Some(&at) = rng.choice(&done) else { continue };
            history.operations.push(history.operations[at]);
            prop_assert!(names(&history).contains(&Anomaly::DuplicateVersion), "{workload}");
        }
    }

    #[test]
    fn a_write_that_no_answer_tells_of_is_found(seed in any::<u64>()) {
        for workload in Workload::iter() {
            let (mut rng, mut history, done) = history(seed, workload);
            let Some(&at) = rng.choice(&done) else { continue };
            history.operations.remove(at);
            let unexplained = [Anomaly::MoneyCreated, Anomaly::MoneyDestroyed, Anomaly::UnexplainedWrite];
            prop_assert!(names(&history).iter().any(|name| unexplained.contains(name)), "{workload}");
        }
    }

    #[test]
    fn an_acknowledged_write_that_is_gone_is_found(seed in any::<u64>()) {
        for workload in Workload::iter() {
            let (mut rng, mut history, done) = history(seed, workload);
            let Some(&at) = rng.choice(&done) else { continue };
            let row = history.operations[at].request.effects()[0].0;
            if let Some(end) = history.after.iter_mut().find_map(|after| after.get_mut(&row)) {
                end.seen.version = end.seen.version.map(|version| version - 1);
            }
            prop_assert!(names(&history).contains(&Anomaly::LostWrite), "{workload}");
        }
    }

    #[test]
    fn answers_in_the_wrong_order_violate_real_time(seed in any::<u64>()) {
        let (_, mut history, done) = history(seed, Workload::Counter);
        let row = |at: usize| history.operations[at].request.effects()[0].0;
        let pair = done.iter().find_map(|&one| {
            let later = |&other: &usize| {
                row(one) == row(other) && history.operations[one].returned_ns < history.operations[other].invoked_ns
            };
            Some((one, done.iter().copied().find(later)?))
        });
        if let Some((one, other)) = pair {
            let (first, second) = (history.operations[one].outcome, history.operations[other].outcome);
            (history.operations[one].outcome, history.operations[other].outcome) = (second, first);
            prop_assert_eq!(names(&history), [Anomaly::RealTimeViolation]);
        }
    }

    #[test]
    fn a_refusal_after_everything_that_the_end_does_not_bear_out_is_stale(seed in any::<u64>()) {
        for workload in [Workload::Balance, Workload::Transfer] {
            let (_, mut history, _) = history(seed, workload);
            let balance = |id| history.after.as_ref().map_or(0, |after| after[&Row::User(id)].seen.value);
            let amount = if workload == Workload::Balance { -balance(1) } else { balance(1) };
            let request = match workload {
                Workload::Balance => Request::Balance { user: 1, amount },
                _ if amount > 0 => Request::Transfer { from: 1, to: 2, amount },
                _ => continue,
            };
            let refused = RecordedOperation {
                id: 300,
                client: 9,
                request,
                invoked_ns: 1_000_000,
                returned_ns: 1_000_001,
                outcome: Outcome::Refused(Reason::InsufficientFunds),
            };
            history.operations.push(refused);
            prop_assert_eq!(names(&history), [Anomaly::StaleRefusal]);
        }
    }
}
