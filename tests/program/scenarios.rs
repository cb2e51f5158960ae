//! The five scenarios on every approach: safe approaches hold; with a think time, every broken approach shows its
//! anomaly.

use concurrency_lab::strategy::{Approach, Claim};
use domain::Workload;
use serde_json::{Value, json};
use strum::IntoEnumIterator;

use super::runs::run;
use super::served::{Served, run_to_end};
use crate::common::{claiming, directory, program};

fn workload(scenario: &str) -> Workload {
    match scenario {
        "withdrawal" | "mixed" => Workload::Balance,
        "transfer" => Workload::Transfer,
        "booking" => Workload::Booking,
        _ => Workload::Counter,
    }
}

/// Runs a scenario on all approaches. Every safe approach must hold in each round, and `check` on the history must say the same.
fn holds(scenario: &str, rounds: usize, options: &[&str], final_values: &Value) {
    let directory = directory();
    let repeat = format!("--repeat={rounds}");
    let arguments = [&[scenario, &repeat, "--concurrency=64"], options].concat();
    let run = run(&directory.path().join("runs"), &arguments);
    assert_eq!(run.code, Some(0), "{}{}", run.output, run.errors);
    let workload = workload(scenario);
    let offered = Approach::iter().filter(|approach| approach.info().claims.of(workload) != Claim::Unsupported);
    assert_eq!(run.results().len(), offered.count(), "exactly the approaches that offer it");
    let right: Vec<_> = claiming(workload, Claim::Safe).chain(claiming(workload, Claim::SafeOnOneServer)).collect();
    for approach in &right {
        let result = run.result(approach.name());
        assert_eq!(result["verdict"], "correct", "{approach}: {}", run.output);
        let found = result["rounds"].as_array().expect("rounds");
        assert_eq!(found.len(), rounds, "{approach}");
        for (row, value) in final_values.as_object().expect("rows") {
            assert!(found.iter().all(|round| round["final_values"][row] == *value), "{approach}: {found:?}");
        }
    }
    let mut check = program();
    check.arg("check").arg(run.folder().join("history.jsonl"));
    let (code, output, errors) = run_to_end(check);
    assert_eq!(code, Some(0), "{output}{errors}");
    assert_eq!(output.matches("correct: ").count(), rounds * right.len(), "{output}");
}

// `race.rs` has the withdrawals.

#[test]
fn mixed_ends_with_the_right_balances() {
    holds("mixed", 1, &[], &json!({"users/1": 1500, "users/2": 1250, "users/3": 1000}));
}

#[test]
fn transfers_hold() {
    holds("transfer", 1, &["--requests=400", "--hot-rows=20"], &json!({}));
}

#[test]
fn bookings_hold() {
    holds("booking", 1, &["--requests=800"], &json!({"events/1": 0, "events/2": 0}));
}

#[test]
fn counters_hold_three_times() {
    holds("counter", 3, &["--requests=300"], &json!({"counters/1": 301}));
}

/// With a think time between read and write, every approach that is claimed to be broken shows its anomaly.
#[test]
fn broken_approaches_show_their_anomalies() {
    let directory = directory();
    for (scenario, rows, anomalies) in [
        ("withdrawal", None, &["lost-update"][..]),
        ("mixed", None, &["lost-update"]),
        ("transfer", Some("--hot-rows=4"), &["lost-update"]),
        ("booking", None, &["oversell", "double-booking"]),
        ("counter", None, &["lost-update"]),
    ] {
        let broken: Vec<_> = claiming(workload(scenario), Claim::Broken).map(Approach::name).collect();
        assert!(!broken.is_empty());
        let approaches = format!("--approach={}", broken.join(","));
        let mut arguments = vec![scenario, &approaches, "--think-time=2ms", "--requests=400", "--concurrency=32"];
        arguments.extend(rows);
        let run = run(&directory.path().join(scenario), &arguments);
        assert_eq!(run.code, Some(0), "as claimed: {}{}", run.output, run.errors);
        for approach in broken {
            assert_eq!(run.result(approach)["verdict"], "broken-as-claimed", "{scenario}: {}", run.output);
            let found = run.anomalies(approach);
            for anomaly in anomalies {
                assert!(found.iter().any(|name| name == anomaly), "{scenario}, {approach}: {anomaly}, not {found:?}");
            }
        }
        if scenario == "transfer" {
            let found = run.anomalies("naive");
            assert!(found.iter().any(|name| name == "money-created"), "a refusal after the credit: {found:?}");
        }
    }
}

#[test]
fn in_process_mutex_breaks_on_two_servers_of_one_database() {
    let directory = directory();
    let one = Served::on_shared(&[]);
    let mut command = program();
    command.args(["serve", "--listen=127.0.0.1:0"]).env("DATABASE_URL", one.database_url());
    let other = Served::spawn(command);
    let targets = format!("--target={},{}", one.url, other.url);
    for (scenario, anomaly) in [
        ("withdrawal", "lost-update"),
        ("transfer", "lost-update"),
        ("booking", "oversell"),
        ("counter", "lost-update"),
    ] {
        let mut arguments = vec![
            scenario,
            &targets,
            "--approach=in-process-mutex,pessimistic",
            "--think-time=2ms",
            "--requests=300",
            "--concurrency=16",
        ];
        arguments.extend((scenario == "transfer").then_some("--hot-rows=4"));
        let run = run(&directory.path().join(scenario), &arguments);
        assert_eq!(run.code, Some(0), "{}{}", run.output, run.errors);
        assert_eq!(run.result("in-process-mutex")["verdict"], "broken-as-claimed", "{scenario}: {}", run.output);
        let found = run.anomalies("in-process-mutex");
        assert!(found.iter().any(|name| name == anomaly), "{scenario}: {anomaly}, not {found:?}");
        assert_eq!(run.result("pessimistic")["verdict"], "correct", "{scenario}: {}", run.output);
    }
}
