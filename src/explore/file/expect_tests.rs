use std::collections::BTreeSet;

use super::Script;
use crate::explore::findings::{DistinctOutcome, Exploration, ExplorationVerdict, Subject};
use crate::explore::schedule::Actor;
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
        sample: None,
        last: None,
        waited: 0,
        deadlocks,
        conflicts,
        gave_up: 0,
        outcomes: vec![DistinctOutcome { lines: Vec::new(), count: 1, anomalies, example: "AAABB".parse().unwrap() }],
        violations: 0,
        undecided: vec!["a timeout".to_owned()],
        missed: Vec::new(),
        limits: Vec::new(),
        alone: Vec::new(),
        examples: Vec::new(),
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
        ("anomaly = 'lost update'", "expect.anomaly: expected one of [\"invariant violated\"], found \"lost update\""),
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
