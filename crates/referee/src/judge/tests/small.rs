//! Small histories, right and wrong, against the oracle.

use fastrand::Rng;
use proptest::prelude::*;
use strum::IntoEnumIterator;

use super::oracle::is_linearizable;
use super::simulate::{SimulationPlan, correct, spoil};
use crate::judge;
use domain::Workload;

/// Compares on many histories of one kind; how many were right and how many wrong.
fn compare(seed: u64, workload: Workload, versions: bool, rounds: u32) -> Result<[u32; 2], TestCaseError> {
    let mut rng = Rng::with_seed(seed);
    let mut verdicts = [0; 2];
    for _ in 0..rounds {
        let plan = SimulationPlan {
            workload,
            operations: rng.usize(1..=6),
            clients: rng.u32(1..=4),
            unknown_percent: [0, 20, 50][rng.usize(..3)],
            versions,
        };
        let mut history = correct(&mut rng, plan);
        for _ in 0..rng.u32(..4) {
            spoil(&mut rng, &mut history);
        }
        history.operations.truncate(6);
        rng.shuffle(&mut history.operations);
        let (right, judgement) = (is_linearizable(&history), judge(&history));
        prop_assert_eq!(right, !judgement.broken(), "{:#?}\n{:#?}", history, judgement);
        prop_assert!(judgement.undecided.is_empty() || history.after.is_none());
        verdicts[usize::from(right)] += 1;
    }
    Ok(verdicts)
}

#[test]
fn the_oracle_agrees() {
    for workload in Workload::iter() {
        for versions in [true, false] {
            let [wrong, right] = compare(7, workload, versions, 4000).unwrap_or_else(|error| panic!("{error}"));
            assert!(wrong > 800 && right > 800, "{workload}, versions {versions}: {wrong} wrong, {right} right");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_oracle_agrees_on_other_seeds(seed in any::<u64>(), versions in any::<bool>(), kind in 0..4_usize) {
        if let Some(workload) = Workload::iter().nth(kind) {
            compare(seed, workload, versions, 100)?;
        }
    }
}
