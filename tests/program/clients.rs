//! Other people's clients, run for real as the README says: wrk with our Lua scripts, and the Go tester.
//!
//! They are installed by `scripts/setup.sh test`; without them these tests fail, and say so.

use std::process::Command;

use concurrency_lab::strategy::{Approach, Claim};
use strum::IntoEnumIterator;

use crate::common::{directory, repository};
use crate::served::{Served, run_to_end};

fn client(program: &str) -> Command {
    let found = Command::new(program).arg("version").output();
    assert!(found.is_ok(), "{program} is not installed; scripts/setup.sh test installs it");
    let mut command = Command::new(program);
    command.current_dir(repository());
    command
}

fn wrk(server: &Served, script: &str, path: &str, options: &[&str]) -> String {
    let mut command = client("wrk");
    command.args(["-t2", "-d3s", "-s"]).arg(script).args(options).arg(format!("{}{path}", server.url));
    let (code, output, errors) = run_to_end(command);
    assert_eq!(code, Some(0), "{output}{errors}");
    assert!(!output.contains("Socket errors"), "{output}");
    output
}

#[tokio::test]
async fn wrk_patches_one_hot_row_and_many_rows_without_an_error() {
    let directory = directory();
    let server = Served::start(directory.path(), &["--seed=bench"]);
    for (script, users) in [("lua/patch_request.lua", 1), ("lua/random_user.lua", 1000)] {
        server.client.post(format!("{}/reset", server.url)).send().await.expect("a reset");
        let output = wrk(&server, script, "/approach/atomic-returning/balance", &["-c64"]);
        assert!(!output.contains("Non-2xx"), "{output}");
        let mut changed = 0;
        for user in 1..=1000 {
            let balance = server.get(&format!("/balance/{user}")).await.expect("a balance");
            changed += u64::from(balance["balance"] != 1_000_000_000_000_i64);
        }
        if users == 1 {
            assert_eq!(changed, 1, "{script} changes one user");
        } else {
            assert!(changed > 900, "{script} changed {changed} users");
        }
    }
}

/// Many connections: the limit of open files is raised by the server itself, and by the shell for wrk.
#[tokio::test]
async fn ten_thousand_connections_are_served_without_an_error_in_bounded_memory() {
    let directory = directory();
    let server = Served::start(directory.path(), &["--seed=bench"]);
    let script = format!(
        "ulimit -n $(ulimit -Hn); exec wrk -t2 -c10000 -d20s --timeout 30s -s lua/patch_request.lua {}/approach/atomic-returning/balance",
        server.url
    );
    let mut command = client("sh");
    command.args(["-c", &script]);
    let load = tokio::task::spawn_blocking(|| run_to_end(command));
    let mut peak_mb = 0;
    let mut healthy = 0;
    while !load.is_finished() {
        let asked = std::time::Instant::now();
        let health = server.get("/healthz").await.expect("an answer under load");
        assert_eq!(health["status"], "ok");
        assert!(asked.elapsed() < std::time::Duration::from_secs(1), "/healthz took {:?}", asked.elapsed());
        healthy += 1;
        peak_mb = peak_mb.max(server.resident_mb());
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let (code, output, errors) = load.await.expect("wrk");
    assert_eq!(code, Some(0), "{output}{errors}");
    assert!(!output.contains("Socket errors") && !output.contains("Non-2xx"), "{output}");
    assert!(healthy > 10);
    assert!(peak_mb < 300, "the server took {peak_mb} MB");
}

#[tokio::test]
async fn the_go_tester_agrees_with_the_run() {
    let directory = directory();
    let server = Served::start(&directory.path().join("data"), &[]);
    let tester = directory.path().join("go-test");
    let mut build = client("go");
    build.current_dir(repository().join("go-test")).args(["build", "-o"]).arg(&tester).arg("main.go");
    let (code, _, errors) = run_to_end(build);
    assert_eq!(code, Some(0), "{errors}");
    for scenario in ["withdrawal", "mixed"] {
        let log = directory.path().join(scenario);
        let mut test = Command::new(&tester);
        test.args(["-url", &server.url, "-scenario", scenario, "-out"]).arg(&log);
        let (code, output, errors) = run_to_end(test);
        assert_eq!(code, Some(0), "{output}{errors}");
        let right = Approach::iter()
            .filter(|approach| matches!(approach.card().claims.balance, Claim::Safe | Claim::SafeOnOneServer))
            .count();
        assert_eq!(output.matches(" SUCCESS  ").count(), right, "all but the broken ones: {output}");
        assert!(std::fs::read_to_string(log).expect("its log").contains("naive"));
    }
}
