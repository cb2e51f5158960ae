//! What the author of a file expects. It makes the file a test.

use std::collections::BTreeSet;

use serde::Deserialize;
use strum::Display;

use crate::explore::findings::{Exploration, ExplorationVerdict};
use crate::explore::schedule::Actor;
use referee::history::ClaimedSafety;

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
    /// Nothing is expected. No explore file says so: a spec does not judge.
    #[serde(skip)]
    Any,
}

impl ExpectedVerdict {
    /// The claim that a report compares with what was found.
    #[must_use]
    pub fn claim(self) -> ClaimedSafety {
        match self {
            Self::Holds => ClaimedSafety::Safe,
            Self::Broken => ClaimedSafety::Broken,
            Self::Any => ClaimedSafety::Unsupported,
        }
    }
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
            (ExpectedVerdict::Holds, ExplorationVerdict::Proved | ExplorationVerdict::NotJudged)
            | (ExpectedVerdict::Broken, ExplorationVerdict::Broken)
            | (ExpectedVerdict::Any, _) => return None,
            (_, ExplorationVerdict::Broken) => format!("it is broken: {}", anomalies(found)),
            (_, ExplorationVerdict::Proved) => "it holds in every interleaving".to_owned(),
            (_, ExplorationVerdict::HeldSoFar) => "not every interleaving was run; those that were run hold".to_owned(),
            (_, ExplorationVerdict::NotJudged) => "nothing says which ends are right".to_owned(),
            (_, ExplorationVerdict::DependsOnTime) => format!("it depends on time: {}", found.limits.join("; ")),
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
