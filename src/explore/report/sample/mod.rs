//! Explorations as they look, for the tests of all reports.

pub mod transcripts;

use crate::explore::findings::{
    DistinctOutcome, Exploration, ExplorationVerdict, ExploreReport, ExploreVersions, FORMAT, Servers, Subject,
    ViolationWitness,
};
use crate::explore::transcript::Transcript;
use crate::lab::history::ClaimedSafety;

const LOST: &str = "Two withdrawals both read 10 and both wrote 2, so one is lost (versions 2 and 3 of users/1).";

/// Three scenarios: proved, broken, incomplete, undecided, and one of each kind of failed claim.
pub fn report() -> ExploreReport {
    let skipped_lock = Exploration {
        subject: Subject {
            without: Some("for update".to_owned()),
            claim: ClaimedSafety::Unsupported,
            ..subject("last-money", "pessimistic")
        },
        ..lost_update("pessimistic", ClaimedSafety::Unsupported)
    };
    let on = |servers, exploration: Exploration| Exploration {
        subject: Subject { servers: Some(servers), claim: ClaimedSafety::SafeOnOneServer, ..exploration.subject },
        ..exploration
    };
    let last_money = vec![
        lost_update("naive", ClaimedSafety::Broken),
        Exploration { waited: 14, ..proved("last-money", "pessimistic", 20) },
        skipped_lock,
        Exploration { waited: 60, conflicts: 72, ..proved("last-money", "repeatable-read", 132) },
        on(Servers::One, Exploration { waited: 4, ..proved("last-money", "in-process-mutex", 6) }),
        on(Servers::Each, lost_update("in-process-mutex", ClaimedSafety::SafeOnOneServer)),
        Exploration { waited: 3, pruned: 21, ..proved("last-money", "group-commit", 3) },
        incomplete(),
        undecided(),
        lost_update("optimistic-version", ClaimedSafety::Safe),
    ];
    let unordered = Subject { without: Some("order by id".to_owned()), ..subject("opposite-transfers", "pessimistic") };
    let transfers = vec![
        created_money(),
        Exploration { subject: unordered, waited: 88, deadlocks: 34, ..proved("", "", 184) },
        Exploration {
            subject: Subject { claim: ClaimedSafety::Broken, ..subject("opposite-transfers", "read-committed") },
            ..proved("", "", 70)
        },
    ];
    let explorations = last_money.into_iter().chain(transfers).chain([oversell()]).collect();
    ExploreReport { explorations, elapsed_s: 41.3, ..nothing() }
}

/// Isolation levels: the variants of an explore file, and two approaches at the same levels and their own.
pub fn levels() -> ExploreReport {
    let levels = ["read committed", "repeatable read", "serializable"];
    let at = |level: &str, exploration: Exploration| Exploration {
        subject: Subject {
            isolation: Some(level.to_owned()),
            claim: ClaimedSafety::Unsupported,
            ..exploration.subject
        },
        ..exploration
    };
    let variant = |level: &str, exploration: Exploration| Exploration {
        subject: Subject {
            approach: level.to_owned(),
            file: Some("doctors.toml".to_owned()),
            claim: ClaimedSafety::Unsupported,
            ..exploration.subject
        },
        ..exploration
    };
    let mut skew = proved("on-call doctors", "", 70);
    skew.conflicts = 38;
    let [low, middle, high] = levels;
    skew.missed = vec!["expected some conflict".to_owned()];
    let mut explorations = vec![variant(low, write_skew()), variant(middle, write_skew()), variant(high, skew)];
    explorations.push(lost_update("read-committed", ClaimedSafety::Broken));
    explorations.push(at(low, lost_update("read-committed", ClaimedSafety::Broken)));
    explorations.extend([middle, high].map(|level| at(level, proved("last-money", "read-committed", 132))));
    explorations.push(proved("last-money", "pessimistic", 20));
    explorations.extend(levels.map(|level| at(level, proved("last-money", "pessimistic", 20))));
    ExploreReport { explorations, elapsed_s: 12.0, ..nothing() }
}

/// A report whose names and texts are out to break every format.
pub fn hostile() -> ExploreReport {
    let fields = [
        "approach",
        "scenario",
        "without",
        "isolation",
        "undecided",
        "lines",
        "anomalies",
        "explanation",
        "title",
        "before",
        "sql",
        "values",
        "ended",
    ];
    let mut report = crate::report::sample::hostile(&report(), &fields);
    report.interrupted = true;
    report.explorations.iter_mut().for_each(|exploration| exploration.estimate = 1e300);
    report
}

/// Ended before anything was explored.
pub fn nothing() -> ExploreReport {
    ExploreReport {
        format: FORMAT,
        started: "2026-11-21T12:00:00Z".to_owned(),
        elapsed_s: 0.0,
        versions: ExploreVersions { lab: "0.1.0 (1f714f3)".to_owned(), postgresql: "17.5".to_owned() },
        interrupted: false,
        explorations: Vec::new(),
    }
}

