//! Clients of other projects, run as the documentation says: wrk with the Lua scripts, the Go tester, k6 and Locust.
//!
//! `scripts/setup.sh test` installs them. Without them these tests fail with a message that says so.

use std::process::Command;
use std::time::Duration;

use concurrency_lab::strategy::{Approach, Claim};
use strum::IntoEnumIterator;
use tokio::time::timeout;

use super::served::{Served, run_to_end};
use crate::common::{directory, repository};

fn client(program: &str) -> Command {
    let found = Command::new(program).arg("version").output();
    assert!(found.is_ok(), "{program} is not installed; scripts/setup.sh test installs it");
    let mut command = Command::new(program);
    command.current_dir(repository());
    command
}

fn wrk(server: &Served, script: &str, path: &str, options: &[&str]) -> String {
    let mut command = client("wrk");
    command.args(["-t2", "-d2s", "--timeout=10s", "-s"]).arg(script).args(options).arg(format!("{}{path}", server.url));
    let (code, output, errors) = run_to_end(command);
    assert_eq!(code, Some(0), "{output}{errors}");
    assert!(!output.contains("Socket errors"), "{output}");
    output
}

#[tokio::test]
async fn wrk_patches_one_hot_row_and_many_rows_without_an_error() {
    let server = Served::on_shared(&["--seed=bench"]);
    for (script, users) in [("lua/patch_request.lua", 1), ("lua/random_user.lua", 1000)] {
        server.client.post(format!("{}/reset", server.url)).send().await.expect("a reset");
        let output = wrk(&server, script, "/approach/atomic-returning/balance", &["-c64"]);
        assert!(!output.contains("Non-2xx"), "{output}");
        let mut changed = 0_u32;
        for user in 1..=1000 {
            let balance = server.get(&format!("/balance/{user}")).await.expect("a balance");
            changed += u32::from(balance["balance"] != 1_000_000_000_000_i64);
        }
        if users == 1 {
            assert_eq!(changed, 1, "{script} changes one user");
        } else {
            // Of n requests for random users, the expected number of users is 1000 (1 - (1 - 1/1000)^n).
            let requests =
                output.lines().find_map(|line| line.trim().split_once(" requests in")?.0.parse::<f64>().ok());
            let requests = requests.unwrap_or_else(|| panic!("no number of requests in {output}"));
            let expected = 1000.0 * (1.0 - (-requests / 1000.0).exp());
            assert!(f64::from(changed) > 0.9 * expected, "{script}: {requests} requests changed {changed} users");
        }
    }
}

