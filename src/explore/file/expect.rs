//! What the author of a file says will be found, so that a file is a test as well.

use std::collections::BTreeSet;

use serde::Deserialize;
use strum::Display;
use toml::Table;

use super::reading::{expected, letter};
use super::{Invariant, NOT_SERIALIZABLE, SessionScript};
use crate::explore::findings::{Exploration, ExplorationVerdict};
use crate::explore::schedule::Actor;

/// A statement of a session, by its name.
pub type StatementRef = (Actor, String);

/// What should be found. What is not said is not looked at, but for the verdict: a file that says nothing must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expect {
    /// Whether every interleaving ends well.
    pub verdict: ExpectedVerdict,
    /// What is wrong with one that does not.
    pub anomaly: Option<String>,
    /// How many interleavings there are.
    pub interleavings: Option<u64>,
    /// Whether any of them has a deadlock.
    pub deadlocks: Option<bool>,
    /// Whether any of them has a serialization failure (40001).
    pub conflicts: Option<bool>,
    /// Statements that have to wait in one of them at least.
    pub waits: Vec<StatementRef>,
    /// Statements that have to wait in none.
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
    /// One does not.
    Broken,
}

impl Expect {
    /// What was expected and not found, or found and not expected, each in plain words; `waited` are the statements that had to
    /// wait in one interleaving at least.
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
        misses.extend(never.map(|(actor, name)| format!("expected {actor}: {name} to wait, and it never had to")));
        let once = self.never_waits.iter().filter(|statement| waited.contains(*statement));
        misses.extend(once.map(|(actor, name)| format!("expected {actor}: {name} never to wait, and it had to")));
        misses
    }

    /// What can be expected of a search that leaves out what is equivalent: the same verdict, and not the same counts.
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
            (_, ExplorationVerdict::HeldSoFar) => "not every interleaving was run, and those that were hold".to_owned(),
            (_, ExplorationVerdict::Undecided) => format!("it could not be decided: {}", found.undecided.join("; ")),
        };
        Some(format!("expected {}, but {but}", self.verdict))
    }

    fn anomaly_missed(&self, found: &Exploration) -> Option<String> {
        let name = self.anomaly.as_ref()?;
        // That nothing at all is wrong is the verdict's to say.
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

/// [`Expect`] as a file has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectTable {
    verdict: Option<ExpectedVerdict>,
    anomaly: Option<String>,
    interleavings: Option<u64>,
    deadlocks: Option<bool>,
    conflicts: Option<bool>,
    #[serde(default)]
    waits: Vec<String>,
    #[serde(default)]
    never_waits: Vec<String>,
}

impl ExpectTable {
    /// Those of each level: the table itself if the file names no levels, else one table a level in it.
    pub(super) fn of_levels(mut table: Table, levels: &[Option<String>]) -> Result<Vec<Self>, String> {
        let of_level = |level: &Option<String>| {
            let own = match level {
                None => std::mem::take(&mut table).into(),
                Some(level) => table.remove(level).unwrap_or_else(|| Table::new().into()),
            };
            own.try_into().map_err(|error| format!("expect: {}", error.message()))
        };
        let read = levels.iter().map(of_level).collect::<Result<_, _>>()?;
        // A table of a level that is not explored would be passed over in silence.
        table.keys().next().map_or(Ok(read), |unread| {
            let tables: Vec<_> = levels.iter().flatten().map(|level| format!("[expect.{level:?}]")).collect();
            Err(expected("expect", &tables.join(" and "), format_args!("{unread:?}")))
        })
    }

    /// With the names in it resolved.
    pub(super) fn check(
        self,
        sessions: &[SessionScript],
        invariants: &[Invariant],
        serial: bool,
    ) -> Result<Expect, String> {
        let Self { verdict, anomaly, interleavings, deadlocks, conflicts, waits, never_waits } = self;
        // To name an anomaly is to expect it.
        let verdict =
            verdict.unwrap_or(if anomaly.is_some() { ExpectedVerdict::Broken } else { ExpectedVerdict::Holds });
        let mut breakable: Vec<&str> = invariants.iter().map(|invariant| invariant.name.as_str()).collect();
        breakable.extend(serial.then_some(NOT_SERIALIZABLE));
        if verdict == ExpectedVerdict::Broken && breakable.is_empty() {
            return Err("expect: expected an invariant, or serial = true, beside what is to be broken".to_owned());
        }
        if let Some(anomaly) = &anomaly {
            if verdict == ExpectedVerdict::Holds {
                return Err(expected("expect.anomaly", "verdict = \"broken\" beside it", "\"holds\""));
            }
            if !breakable.contains(&anomaly.as_str()) {
                return Err(expected("expect.anomaly", &format!("one of {breakable:?}"), format_args!("{anomaly:?}")));
            }
        }
        let waits = find_all("expect.waits", sessions, &waits)?;
        let never_waits = find_all("expect.never_waits", sessions, &never_waits)?;
        Ok(Expect { verdict, anomaly, interleavings, deadlocks, conflicts, waits, never_waits })
    }
}

fn find_all(field: &str, sessions: &[SessionScript], texts: &[String]) -> Result<Vec<StatementRef>, String> {
    let found = |text: &String| find(sessions, text).map_err(|what| expected(field, &what, format_args!("{text:?}")));
    texts.iter().map(found).collect()
}

/// The statement that a text such as `B: update` or `B: 2` is about; the error says what is allowed.
fn find(sessions: &[SessionScript], text: &str) -> Result<StatementRef, String> {
    let (who, which) = text.split_once(':').unwrap_or((text, ""));
    let which = which.trim();
    let of_letter = |(index, session)| (letter(index).to_string() == who.trim()).then_some((letter(index), session));
    let Some((actor, session)) = sessions.iter().enumerate().find_map(of_letter) else {
        return Err("a session and a statement of it, such as \"A: update\" or \"A: 1\"".to_owned());
    };
    let by_number = which.parse().ok().and_then(|number: usize| session.statements.get(number.checked_sub(1)?));
    let found = by_number.or_else(|| session.statements.iter().find(|statement| statement.name == which));
    let names = || session.statements.iter().map(|statement| statement.name.as_str()).collect::<Vec<_>>().join(", ");
    found
        .map(|statement| (actor, statement.name.clone()))
        .ok_or_else(|| format!("the name of a statement of {actor} ({}) or its number", names()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::file::Script;
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
    fn what_was_expected_and_is_not_so_is_said() {
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
                vec!["expected A: debit to wait, and it never had to", "expected B: update 2 never to wait"],
            ),
        ] {
            let script = Script::parse(&format!("{FILE}{expect}")).unwrap();
            let misses = script.variants[0].expect.misses(&found, &waited);
            assert_eq!(misses.len(), missed.len(), "{expect}: {misses:?}");
            assert!(misses.iter().zip(&missed).all(|(miss, text)| miss.contains(text)), "{expect}: {misses:?}");
        }
    }

    #[test]
    fn what_no_exploration_could_find_is_refused() {
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
            ("waits = ['C: begin']", "expect.waits: expected a session and a statement of it, such as"),
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
