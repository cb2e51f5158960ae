//! `run` as a measuring tool: loops, limits, interruption, sweeps, thresholds, formats, comparison, and other services.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::runs::{end_of, run, start};
use super::served::{Served, run_to_end};
use crate::common::{directory, eventually, program, repository};

/// The server stops for two seconds. A closed loop sends almost nothing meanwhile, so its percentiles hardly show the stall; an
/// open loop counts every request that was due.
#[tokio::test]
async fn an_open_loop_sees_a_stall_that_a_closed_loop_hides() {
    let directory = directory();
    let server = Served::on_shared(&["--seed=bench"]);
    let target = format!("--target={}", server.url);
    let p99_ms = async |name: &str, loop_options: &[&str]| {
        let out = directory.path().join(name);
        let mut arguments = vec!["--approach=group-commit", &target, "--duration=8s", "--amount=0"];
        arguments.extend(loop_options);
        let child = start(&out, &arguments);
        // In the middle of the load; the exact moment does not matter.
        tokio::time::sleep(Duration::from_secs(3)).await;
        server.signal(Signal::SIGSTOP);
        tokio::time::sleep(Duration::from_secs(2)).await;
        server.signal(Signal::SIGCONT);
        let run = end_of(child, &out).await;
        assert_eq!(run.code, Some(0), "{}{}", run.output, run.errors);
        let round = run.result("group-commit")["rounds"][0].clone();
        let max_us = round["latency"]["max_us"].as_u64().expect("a latency");
        assert!(max_us > 1_500_000, "the stall was met: {max_us} µs");
        let shown = run.output.clone() + &run.file("report.html");
        (round["latency"]["p99_us"].as_u64().expect("a latency") / 1_000, shown)
    };
    let (open_ms, _) = p99_ms("open", &["--rate=200", "--concurrency=64"]).await;
    assert!(open_ms >= 1_000, "open loop: p99 {open_ms} ms");
    let (closed_ms, shown) = p99_ms("closed", &["--concurrency=4"]).await;
    assert!(closed_ms < 500, "closed loop: p99 {closed_ms} ms");
    assert!(shown.contains("WARNING: The server stalled (group-commit)"), "the report warns of the stall: {shown}");
}

/// The server stops until after the end of the load. Requests that were due before the end count, although they are sent later.
#[tokio::test]
async fn an_open_loop_also_sends_the_requests_that_were_due_before_its_end() {
    let directory = directory();
    let server = Served::on_shared(&["--seed=bench"]);
    let target = format!("--target={}", server.url);
    let out = directory.path().join("runs");
    let arguments =
        ["--approach=group-commit", &target, "--amount=0", "--rate=100", "--concurrency=8", "--duration=4s"];
    let child = start(&out, &arguments);
    grows(&out).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    // Until the load has surely ended.
    server.signal(Signal::SIGSTOP);
    tokio::time::sleep(Duration::from_secs(4)).await;
    server.signal(Signal::SIGCONT);
    let run = end_of(child, &out).await;
    assert_eq!(run.code, Some(0), "{}{}", run.output, run.errors);
    let round = run.result("group-commit")["rounds"][0].clone();
    assert_eq!(round["judgement"]["counts"]["done"], 400, "all that were due in 4 s at 100 a second");
    assert!(round["latency"]["p90_us"].as_u64().expect("a latency") > 1_000_000, "{}", round["latency"]);
}

/// Waits until the history of a run is not empty.
async fn grows(out: &Path) {
    eventually("its history grows", async || {
        let folder = std::fs::read_dir(out).ok().and_then(|mut folders| folders.next()?.ok());
        let history = folder.and_then(|folder| std::fs::metadata(folder.path().join("history.jsonl")).ok());
        history.is_some_and(|history| history.len() > 0)
    })
    .await;
}

#[tokio::test]
async fn a_run_whose_target_dies_keeps_its_results_and_exits_3() {
    let directory = directory();
    let mut server = Served::on_shared(&["--seed=bench"]);
    let target = format!("--target={}", server.url);
    let out = directory.path().join("runs");
    let arguments = ["--approach=atomic-returning", &target, "--duration=30s", "--concurrency=4", "--amount=0"];
    let child = start(&out, &arguments);
    grows(&out).await;
    server.kill();
    // The clients would try to connect for all of the 30 s; the signal ends that.
    kill(Pid::from_raw(i32::try_from(child.id()).expect("a pid")), Signal::SIGINT).expect("a living process");
    let run = end_of(child, &out).await;
    assert_eq!(run.code, Some(3), "{}", run.errors);
    assert!(run.errors.contains("the target does not answer"), "{}", run.errors);
    let result = run.result("atomic-returning");
    assert_eq!(result["verdict"], "undecided", "{}", run.output);
    assert!(
        result["rounds"][0]["judgement"]["counts"]["done"].as_u64() > Some(0),
        "the results before the crash are there"
    );
}

