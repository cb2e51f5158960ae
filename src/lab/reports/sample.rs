//! Runs as they look, for the tests of all reports. The figures are those of a small machine, without chance.

use std::collections::BTreeMap;

use crate::lab::results::{
    ApproachResult, Bucket, Environment, FORMAT, Generator, Latency, Round, Run, RunSettings, RunVerdict, Second,
    ServerEnvironment, Sweep, Waits,
};
use crate::report;
use referee::history::ClaimedSafety;
use referee::judgement::{Anomaly, Counts, Finding, Judgement, Witness, WitnessOperation};

/// An approach: name, rate, p50 and p99 in ms, mean attempts, lost updates a round.
type SampleApproach = (&'static str, f64, f64, f64, f64, u64);

const APPROACHES: [SampleApproach; 13] = [
    ("naive", 2449.0, 103.7, 140.4, 1.0, 18_367),
    ("read-committed", 1910.0, 126.7, 230.3, 1.0, 14_740),
    ("atomic-returning", 4848.0, 54.0, 101.6, 1.0, 0),
    ("check-constraint", 4746.0, 54.5, 124.4, 1.0, 0),
    ("pessimistic", 2514.0, 94.4, 180.5, 1.0, 0),
    ("optimistic-version", 2920.0, 81.7, 185.2, 1.21, 0),
    ("advisory-lock", 1905.0, 128.9, 222.6, 1.0, 0),
    ("repeatable-read", 2312.0, 91.7, 225.7, 1.26, 0),
    ("serializable", 1852.0, 166.3, 344.3, 1.31, 0),
    ("stored-function", 2553.0, 94.5, 175.5, 1.0, 0),
    ("in-process-mutex", 2794.0, 69.5, 224.5, 1.0, 0),
    ("group-commit", 22_906.0, 8.1, 30.1, 1.0, 0),
    ("two-servers", 2600.0, 90.0, 170.0, 1.0, 0),
];

const DURATION_S: u32 = 10;

/// Thirteen approaches, three rounds each: two broken, one that held, one that gave up now and then, one without trace.
pub fn run() -> Run {
    let results = APPROACHES.iter().map(|approach| result(approach, 3, None)).collect();
    Run {
        format: FORMAT,
        scenario: "withdrawal".to_owned(),
        started: "2026-11-21T12:00:00Z".to_owned(),
        elapsed_s: 431.0,
        interrupted: false,
        environment: environment(),
        settings: RunSettings {
            duration_ms: Some(1000 * u64::from(DURATION_S)),
            warmup_ms: 1000,
            repeat: 3,
            concurrency: 256,
            amount: Some(-2),
            random_seed: 42,
            ..RunSettings::default()
        },
        sweep: None,
        not_offered: vec!["unique-constraint".to_owned()],
        results,
    }
}

/// Four approaches at four pool sizes, one round each; naive is broken at all of them.
pub fn swept() -> Run {
    let values = ["2", "8", "32", "128"];
    let point = |&(name, rate, p50, p99, attempts, lost): &SampleApproach, index: usize| {
        let gain = [0.45, 0.8, 1.0, 0.92][index];
        let approach = (name, rate * gain, p50 / gain, p99 / gain, attempts, lost);
        result(&approach, 1, Some(values[index].to_owned()))
    };
    let results = [0, 2, 4, 5, 7].iter().flat_map(|index| (0..4).map(|at| point(&APPROACHES[*index], at))).collect();
    let sweep = Sweep { parameter: "pool-size".to_owned(), values: values.map(str::to_owned).to_vec() };
    let mut run = Run { sweep: Some(sweep), results, elapsed_s: 161.0, ..run() };
    run.settings.repeat = 1;
    run
}

/// A run whose names and texts are out to break every format.
pub fn hostile() -> Run {
    let fields = ["approach", "undecided", "limited", "explanation", "request", "heard", "targets"];
    Run { interrupted: true, ..report::sample::hostile(&run(), &fields) }
}

/// A run that was ended before it had begun, and one result without a round.
pub fn nothing() -> Run {
    let mut run = run();
    run.results.truncate(1);
    run.results[0].rounds.clear();
    run.results[0].verdict = RunVerdict::NoEvidence;
    run.interrupted = true;
    run
}

fn environment() -> Environment {
    let settings = [("fsync", "on"), ("synchronous_commit", "on"), ("max_connections", "100")];
    Environment {
        version: "0.1.0".to_owned(),
        commit: Some("4803f40".to_owned()),
        command_line: ["concurrency-lab", "run", "--duration", "10s", "--repeat", "3"].map(str::to_owned).to_vec(),
        system: "Linux x86_64".to_owned(),
        processor: Some("AMD EPYC 7B13".to_owned()),
        cores: 2,
        targets: Vec::new(),
        server: Some(ServerEnvironment {
            version: "0.1.0".to_owned(),
            commit: Some("4803f40".to_owned()),
            cores: 2,
            lab_headers: true,
            pool_size: 32,
            row_sessions: 8,
            postgres: "15.14".to_owned(),
            settings: settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }),
    }
}

fn result(approach: &SampleApproach, rounds: u32, value: Option<String>) -> ApproachResult {
    let name = approach.0;
    let claim = match name {
        "naive" | "read-committed" | "two-servers" => ClaimedSafety::Broken,
        "in-process-mutex" => ClaimedSafety::SafeOnOneServer,
        _ => ClaimedSafety::Safe,
    };
    let rounds: Vec<Round> = (1..=rounds).map(|number| round(approach, claim, number)).collect();
    let verdict = rounds.iter().map(|round| round.verdict).max().unwrap_or(RunVerdict::NoEvidence);
    ApproachResult { approach: name.to_owned(), claim, value, verdict, rounds }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small positive figures")]
fn round(&(name, rate, p50, p99, attempts, lost): &SampleApproach, claim: ClaimedSafety, number: u32) -> Round {
    let rate = rate * [1.0, 1.021, 0.973][number as usize % 3];
    let total = rate as u64 * u64::from(DURATION_S);
    let gave_up = if name == "serializable" { u64::from(number) + u64::from(number == 3) } else { 0 };
    let done = if lost > 0 { total } else { 5000 };
    let counts = Counts { done, refused: total - done - gave_up, not_done: gave_up, ..Counts::default() };
    let judgement = Judgement { counts, findings: findings(name, lost), undecided: Vec::new() };
    let retried = ((attempts - 1.0) * 0.8 * rate * f64::from(DURATION_S)) as u64;
    Round {
        round: number,
        verdict: RunVerdict::of(&judgement, claim, 1),
        judgement,
        elapsed_s: f64::from(DURATION_S),
        rate_per_s: rate,
        latency: latency(p50 * 1e3, p99 * 1e3, total),
        attempts: Some(attempts),
        retried,
        distinct_answers: if lost > 0 { 1830 } else { 5001 },
        series: (0..DURATION_S).map(|second| self::second(second, rate, p50, p99, name)).collect(),
        waits: (name != "in-process-mutex").then(|| waits(name, p50)),
        final_values: BTreeMap::from([("users/1".to_owned(), if lost > 0 { 148 } else { 0 })]),
        generator: Generator { cpu_share: 0.41, late_p99_us: 180, limited: None },
    }
}

fn findings(name: &str, lost: u64) -> Vec<Finding> {
    let operation = |id, client, invoked_ns, returned_ns, heard: &str| WitnessOperation {
        id,
        client,
        request: "withdraw 2 from user 1".to_owned(),
        invoked_ns,
        returned_ns,
        heard: heard.to_owned(),
    };
    let finding = |anomaly, count, operations: &[WitnessOperation], explanation: &str| Finding {
        anomaly,
        count,
        witness: Witness { operations: operations.to_vec(), explanation: explanation.to_owned() },
    };
    let first = operation(4, 3, 102_418_300, 140_201_900, "done: users/1=9998 (version 2)");
    let second = operation(9, 8, 103_007_100, 171_530_000, "done: users/1=9998 (version 3)");
    let third = operation(20_118, 8, 9_101_000_000, 9_171_530_000, "done: users/1=148 (version 24491)");
    let lost_twice =
        "Two withdrawals both read 10000 and both wrote 9998, so one is lost (versions 2 and 3 of users/1).";
    let lost_update = finding(Anomaly::LostUpdate, lost, &[first, second], lost_twice);
    let overdraft = finding(Anomaly::Overdraft, 1, &[third], "48980 was paid out of users/1, which had 10000.");
    match name {
        "naive" => vec![lost_update, overdraft],
        "read-committed" => vec![lost_update],
        _ => Vec::new(),
    }
}

/// Log-normal around the median, with the given 99th percentile.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "small positive figures"
)]
fn latency(p50_us: f64, p99_us: f64, total: u64) -> Latency {
    let sigma = (p99_us / p50_us).ln() / 2.326;
    let at = |deviations: f64| (p50_us * (sigma * deviations).exp()) as u64;
    let bucket = |index: i32| {
        let bound = 100.0 * 1.1f64.powi(index);
        let deviations = (bound / p50_us).ln() / sigma;
        let density = (-deviations * deviations / 2.0).exp() / sigma / 2.507 * 1.1f64.ln();
        Bucket { up_to_us: bound as u64, count: (density * total as f64) as u64 }
    };
    Latency {
        from_intended: false,
        p50_us: p50_us as u64,
        p90_us: at(1.282),
        p99_us: p99_us as u64,
        p999_us: at(3.09),
        max_us: at(4.1),
        buckets: (0..100).map(bucket).filter(|bucket| bucket.count > 0).collect(),
    }
}

/// A second with a little unrest, and with a checkpoint of PostgreSQL in the sixth.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "small positive figures"
)]
fn second(second: u32, rate: f64, p50_ms: f64, p99_ms: f64, name: &str) -> Second {
    let unrest = 1.0 + 0.05 * ((f64::from(second) * 2.3 + name.len() as f64).sin());
    let rate = if second == 5 { rate * 0.55 } else { rate * unrest } as u64;
    let done = if second == 0 { rate } else { 0 };
    Second {
        done,
        refused: rate - done,
        other: 0,
        retried: 0,
        p50_us: (p50_ms * 1e3) as u64,
        p99_us: (p99_ms * 1e3) as u64,
    }
}

fn waits(name: &str, p50_ms: f64) -> Waits {
    let locks = if matches!(name, "pessimistic" | "advisory-lock" | "serializable") { 0.3 } else { 0.05 };
    let us = p50_ms * 1e3;
    Waits {
        traced: 214,
        row_us: us * (0.5 - locks),
        pool_us: us * 0.25,
        locks_us: us * locks,
        statements_us: us * 0.1,
        commit_us: us * 0.15,
    }
}
