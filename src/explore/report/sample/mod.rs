//! Explorations as they look, for the tests of all reports.

pub mod transcripts;

use crate::explore::findings::{
    DistinctOutcome, Exploration, ExplorationVerdict, ExploreReport, ExploreVersions, FORMAT, Servers, Subject,
    ViolationWitness,
};
use crate::explore::transcript::Transcript;
use referee::history::ClaimedSafety::{self, Broken, Safe, SafeOnOneServer, Unsupported};

const DONE: &str = "done: users/1=2 (version 2)";
const REFUSED: &str = "refused: Insufficient funds";

/// Three scenarios: proved, broken, incomplete, undecided, and one of each kind of failed claim.
pub fn report() -> ExploreReport {
    let without = |text: &str, claim, exploration: Exploration| {
        exploration.with_subject(|subject| (subject.without, subject.claim) = (Some(text.to_owned()), claim))
    };
    let on = |servers, exploration: Exploration| {
        exploration.with_subject(|subject| (subject.servers, subject.claim) = (Some(servers), SafeOnOneServer))
    };
    let explorations = vec![
        lost_update("naive", Broken),
        Exploration { waited: 14, ..proved("last-money", "pessimistic", 20) },
        without("for update", Unsupported, lost_update("pessimistic", Unsupported)),
        Exploration { waited: 60, conflicts: 72, ..proved("last-money", "repeatable-read", 132) },
        on(Servers::One, Exploration { waited: 4, ..proved("last-money", "in-process-mutex", 6) }),
        on(Servers::Each, lost_update("in-process-mutex", SafeOnOneServer)),
        Exploration { waited: 3, pruned: 21, ..proved("last-money", "group-commit", 3) },
        incomplete(),
        undecided(),
        lost_update("optimistic-version", Safe),
        created_money(),
        without(
            "order by id",
            Safe,
            Exploration { waited: 88, deadlocks: 34, ..proved("opposite-transfers", "pessimistic", 184) },
        ),
        proved("opposite-transfers", "read-committed", 70).with_subject(|subject| subject.claim = Broken),
        oversell(),
    ];
    ExploreReport { explorations, elapsed_s: 41.3, ..nothing() }
}

/// Isolation levels: the variants of an explore file, and two approaches at the same levels and their own.
pub fn levels() -> ExploreReport {
    let [low, middle, high] = ["read committed", "repeatable read", "serializable"];
    let at = |level: &str, exploration: Exploration| {
        exploration.with_subject(|subject| (subject.isolation, subject.claim) = (Some(level.to_owned()), Unsupported))
    };
    let variant = |level: &str, exploration: Exploration| {
        exploration.with_subject(|subject| {
            (subject.approach, subject.file) = (level.to_owned(), Some("doctors.toml".to_owned()));
            subject.claim = Unsupported;
        })
    };
    let missed = vec!["expected some conflict".to_owned()];
    let skew = Exploration { conflicts: 38, missed, ..proved("on-call doctors", "", 70) };
    let mut explorations = vec![variant(low, write_skew()), variant(middle, write_skew()), variant(high, skew)];
    explorations.push(lost_update("read-committed", Broken));
    explorations.push(at(low, lost_update("read-committed", Broken)));
    explorations.extend([middle, high].map(|level| at(level, proved("last-money", "read-committed", 132))));
    explorations.push(proved("last-money", "pessimistic", 20));
    explorations.extend([low, middle, high].map(|level| at(level, proved("last-money", "pessimistic", 20))));
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

fn outcome(lines: Vec<String>, count: u64, anomalies: &[&str], example: &str) -> DistinctOutcome {
    let anomalies = anomalies.iter().map(ToString::to_string).collect();
    DistinctOutcome { lines, count, anomalies, example: example.parse().unwrap() }
}

#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn proved(scenario: &str, approach: &str, interleavings: u64) -> Exploration {
    let lines =
        |a: &str, b: &str| vec![format!("A: {a}"), format!("B: {b}"), "users/1: balance 2, version 2".to_owned()];
    let half = interleavings / 2;
    Exploration {
        subject: Subject {
            scenario: scenario.to_owned(),
            approach: approach.to_owned(),
            file: None,
            clients: 2,
            servers: None,
            isolation: None,
            without: None,
            crash: None,
            claim: Safe,
        },
        interleavings,
        estimate: interleavings as f64,
        complete: true,
        pruned: 0,
        sample: None,
        last: None,
        waited: 0,
        deadlocks: 0,
        conflicts: 0,
        gave_up: 0,
        outcomes: vec![
            outcome(lines(DONE, REFUSED), interleavings - half, &[], "AABB"),
            outcome(lines(REFUSED, DONE), half, &[], "BBAA"),
        ],
        violations: 0,
        undecided: Vec::new(),
        missed: Vec::new(),
        limits: Vec::new(),
        alone: Vec::new(),
        examples: Vec::new(),
        verdict: ExplorationVerdict::Proved,
        witness: None,
        elapsed_s: 0.02 * interleavings as f64,
    }
}

impl Exploration {
    fn with_subject(mut self, change: impl FnOnce(&mut Subject)) -> Self {
        change(&mut self.subject);
        self
    }

    fn broken(mut self, violations: u64, anomalies: &[&str], explanation: &str, transcript: Transcript) -> Self {
        let heard =
            transcript.parts.iter().filter_map(|part| Some(format!("{}: {}", part.actor, part.heard.as_ref()?)));
        let lines = heard.chain(transcript.after.clone()).collect();
        self.outcomes.insert(0, outcome(lines, violations, anomalies, &transcript.schedule.to_string()));
        let (anomalies, explanation) = (self.outcomes[0].anomalies.clone(), explanation.to_owned());
        let witness = Some(ViolationWitness { crash_after: None, anomalies, explanation, transcript });
        Self { violations, verdict: ExplorationVerdict::Broken, witness, ..self }
    }
}

fn lost_update(approach: &str, claim: ClaimedSafety) -> Exploration {
    let why = "Two withdrawals both read 10 and both wrote 2, so one is lost (versions 2 and 3 of users/1).";
    let exploration = proved("last-money", approach, 2).broken(4, &["lost-update"], why, transcripts::lost_update());
    let exploration = exploration.with_subject(|subject| subject.claim = claim);
    Exploration { interleavings: 6, estimate: 6.0, ..exploration }
}

/// Every interleaving but a few ends as this transcript does.
fn all_broken(scenario: &str, runs: [u64; 2], anomalies: &[&str], why: &str, transcript: Transcript) -> Exploration {
    let [interleavings, violations] = runs;
    let sound = Exploration { outcomes: Vec::new(), ..proved(scenario, "naive", interleavings) };
    sound.broken(violations, anomalies, why, transcript).with_subject(|subject| subject.claim = Broken)
}

fn created_money() -> Exploration {
    let why = "5 more in the end than in the beginning: users/2 was credited, and users/1 was never charged.";
    all_broken("opposite-transfers", [9, 9], &["money-created"], why, transcripts::cut())
}

fn oversell() -> Exploration {
    let why = "3 bookings of events/1, which has 1 seat.";
    all_broken("last-seat", [1680, 1590], &["oversell", "lost-update"], why, transcripts::three_bookings())
        .with_subject(|subject| subject.clients = 3)
}

fn write_skew() -> Exploration {
    let why = "No doctor is on call, although each of them alone would have stayed.";
    all_broken("on-call doctors", [70, 52], &["write-skew"], why, transcripts::write_skew())
}

fn incomplete() -> Exploration {
    Exploration {
        complete: false,
        estimate: 48_620.0,
        sample: None,
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