#[tokio::test]
async fn an_interrupted_run_ends_cleanly_with_the_results_so_far() {
    let directory = directory();
    let out = directory.path().join("runs");
    let arguments = ["--approach=atomic-returning,pessimistic", "--duration=60s", "--amount=0", "--concurrency=8"];
    let child = start(&out, &arguments);
    grows(&out).await;
    kill(Pid::from_raw(i32::try_from(child.id()).expect("a pid")), Signal::SIGINT).expect("a living process");
    let run = end_of(child, &out).await;
    assert_eq!(run.code, Some(0), "{}{}", run.output, run.errors);
    let json = run.json();
    assert_eq!(json["interrupted"], true);
    assert_eq!(json["results"].as_array().expect("results").len(), 1, "the second one never began");
    assert_eq!(json["results"][0]["verdict"], "correct", "the results so far are judged");
    assert!(run.file("report.html").contains("nterrupted"), "the page says so");
}

#[test]
fn the_random_seed_decides_the_requests_and_hot_rows_and_zipf_their_rows() {
    let directory = directory();
    let requests = |name: &str, options: &[&str]| {
        let mut arguments = vec!["--approach=group-commit", "--requests=300", "--concurrency=4"];
        arguments.extend(options);
        let run = run(&directory.path().join(name), &arguments);
        assert_eq!(run.code, Some(0), "{}{}", run.output, run.errors);
        let history = run.file("history.jsonl");
        let mut users: Vec<(u64, i64)> = history
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
            .filter_map(|line| Some((line["id"].as_u64()?, line["request"]["balance"]["user"].as_i64()?)))
            .collect();
        users.sort_unstable();
        users
    };
    let one = requests("one", &["--hot-rows=50", "--random-seed=7"]);
    assert_eq!(one.len(), 300);
    assert!(one.iter().any(|(_, user)| *user > 25) && one.iter().all(|(_, user)| (1..=50).contains(user)));
    assert_eq!(one, requests("again", &["--hot-rows=50", "--random-seed=7"]));
    assert_ne!(one, requests("other", &["--hot-rows=50", "--random-seed=8"]));
    let hottest = |users: &[(u64, i64)]| users.iter().filter(|(_, user)| *user == 1).count();
    let zipf = requests("zipf", &["--hot-rows=50", "--random-seed=7", "--zipf=1.5"]);
    assert!(hottest(&zipf) > 3 * hottest(&one), "{} and {}", hottest(&zipf), hottest(&one));
}

#[test]
fn a_sweep_of_the_pool_restarts_its_server_and_shows_each_value() {
    let directory = directory();
    let arguments = ["--approach=pessimistic", "--sweep=pool-size=2,8", "--requests=1000", "--concurrency=32"];
    let run = run(directory.path(), &arguments);
    assert_eq!(run.code, Some(0), "{}{}", run.output, run.errors);
    let json = run.json();
    assert_eq!(json["sweep"]["parameter"], "pool-size");
    let values: Vec<_> =
        json["results"].as_array().expect("results").iter().map(|result| result["value"].clone()).collect();
    assert_eq!(values, ["2", "8"]);
    assert!(run.file("report.html").contains("<svg"), "one chart");
}

#[test]
fn a_missed_threshold_exits_4_and_names_the_figure() {
    let directory = directory();
    let with = |name: &str, threshold: &str| {
        let arguments = ["--approach=group-commit", "--requests=100", "--concurrency=4", "--threshold", threshold];
        run(&directory.path().join(name), &arguments)
    };
    assert_eq!(with("met", "p99<600s,rate>0.001,attempts<1000").code, Some(0));
    let missed = with("missed", "p99<1us,rate>1");
    assert_eq!(missed.code, Some(4), "{}", missed.errors);
    assert!(missed.errors.contains("p99") && missed.errors.contains("group-commit"), "{}", missed.errors);
    assert!(!missed.errors.contains("rate>1"), "only what was missed: {}", missed.errors);
    for wrong in ["p98<1ms", "p99<50", "rate>5ms", "p99", "p99<50 parsecs"] {
        let refused = with("wrong", wrong);
        assert_eq!(refused.code, Some(2), "{wrong}: {}", refused.errors);
        assert!(refused.errors.contains("--threshold"), "{wrong}: {}", refused.errors);
    }
}

