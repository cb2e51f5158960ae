//! The schedules of a file that are tests: each is run, and compared with what the file expects.

use std::collections::BTreeSet;

use super::expect::StatementRef;
use super::script::{ScheduleEnd, ScheduleTest};
use crate::explore::error::ExploreError;
use crate::explore::search::{Execution, JudgedInterleaving, replay};
use crate::explore::transcript::StepOutcome;

/// Runs the schedules, and returns what is not as expected, a sentence each.
///
/// # Errors
/// [`ExploreError`], but not that a schedule cannot be followed: that is not as expected.
pub async fn run(execution: &mut dyn Execution, schedules: &[ScheduleTest]) -> Result<Vec<String>, ExploreError> {
    let mut missed = Vec::new();
    for test in schedules {
        match replay(execution, &test.steps).await {
            Ok(judged) => missed.extend(misses(test, &judged)),
            Err(ExploreError::Schedule(why)) => missed.push(format!("schedule {}: {why}", test.steps)),
            Err(error) => return Err(error),
        }
    }
    Ok(missed)
}

fn misses(test: &ScheduleTest, judged: &JudgedInterleaving) -> Vec<String> {
    let mut missed = Vec::new();
    let entries = &judged.transcript.entries;
    let named = |(actor, name): &StatementRef| format!("{actor}: {name}");
    let mut compare = |what: &str, expected: BTreeSet<String>, found: BTreeSet<String>| {
        if expected != found {
            let list = |texts: &BTreeSet<String>| match texts.len() {
                0 => "none".to_owned(),
                _ => texts.iter().cloned().collect::<Vec<_>>().join(", "),
            };
            missed.push(format!(
                "schedule {}: expected {what}: {}, found {}",
                test.steps,
                list(&expected),
                list(&found)
            ));
        }
    };
    if let Some(waits) = &test.waits {
        let found = entries.iter().filter(|entry| entry.wait.is_some());
        let found = found.map(|entry| named(&(entry.actor, entry.name.clone()))).collect();
        compare("statements that wait", waits.iter().map(named).collect(), found);
    }
    if let Some(fails) = &test.fails {
        let found = entries.iter().filter_map(|entry| match &entry.outcome {
            StepOutcome::Error { sqlstate, .. } => Some(format!(
                "{} ({})",
                named(&(entry.actor, entry.name.clone())),
                sqlstate.clone().unwrap_or_default()
            )),
            _ => None,
        });
        let expected = fails.iter().map(|(statement, sqlstate)| format!("{} ({sqlstate})", named(statement)));
        compare("statements that fail", expected.collect(), found.collect());
    }
    if let Some(ends) = &test.ends {
        let expected = match ends {
            ScheduleEnd::Holds => BTreeSet::new(),
            ScheduleEnd::Anomaly(name) => BTreeSet::from([name.clone()]),
        };
        // Others beside the expected one do not matter.
        let found: BTreeSet<String> = judged.anomalies.iter().cloned().collect();
        if expected.is_empty() || !expected.is_subset(&found) {
            compare("what is wrong", expected, found);
        }
    }
    if let Some(outcome) = &test.outcome
        && *outcome != judged.transcript.after
    {
        missed.push(format!(
            "schedule {}: expected the outcome {}, found {}",
            test.steps,
            outcome.join("; "),
            judged.transcript.after.join("; ")
        ));
    }
    missed
}
