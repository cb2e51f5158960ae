//! The server against its own document: schemathesis generates valid and invalid requests from `/openapi.json`, and
//! fails on every answer that the document does not describe. `tests/fuzz/schemathesis.toml` configures it.
//!
//! `scripts/setup.sh test` installs schemathesis. Without it this test fails with a message that says so.

use std::io::Write as _;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::served::Served;
use crate::common::{directory, repository};

/// The random seed. The same seed generates the same requests.
const SEED: u32 = 1;

/// Random requests per operation, in addition to those that try the limits of each field.
const EXAMPLES: u32 = 8;

/// The run takes about a minute; a busy machine may need longer.
const TIME_LIMIT: Duration = Duration::from_mins(6);

#[tokio::test]
async fn the_server_answers_generated_requests_as_documented() {
    let program = repository().join("target/python/bin/schemathesis");
    assert!(program.exists(), "schemathesis is not installed; scripts/setup.sh test installs it");
    let scratch = directory();
    let server = Served::on_shared(&[]);
    let mut command = Command::new(program);
    command
        .arg("--config-file")
        .arg(repository().join("tests/fuzz/schemathesis.toml"))
        .args(["run", "--no-color", &format!("--seed={SEED}"), &format!("--max-examples={EXAMPLES}")])
        .arg(format!("{}/openapi.json", server.url))
        // The folder where schemathesis stores its examples.
        .current_dir(scratch.path())
        .env("SCHEMATHESIS_HOOKS", repository().join("tests/fuzz/hooks.py"))
        .env("LAB_URL", &server.url)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .kill_on_drop(true);
    let run = timeout(TIME_LIMIT, command.output()).await.expect("an end in time").expect("a process");
    let output = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{output}{}", String::from_utf8_lossy(&run.stderr));
    // A run that tested nothing must not pass.
    assert!(output.contains("Stateful") && !output.contains("No tests were run"), "{output}");
    let summary = output.split("SUMMARY").nth(1).unwrap_or(&output);
    // Written past the test harness, which shows the output of failed tests only.
    let _ = writeln!(std::io::stderr(), "schemathesis{summary}");
}
