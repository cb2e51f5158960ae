//! The access log: one line for every request if it is on, none if it is off, and no request waits for it.

use std::io::Read as _;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::task::JoinSet;

use super::served::Served;
use crate::common::{OwnDatabase, program};

/// Starts a server with this log filter, whose standard error the test can read.
fn serve(database: &OwnDatabase, filter: &str) -> Served {
    let mut command = program();
    command.args(["serve", "--listen=127.0.0.1:0"]).env("DATABASE_URL", &database.url).env("LAB_LOG", filter);
    command.stderr(Stdio::piped());
    Served::spawn(command)
}

/// Stops the server, and returns everything that it logged.
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
async fn the_access_log_has_a_line_for_every_request_if_it_is_on_and_none_if_it_is_off() {
    let database = OwnDatabase::new();
    let server = serve(&database, "warn,concurrency_lab::access=info");
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

    let server = serve(&database, "warn");
    assert_eq!(server.withdraw("naive", 1).await.expect("an answer").0, 200);
    assert!(!stop(server).await.contains("concurrency_lab::access"), "off by default");
}

/// The clients cause more lines than the buffer and the pipe hold together.
#[tokio::test]
async fn a_log_that_is_not_read_blocks_no_request_and_the_number_of_lost_lines_is_logged() {
    const CLIENTS: usize = 16;
    const REQUESTS: usize = 700;
    const PATIENCE: Duration = Duration::from_mins(2);
    let database = OwnDatabase::new();
    let server = serve(&database, "warn,concurrency_lab::access=info");
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (client, url) = (server.client.clone(), format!("{}/healthz", server.url));
        clients.spawn(async move {
            for _ in 0..REQUESTS {
                assert_eq!(client.get(&url).send().await.expect("an answer").status(), 200);
            }
        });
    }
    tokio::time::timeout(PATIENCE, clients.join_all()).await.expect("no request waits for the log");
    let log = stop(server).await;
    let lines = log.lines().filter(|line| line.contains("status=200")).count();
    let dropped = log.split("dropped=").nth(1).and_then(|rest| rest.split_whitespace().next());
    let dropped: usize = dropped
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("the log does not say how many lines were lost; it has {lines} lines"));
    assert_eq!(lines + dropped, CLIENTS * REQUESTS, "each line is written or counted as lost");
}
