//! The server against its own document: schemathesis makes requests of `/openapi.json`, valid and invalid ones, and fails
//! on every answer that is not in it. What it accepts is said in `tests/fuzz/schemathesis.toml`.
//!
//! `scripts/setup.sh test` installs it; without it this test fails, and says so.

use std::io::Write as _;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::common::{directory, repository};
use crate::served::Served;

/// What the requests are made from: the same one makes the same requests.
const SEED: u32 = 1;

/// Requests that are made up for each operation, beside those that try the edges of each field.
const EXAMPLES: u32 = 40;

/// The run takes about a minute; a busy machine may need longer.
const TIME_LIMIT: Duration = Duration::from_mins(6);

#[tokio::test]
async fn the_server_answers_generated_requests_as_documented() {
    let program = repository().join("target/python/bin/schemathesis");
    assert!(program.exists(), "schemathesis is not installed; scripts/setup.sh test installs it");
    let (data, scratch) = (directory(), directory());
    let server = Served::start(data.path(), &[]);
    let mut command = Command::new(program);
    command
        .arg("--config-file")
        .arg(repository().join("tests/fuzz/schemathesis.toml"))
        .args(["run", "--no-color", &format!("--seed={SEED}"), &format!("--max-examples={EXAMPLES}")])
        .arg(format!("{}/openapi.json", server.url))
        // Where it keeps what it wants to remember.
        .current_dir(scratch.path())
        .env("SCHEMATHESIS_HOOKS", repository().join("tests/fuzz/hooks.py"))
        .env("LAB_URL", &server.url)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .kill_on_drop(true);
    let run = timeout(TIME_LIMIT, command.output()).await.expect("an end in time").expect("a process");
    let output = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{output}{}", String::from_utf8_lossy(&run.stderr));
    // A run that tested nothing must not pass for one that found nothing.
    assert!(output.contains("Stateful") && !output.contains("No tests were run"), "{output}");
    let summary = output.split("SUMMARY").nth(1).unwrap_or(&output);
    // Past the test harness, which shows the output of those that fail only.
    let _ = writeln!(std::io::stderr(), "schemathesis{summary}");
}