/// The server raises its limit of open files itself; the shell raises it for wrk.
#[tokio::test]
async fn ten_thousand_connections_are_served_without_an_error_in_bounded_memory() {
    let server = Served::on_shared(&["--seed=bench"]);
    let script = format!(
        "ulimit -n $(ulimit -Hn); exec wrk -t2 -c10000 -d8s --timeout 30s -s lua/patch_request.lua {}/approach/atomic-returning/balance",
        server.url
    );
    let mut command = client("sh");
    command.args(["-c", &script]);
    let load = tokio::task::spawn_blocking(|| run_to_end(command));
    let mut peak_mb = 0;
    let mut healthy = 0;
    while !load.is_finished() {
        let sent = std::time::Instant::now();
        let health = server.get("/healthz").await.expect("an answer under load");
        assert_eq!(health["status"], "ok");
        assert!(sent.elapsed() < Duration::from_secs(3), "/healthz took {:?}", sent.elapsed());
        healthy += 1;
        peak_mb = peak_mb.max(server.resident_mb());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (code, output, errors) = load.await.expect("wrk");
    assert_eq!(code, Some(0), "{output}{errors}");
    assert!(!output.contains("Socket errors") && !output.contains("Non-2xx"), "{output}");
    assert!(healthy > 10);
    assert!(peak_mb < 300, "the server took {peak_mb} MB");
}

#[tokio::test]
async fn the_go_tester_agrees_with_the_claims() {
    let directory = directory();
    let server = Served::on_shared(&[]);
    let tester = directory.path().join("go-test");
    let mut build = client("go");
    build.current_dir(repository().join("go-test")).args(["build", "-o"]).arg(&tester).arg("main.go");
    let (code, _, errors) = run_to_end(build);
    assert_eq!(code, Some(0), "{errors}");
    // Fewer requests than the 10000 of the race tests, because this test is about the tester.
    for (scenario, options) in [("withdrawal", &["-requests=500", "-amount=-40"][..]), ("mixed", &[])] {
        let log = directory.path().join(scenario);
        let mut test = Command::new(&tester);
        test.args(["-url", &server.url, "-scenario", scenario]).args(options).arg("-out").arg(&log);
        let (code, output, errors) = run_to_end(test);
        assert_eq!(code, Some(0), "{output}{errors}");
        let right = Approach::iter()
            .filter(|approach| matches!(approach.info().claims.balance, Claim::Safe | Claim::SafeOnOneServer))
            .count();
        assert_eq!(output.matches(" SUCCESS  ").count(), right, "every approach except the broken ones: {output}");
        assert!(std::fs::read_to_string(log).expect("its log").contains("naive"));
    }
}

/// Runs the mixed scenario with k6 on an approach, and returns its exit code and output.
async fn k6(server: &Served, approach: Approach, think_time_ms: u32) -> (Option<i32>, String) {
    let base_url = format!("BASE_URL={}/approach/{approach}", server.url);
    let think_time = format!("THINK_TIME_MS={think_time_ms}");
    python_program("k6", &["run", "--no-usage-report", "-e", &base_url, "-e", &think_time, "clients/k6/mixed.js"]).await
}

/// Runs the same scenario with Locust.
async fn locust(server: &Served, approach: Approach, think_time_ms: u32) -> (Option<i32>, String) {
    let host = format!("{}/approach/{approach}", server.url);
    let think_time = think_time_ms.to_string();
    let file = ["-f", "clients/locust/locustfile.py", "--headless"];
    python_program("locust", &[&file[..], &["--host", &host, "--think-time-ms", &think_time]].concat()).await
}

/// Runs a program that `scripts/setup.sh test` installs with pip, from the root folder of the repository.
async fn python_program(name: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let program = repository().join("target/python/bin").join(name);
    assert!(program.exists(), "{name} is not installed; scripts/setup.sh test installs it");
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).current_dir(repository()).stdin(std::process::Stdio::null()).kill_on_drop(true);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    // The programs end by themselves, within seconds or at their own limit of about two minutes.
    let output = timeout(Duration::from_mins(4), command.output()).await.expect("an end in time").expect("a process");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

/// Checks the balances after the mixed scenario.
async fn expect_right_balances(server: &Served) {
    for (user, balance) in [(1, 1500), (2, 1250), (3, 1000)] {
        assert_eq!(
            server.get(&format!("/balance/{user}")).await.expect("a balance")["balance"],
            balance,
            "user {user}"
        );
    }
}

/// Far longer than a request takes, so that other requests read the same balance in that time.
const THINK_TIME_MS: u32 = 20;

#[tokio::test]
async fn k6_passes_a_safe_approach_and_fails_a_broken_one() {
    let server = Served::on_shared(&[]);
    let (code, said) = k6(&server, Approach::Pessimistic, 0).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("600 complete and 0 interrupted iterations"), "{said}");
    expect_right_balances(&server).await;
    let (code, said) = k6(&server, Approach::Naive, THINK_TIME_MS).await;
    assert_eq!(code, Some(99), "a threshold was missed: {said}");
    assert!(said.contains("a lost update") && said.contains("thresholds on metrics"), "{said}");
    // An approach that cannot be tested ends k6 before the load, and not by a threshold.
    let (code, said) = k6(&server, Approach::UniqueConstraint, 0).await;
    assert!(code != Some(0) && code != Some(99) && said.contains("501"), "{code:?}: {said}");
}

#[tokio::test]
async fn locust_passes_a_safe_approach_and_fails_a_broken_one() {
    let server = Served::on_shared(&[]);
    let (code, said) = locust(&server, Approach::Pessimistic, 0).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("no update was lost: 600 changes were made"), "{said}");
    expect_right_balances(&server).await;
    let (code, said) = locust(&server, Approach::Naive, THINK_TIME_MS).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("lost update: user"), "{said}");
    let (code, said) = locust(&server, Approach::UniqueConstraint, 0).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot start") && said.contains("501"), "{said}");
}