#[test]
fn runs_are_printed_in_each_format_and_compared_only_under_the_same_conditions() {
    let directory = directory();
    let with = |name: &str, options: &[&str]| {
        let mut arguments = vec!["--approach=naive,group-commit", "--requests=200", "--concurrency=4", "--repeat=2"];
        arguments.extend(options);
        let run = run(&directory.path().join(name), &arguments);
        assert_eq!(run.code, Some(0), "{}{}", run.output, run.errors);
        run
    };
    let json = with("json", &["--format=json"]);
    assert_eq!(serde_json::from_str::<Value>(&json.output).expect("JSON alone on standard output"), json.json());
    let csv = with("csv", &["--format=csv"]);
    assert_eq!(csv.output.lines().count(), 5, "a heading, and a line a round: {}", csv.output);
    let markdown = with("markdown", &["--format=markdown"]);
    assert!(markdown.output.contains("| group-commit"), "{}", markdown.output);
    let junit = with("junit", &["--format=junit"]);
    assert!(junit.output.contains("<testsuite") && junit.output.contains("group-commit"), "{}", junit.output);

    let compare = |one: &Path, other: &Path| {
        let mut command = program();
        command.arg("compare").args([one, other]);
        run_to_end(command)
    };
    let (code, output, errors) = compare(&json.folder(), &csv.folder().join("run.json"));
    assert_eq!(code, Some(0), "{output}{errors}");
    assert!(output.contains("group-commit"), "{output}");
    let other = with("other", &["--think-time=1ms"]);
    let (code, _, errors) = compare(&json.folder(), &other.folder());
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("think"), "it names what differs: {errors}");
    let (code, _, errors) = compare(&json.folder(), Path::new("/nonexistent"));
    assert_eq!(code, Some(3), "{errors}");
}

#[test]
fn check_agrees_with_the_run_and_finds_changes_of_the_history() {
    let directory = directory();
    let run = run(&directory.path().join("runs"), &["--approach=pessimistic", "--requests=500", "--concurrency=8"]);
    let history = run.file("history.jsonl");
    let check = |text: &str| {
        let path = directory.path().join("history.jsonl");
        std::fs::write(&path, text).expect("a file");
        let mut command = program();
        command.arg("check").arg(&path);
        run_to_end(command)
    };
    let (code, output, errors) = check(&history);
    assert_eq!(code, Some(0), "{output}{errors}");
    assert!(output.starts_with("correct: pessimistic, withdrawal, round 1: 500 done"), "{output}");
    // The balance of one version is changed.
    let changed = history.replace(r#""value":9800,"#, r#""value":9802,"#);
    assert_ne!(changed, history);
    let (code, output, errors) = check(&changed);
    assert_eq!(code, Some(1), "{output}{errors}");
    assert!(output.contains("CLAIM FAILED") && output.contains("lost-update") && output.contains("9802"), "{output}");
    // One operation is removed, but the count in the end line is not changed.
    let line = history.lines().find(|line| line.contains(r#""value":9700,"#)).expect("a line");
    let shorter = history.replace(&format!("{line}\n"), "");
    let (code, _, errors) = check(&shorter);
    assert_eq!(code, Some(3), "{errors}");
    assert!(errors.contains("operations: expected 499, found 500"), "{errors}");
    let (code, output, _) = check(&shorter.replace(r#""operations":500"#, r#""operations":499"#));
    assert_eq!(code, Some(1), "{output}");
    // The file is cut in the middle of the round.
    let (code, output, errors) = check(&history[..history.len() / 2]);
    assert_eq!(code, Some(0), "{output}{errors}");
    assert!(output.contains("cut short"), "{output}");
    for (text, reason) in [("", "the file has no round"), ("{}\n", "line 1"), ("nonsense\n", "line 1")] {
        let (code, _, errors) = check(text);
        assert_eq!(code, Some(3), "{text:?}: {errors}");
        assert!(errors.contains(reason), "{text:?}: {errors}");
    }
}

/// A service in Python, whose answers have no versions.
fn wallet(options: &[&str]) -> Served {
    let mut command = Command::new("python3");
    command.arg(repository().join("examples/foreign/server.py")).arg("0").args(options);
    Served::spawn(command)
}

#[test]
fn a_service_with_a_routes_file_can_be_run() {
    let directory = directory();
    let routes = repository().join("examples/foreign/routes.toml").display().to_string();
    for (options, verdict, code) in [(&[][..], "claim-failed", 1), (&["--fixed"], "correct", 0)] {
        let service = wallet(options);
        let arguments =
            ["--target", &service.url, "--routes", &routes, "--requests=1000", "--concurrency=8", "--repeat=2"];
        let run = run(&directory.path().join(verdict), &arguments);
        assert_eq!(run.code, Some(code), "{}{}", run.output, run.errors);
        assert_eq!(run.result("wallet")["verdict"], verdict, "{}", run.output);
        if code == 1 {
            assert!(run.anomalies("wallet").iter().any(|anomaly| anomaly == "lost-update"), "{}", run.output);
        }
    }
    let service = wallet(&[]);
    for (arguments, message) in [
        (&["counter", "--routes", &routes][..], "wallet has no route for the scenario counter"),
        (&["--routes", &routes, "--think-time=5ms"], "--think-time"),
        (&["--routes", "/nonexistent.toml"], "--routes: /nonexistent.toml"),
    ] {
        let mut arguments = arguments.to_vec();
        arguments.extend(["--target", &service.url]);
        let run = run(&directory.path().join("refused"), &arguments);
        assert_eq!(run.code, Some(2), "{arguments:?}: {}", run.errors);
        assert!(run.errors.contains(message), "{arguments:?}: {}", run.errors);
    }
}
