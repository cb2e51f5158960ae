//! What the author of a file expects. It makes the file a test.

use std::collections::BTreeSet;

use serde::Deserialize;
use strum::Display;

use crate::explore::findings::{Exploration, ExplorationVerdict};
use crate::explore::schedule::Actor;

/// A statement of a session, by its name.
pub type StatementRef = (Actor, String);

/// What is expected. What is not given is not checked, except for the verdict: a file without expectations must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expect {
    /// Whether every interleaving ends well.
    pub verdict: ExpectedVerdict,
    /// An anomaly that some interleaving must have.
    pub anomaly: Option<String>,
    /// The number of interleavings.
    pub interleavings: Option<u64>,
    /// Whether any interleaving has a deadlock.
    pub deadlocks: Option<bool>,
    /// Whether any interleaving has a serialization failure (40001).
    pub conflicts: Option<bool>,
    /// Statements that must wait in at least one interleaving.
    pub waits: Vec<StatementRef>,
    /// Statements that must not wait in any interleaving.
    pub never_waits: Vec<StatementRef>,
}

/// The verdict that is expected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum ExpectedVerdict {
    /// Every interleaving ends well.
    #[default]
    Holds,
    /// At least one interleaving ends badly.
    Broken,
}

impl Expect {
    /// The expectations that were not met, each as a sentence. `waited` are the statements that had to wait in at least one
    /// interleaving.
    #[must_use]
    pub fn misses(&self, found: &Exploration, waited: &BTreeSet<StatementRef>) -> Vec<String> {
        let mut misses: Vec<String> =
            self.verdict_missed(found).into_iter().chain(self.anomaly_missed(found)).collect();
        let count = found.interleavings;
        if let Some(expected) = self.interleavings.filter(|expected| *expected != count) {
            misses.push(format!("expected {expected} interleavings, found {count}"));
        }
        misses.extend(occurrence_missed("deadlock", self.deadlocks, found.deadlocks));
        misses.extend(occurrence_missed("serialization failure (40001)", self.conflicts, found.conflicts));
        let never = self.waits.iter().filter(|statement| !waited.contains(*statement));
        misses.extend(
            never.map(|(actor, name)| format!("expected {actor}: {name} to wait, but it waits in no interleaving")),
        );
        let waits = self.never_waits.iter().filter(|statement| waited.contains(*statement));
        misses.extend(
            waits.map(|(actor, name)| {
                format!("expected {actor}: {name} never to wait, but it waits in some interleaving")
            }),
        );
        misses
    }

    /// The expectations of a reduced search: the same verdict and anomaly, but not the same counts.
    #[must_use]
    pub fn of_a_reduced_search(&self) -> Self {
        Self { verdict: self.verdict, anomaly: self.anomaly.clone(), ..Self::default() }
    }

    fn verdict_missed(&self, found: &Exploration) -> Option<String> {
        let but = match (self.verdict, found.verdict) {
            (ExpectedVerdict::Holds, ExplorationVerdict::Proved)
            | (ExpectedVerdict::Broken, ExplorationVerdict::Broken) => return None,
            (_, ExplorationVerdict::Broken) => format!("it is broken: {}", anomalies(found)),
            (_, ExplorationVerdict::Proved) => "it holds in every interleaving".to_owned(),
            (_, ExplorationVerdict::HeldSoFar) => "not every interleaving was run; those that were run hold".to_owned(),
            (_, ExplorationVerdict::Undecided) => format!("it could not be decided: {}", found.undecided.join("; ")),
        };
        Some(format!("expected {}, but {but}", self.verdict))
    }

    fn anomaly_missed(&self, found: &Exploration) -> Option<String> {
        let name = self.anomaly.as_ref()?;
        // If nothing is wrong, the verdict is missed, and reported above.
        let missed = found.verdict == ExplorationVerdict::Broken && !names(found).contains(name.as_str());
        missed.then(|| format!("expected the anomaly {name:?}, found {}", anomalies(found)))
    }
}

fn names(found: &Exploration) -> BTreeSet<&str> {
    found.outcomes.iter().flat_map(|outcome| &outcome.anomalies).map(String::as_str).collect()
}

