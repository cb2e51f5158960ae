//! What was found so far: each anomaly once, with its count and the smallest evidence of it.
//!
//! Of all instances of an anomaly the one with the shortest span of time, from the first call to the last return of
//! its operations, is the easiest to look at. Its sentence is written only if it is the smallest yet: a broken approach has
//! thousands of instances.

use std::collections::BTreeMap;

use super::history_index::is_valid;
use crate::history::{History, Outcome, RecordedOperation};
use crate::judgement::{Anomaly, Finding, Witness, WitnessOperation};
use crate::phrases;

/// Findings in the making.
#[derive(Debug, Default)]
pub struct FindingCounter {
    found: BTreeMap<Anomaly, Instances>,
}

#[derive(Debug)]
struct Instances {
    count: u64,
    /// Of the witness.
    span_ns: u64,
    operations: Vec<u32>,
    explanation: String,
}

impl FindingCounter {
    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Whether this anomaly was found.
    pub fn has(&self, anomaly: Anomaly) -> bool {
        self.found.contains_key(&anomaly)
    }

    /// Counts instances of an anomaly that these operations, two at most, are the evidence of.
    pub fn add(
        &mut self,
        history: &History,
        anomaly: Anomaly,
        count: u64,
        operations: &[Option<u32>],
        explain: impl FnOnce() -> String,
    ) {
        let operations: Vec<u32> = operations.iter().flatten().copied().collect();
        let span_ns = span_ns(history, &operations);
        match self.found.get_mut(&anomaly) {
            None => {
                self.found.insert(anomaly, Instances { count, span_ns, operations, explanation: explain() });
            }
            Some(instances) => {
                instances.count = instances.count.saturating_add(count);
                if span_ns < instances.span_ns {
                    (instances.span_ns, instances.operations) = (span_ns, operations);
                    instances.explanation = explain();
                }
            }
        }
    }

    /// Counts an anomaly as this, however many instances there were; `explain` is for when there were none.
    pub fn set(&mut self, anomaly: Anomaly, count: u64, explain: impl FnOnce() -> String) {
        let instances = self.found.entry(anomaly).or_insert_with(|| Instances {
            count,
            span_ns: u64::MAX,
            operations: Vec::new(),
            explanation: explain(),
        });
        instances.count = count;
    }

    /// Takes over what another one found.
    pub fn merge(&mut self, other: Self) {
        for (anomaly, theirs) in other.found {
            match self.found.get_mut(&anomaly) {
                None => {
                    self.found.insert(anomaly, theirs);
                }
                Some(ours) => {
                    let count = ours.count.saturating_add(theirs.count);
                    if theirs.span_ns < ours.span_ns {
                        *ours = theirs;
                    }
                    ours.count = count;
                }
            }
        }
    }

    /// The findings, in the order of [`Anomaly`].
    pub fn findings(self, history: &History) -> Vec<Finding> {
        let operation_of = |&at: &u32| witness_operation(&history.operations[at as usize]);
        self.found
            .into_iter()
            .map(|(anomaly, instances)| Finding {
                anomaly,
                count: instances.count,
                witness: Witness {
                    operations: instances.operations.iter().map(operation_of).collect(),
                    explanation: instances.explanation,
                },
            })
            .collect()
    }
}

/// From the first call to the last return. Evidence without operations comes last.
fn span_ns(history: &History, operations: &[u32]) -> u64 {
    let operations = || operations.iter().map(|&at| &history.operations[at as usize]);
    let first = operations().map(|operation| operation.invoked_ns).min();
    let last = operations().map(|operation| operation.returned_ns).max();
    first.zip(last).map_or(u64::MAX, |(first, last)| last.saturating_sub(first))
}

fn witness_operation(operation: &RecordedOperation) -> WitnessOperation {
    let &RecordedOperation { id, client, request, invoked_ns, returned_ns, outcome } = operation;
    let heard = match outcome {
        Outcome::Done(_) if !is_valid(&request) => "done".to_owned(),
        Outcome::Done(seen) => {
            let told: Vec<String> =
                request.effects().iter().zip(seen).filter_map(|((row, _), seen)| Some(seen?.of(*row))).collect();
            if told.is_empty() { "done".to_owned() } else { format!("done: {}", told.join(", ")) }
        }
        Outcome::Refused(reason) => format!("refused: {}", phrases::reason(reason)),
        Outcome::NotDone => "not done".to_owned(),
        Outcome::Unknown => "unknown: done or not".to_owned(),
        Outcome::Unexpected => "an unexpected answer".to_owned(),
    };
    WitnessOperation { id, client, request: request.to_string(), invoked_ns, returned_ns, heard }
}
