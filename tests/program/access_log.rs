//! The access log: a line for every request where it is asked for, none where it is not, and nobody waits for it.

use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::task::JoinSet;

use crate::common::{directory, program};
use crate::served::Served;

/// A server with this log filter, whose standard error can be read.
fn serve(data_dir: &Path, filter: &str) -> Served {
    let mut command = program();
    command.args(["serve", "--listen=127.0.0.1:0", "--data-dir"]).arg(data_dir).env("LAB_LOG", filter);
    command.stderr(Stdio::piped());
    Served::spawn(command)
}

/// Stops it, and gives all that it logged.
async fn stop(mut server: Served) -> String {
    server.signal(Signal::SIGTERM);
    let mut stderr = server.child.stderr.take().expect("its log");
    let reading = tokio::task::spawn_blocking(move || {
        let mut log = String::new();
        stderr.read_to_string(&mut log).map(|_| log)
    });
    let log = reading.await.expect("no panic").expect("text");
    assert!(server.exit_status().await.success(), "{log}");
    log
}

#[tokio::test]
async fn a_line_for_every_request_where_it_is_asked_for_and_none_where_it_is_not() {
    let directory = directory();
    let server = serve(directory.path(), "warn,concurrency_lab::access=info");
    let request = server.client.patch(format!("{}/approach/naive/balance?secret=1", server.url));
    let request = request.header("x-request-id", "mine\"").json(&serde_json::json!({"userId": 1, "amount": -2}));
    assert_eq!(request.send().await.expect("an answer").status(), 200);
    assert_eq!(server.withdraw("naive", 7).await.expect("an answer").0, 404);
    let foreign = server.client.post(format!("{}/reset", server.url)).header("origin", "http://evil.example");
    assert_eq!(foreign.send().await.expect("an answer").status(), 403);
    let log = stop(server).await;
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("concurrency_lab::access")).collect();
    assert_eq!(lines.len(), 3, "{log}");
    for (line, parts) in lines.iter().zip([
        ["method=PATCH", r#"path="/approach/naive/balance""#, "status=200 "],
        ["method=PATCH", r#"path="/approach/naive/balance""#, "status=404 "],
        ["method=POST", r#"path="/reset""#, "status=403"],
    ]) {
        assert!(parts.iter().all(|part| line.contains(part)), "{parts:?}: {line}");
        assert!(line.contains("id=\"") && line.contains("duration_us=") && line.contains("bytes="), "{line}");
    }
    assert!(lines[0].contains(r#"id="mine\"" "#), "a client's text cannot end its field: {log}");
    assert!(!log.contains("secret"), "{log}");

    let server = serve(directory.path(), "warn");
    assert_eq!(server.withdraw("naive", 1).await.expect("an answer").0, 200);
    assert_eq!(stop(server).await, "", "off by default");
}

/// More lines than the buffer and the pipe hold together.
#[tokio::test]
async fn a_log_that_nobody_reads_stops_nobody_and_what_is_lost_is_said() {
    const CLIENTS: usize = 16;
    const REQUESTS: usize = 700;
    const PATIENCE: Duration = Duration::from_mins(2);
    let directory = directory();
    let server = serve(directory.path(), "warn,concurrency_lab::access=info");
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (client, url) = (server.client.clone(), format!("{}/healthz", server.url));
        clients.spawn(async move {
            for _ in 0..REQUESTS {
                assert_eq!(client.get(&url).send().await.expect("an answer").status(), 200);
            }
        });
    }
    tokio::time::timeout(PATIENCE, clients.join_all()).await.expect("nobody waits for the log");
    let log = stop(server).await;
    let lines = log.lines().filter(|line| line.contains("status=200")).count();
    let dropped = log.split("dropped=").nth(1).and_then(|rest| rest.split_whitespace().next());
    let dropped: usize =
        dropped.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no word of it: {lines} lines"));
    assert_eq!(lines + dropped, CLIENTS * REQUESTS, "each is written or counted");
}