fn anomalies(found: &Exploration) -> String {
    names(found).into_iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

fn occurrence_missed(what: &str, expected: Option<bool>, count: u64) -> Option<String> {
    match (expected?, count) {
        (true, 0) => Some(format!("expected a {what} in some interleaving, found none")),
        (false, 1..) => Some(format!("expected no {what}, found one in {count} interleavings")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::file::script::Script;
    use crate::explore::findings::{DistinctOutcome, Subject};
    use referee::history::ClaimedSafety;

    const FILE: &str = r#"
        title = "two updates"
        invariant = "select true"
        [[session]]
        statements = ["begin", { name = "debit", sql = "update a set n = 1" }, "commit"]
        [[session]]
        statements = ["update a set n = 1", "update a set n = 2"]
        [expect]
    "#;

    fn found(
        verdict: ExplorationVerdict,
        interleavings: u64,
        deadlocks: u64,
        conflicts: u64,
        anomaly: Option<&str>,
    ) -> Exploration {
        let anomalies: Vec<String> = anomaly.into_iter().map(str::to_owned).collect();
        Exploration {
            subject: Subject {
                scenario: "two updates".to_owned(),
                approach: String::new(),
                file: Some("updates.toml".to_owned()),
                clients: 2,
                servers: None,
                isolation: None,
                without: None,
                crash: None,
                claim: ClaimedSafety::Safe,
            },
            interleavings,
            estimate: 10.0,
            complete: verdict == ExplorationVerdict::Proved,
            pruned: 0,
            last: None,
            waited: 0,
            deadlocks,
            conflicts,
            gave_up: 0,
            outcomes: vec![DistinctOutcome {
                lines: Vec::new(),
                count: 1,
                anomalies,
                example: "AAABB".parse().unwrap(),
            }],
            violations: 0,
            undecided: vec!["a timeout".to_owned()],
            missed: Vec::new(),
            verdict,
            witness: None,
            elapsed_s: 0.0,
        }
    }

    #[test]
    fn an_expectation_that_is_not_met_is_reported() {
        let holds = || found(ExplorationVerdict::Proved, 10, 0, 2, None);
        let broken = || found(ExplorationVerdict::Broken, 10, 3, 0, Some("invariant violated"));
        let waited = BTreeSet::from([(Actor::Client(1), "update 2".to_owned())]);
        for (expect, found, missed) in [
            ("", holds(), vec![]),
            ("", broken(), vec!["expected holds, but it is broken: \"invariant violated\""]),
            ("", found(ExplorationVerdict::HeldSoFar, 9, 0, 0, None), vec!["not every interleaving was run"]),
            ("", found(ExplorationVerdict::Undecided, 9, 0, 0, None), vec!["could not be decided: a timeout"]),
            ("verdict = 'broken'", holds(), vec!["expected broken, but it holds"]),
            ("anomaly = 'invariant violated'", broken(), vec![]),
            ("anomaly = 'invariant violated'", holds(), vec!["expected broken, but it holds"]),
            (
                "anomaly = 'invariant violated'",
                found(ExplorationVerdict::Broken, 10, 0, 0, Some("other")),
                vec!["expected the anomaly \"invariant violated\", found \"other\""],
            ),
            ("interleavings = 10\ndeadlocks = false\nconflicts = true", holds(), vec![]),
            (
                "interleavings = 11\ndeadlocks = true\nconflicts = false",
                holds(),
                vec!["expected 11 interleavings, found 10", "expected a deadlock", "(40001), found one in 2 inter"],
            ),
            ("waits = ['B: update 2', 'B:2']\nnever_waits = ['A: debit', 'B: 1']", holds(), vec![]),
            (
                "waits = ['A: 2']\nnever_waits = ['B: 2']",
                holds(),
                vec!["expected A: debit to wait, but it waits in no", "expected B: update 2 never to wait, but"],
            ),
        ] {
            let script = Script::parse(&format!("{FILE}{expect}")).unwrap();
            let misses = script.variants[0].expect.misses(&found, &waited);
            assert_eq!(misses.len(), missed.len(), "{expect}: {misses:?}");
            assert!(misses.iter().zip(&missed).all(|(miss, text)| miss.contains(text)), "{expect}: {misses:?}");
        }
    }

    #[test]
    fn an_impossible_expectation_is_refused() {
        for (expect, reason) in [
            ("verdict = 'safe'", "expect: unknown variant `safe`, expected `holds` or `broken`"),
            (
                "anomaly = 'lost update'",
                "expect.anomaly: expected one of [\"invariant violated\"], found \"lost update\"",
            ),
            (
                "verdict = 'holds'\nanomaly = 'invariant violated'",
                "expect.anomaly: expected verdict = \"broken\" beside it",
            ),
            ("waits = ['C: begin']", "expect.waits: expected a session and one of its statements, such as"),
            (
                "never_waits = ['A']",
                "expect.never_waits: expected the name of a statement of A (begin, debit, commit) or its",
            ),
            ("waits = ['A: 4']", "found \"A: 4\""),
            ("waits = ['A: 0']", "found \"A: 0\""),
            ("interleavings = -1", "expect: invalid value: integer `-1`"),
            ("wait = []", "expect: unknown field `wait`, expected one of `verdict`, `anomaly`"),
        ] {
            let error = Script::parse(&format!("{FILE}{expect}")).unwrap_err().to_string();
            assert!(error.contains(reason), "{expect}: {error}");
        }
    }
}