fn subject(scenario: &str, approach: &str) -> Subject {
    Subject {
        scenario: scenario.to_owned(),
        approach: approach.to_owned(),
        file: None,
        clients: 2,
        servers: None,
        isolation: None,
        without: None,
        crash: None,
        claim: ClaimedSafety::Safe,
    }
}

fn outcome(lines: &[&str], count: u64, anomalies: &[&str], example: &str) -> DistinctOutcome {
    let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
    DistinctOutcome { lines: texts(lines), count, anomalies: texts(anomalies), example: example.parse().unwrap() }
}

#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn proved(scenario: &str, approach: &str, interleavings: u64) -> Exploration {
    let refused = "refused: Insufficient funds";
    let first = [&format!("A: {DONE}"), &format!("B: {refused}"), "users/1: balance 2, version 2"];
    let second = [&format!("A: {refused}"), &format!("B: {DONE}"), "users/1: balance 2, version 2"];
    let half = interleavings / 2;
    Exploration {
        subject: subject(scenario, approach),
        interleavings,
        estimate: interleavings as f64,
        complete: true,
        pruned: 0,
        last: None,
        waited: 0,
        deadlocks: 0,
        conflicts: 0,
        gave_up: 0,
        outcomes: vec![outcome(&first, interleavings - half, &[], "AABB"), outcome(&second, half, &[], "BBAA")],
        violations: 0,
        undecided: Vec::new(),
        missed: Vec::new(),
        verdict: ExplorationVerdict::Proved,
        witness: None,
        elapsed_s: 0.02 * interleavings as f64,
    }
}

const DONE: &str = "done: users/1=2 (version 2)";

fn broken(
    exploration: Exploration,
    violations: u64,
    anomalies: &[&str],
    explanation: &str,
    transcript: Transcript,
) -> Exploration {
    let heard = transcript.parts.iter().filter_map(|part| Some(format!("{}: {}", part.actor, part.heard.as_ref()?)));
    let lines: Vec<String> = heard.chain(transcript.after.clone()).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut outcomes = exploration.outcomes;
    outcomes.insert(0, outcome(&lines, violations, anomalies, &transcript.schedule.to_string()));
    let witness = ViolationWitness {
        crash_after: None,
        anomalies: anomalies.iter().map(ToString::to_string).collect(),
        explanation: explanation.to_owned(),
        transcript,
    };
    Exploration { outcomes, violations, verdict: ExplorationVerdict::Broken, witness: Some(witness), ..exploration }
}

fn lost_update(approach: &str, claim: ClaimedSafety) -> Exploration {
    let sound = proved("last-money", approach, 2);
    let exploration = broken(sound, 4, &["lost-update"], LOST, transcripts::lost_update());
    Exploration { subject: Subject { claim, ..exploration.subject }, interleavings: 6, estimate: 6.0, ..exploration }
}

fn created_money() -> Exploration {
    let sound = Exploration { outcomes: Vec::new(), ..proved("opposite-transfers", "naive", 9) };
    let why = "5 more in the end than in the beginning: users/2 was credited, and users/1 was never charged.";
    let exploration = broken(sound, 9, &["money-created"], why, transcripts::cut());
    Exploration { subject: Subject { claim: ClaimedSafety::Broken, ..exploration.subject }, ..exploration }
}

fn oversell() -> Exploration {
    let sound = Exploration { outcomes: Vec::new(), ..proved("last-seat", "naive", 1680) };
    let why = "3 bookings of events/1, which has 1 seat.";
    let exploration = broken(sound, 1590, &["oversell", "lost-update"], why, transcripts::three_bookings());
    Exploration { subject: Subject { claim: ClaimedSafety::Broken, clients: 3, ..exploration.subject }, ..exploration }
}

fn write_skew() -> Exploration {
    let sound = Exploration { outcomes: Vec::new(), ..proved("on-call doctors", "", 70) };
    let why = "No doctor is on call, although each of them alone would have stayed.";
    broken(sound, 52, &["write-skew"], why, transcripts::write_skew())
}

fn incomplete() -> Exploration {
    Exploration {
        complete: false,
        estimate: 48_620.0,
        last: Some("AABABBABAABBABBA".parse().unwrap()),
        waited: 410,
        conflicts: 617,
        verdict: ExplorationVerdict::HeldSoFar,
        ..proved("last-money", "serializable", 1000)
    }
}

fn undecided() -> Exploration {
    Exploration {
        undecided: vec!["BA: B's answer is lost, and both outcomes are explained by a serial order".to_owned()],
        verdict: ExplorationVerdict::Undecided,
        ..proved("last-money", "stored-function", 2)
    }
}
