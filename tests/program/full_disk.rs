//! A filesystem without space: the private PostgreSQL cannot run on it, and comes back when there is space.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _};

use super::served::{Served, database_url};
use crate::common::{directory, eventually, program};

/// Room for a new cluster and a few segments of its log.
const FILESYSTEM: &str = "size=96m,mode=0711";

/// Longer than five restarts took, after which the server once gave up.
const OUTAGE: Duration = Duration::from_secs(20);

/// Mounts a filesystem in memory on the first argument, in a mount namespace of its own, and becomes the rest of the arguments.
const MOUNT: &str = r#"mount -t tmpfs -o "$1" tmpfs "$2" && shift 2 && exec "$@""#;

fn with_filesystem(folder: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", MOUNT, "sh", FILESYSTEM]).arg(folder);
    command
}

/// Writes until there is no space.
fn fill(file: &Path) {
    let mut file = File::create(file).expect("a file");
    for size in [1 << 20, 1 << 12, 1] {
        let bytes = vec![0_u8; size];
        let full = loop {
            if let Err(error) = file.write_all(&bytes) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_disk_is_full_answers_503_and_recovers_when_there_is_space() {
    let directory = directory();
    let possible = with_filesystem(directory.path()).arg("true").stderr(Stdio::null()).status();
    if !possible.is_ok_and(|status| status.success()) {
        // Written to the stream itself: the harness shows no output of a test that passes.
        let reason = "SKIPPED the test of a full disk: no filesystem can be mounted here (`unshare --mount` and `mount -t tmpfs` need root)";
        writeln!(std::io::stderr(), "\n{reason}").expect("standard error");
        return;
    }
    let serving = program();
    let mut command = with_filesystem(directory.path());
    command.arg(serving.get_program()).args(["serve", "--listen=127.0.0.1:0", "--data-dir"]);
    for (name, value) in serving.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let mut server = Served::spawn({
        // What its PostgreSQL says again and again would fill the output of the test.
        command.arg(directory.path().join("data")).stderr(Stdio::null());
        command
    });
    // The mount namespace of the server.
    let inside = PathBuf::from(format!("/proc/{}/root{}", server.child.id(), directory.path().display()));
    let options: PgConnectOptions = database_url(&inside.join("data")).parse().expect("a URL");
    let options = options.clone().socket(inside.join("data/socket"));

    let mut acknowledged = 0;
    while acknowledged < 20 {
        let (status, body) = server.withdraw("pessimistic", 1).await.expect("an answer");
        assert_eq!(status, 200, "{body}");
        acknowledged += 1;
    }
    let ballast = inside.join("ballast");
    fs::create_dir(&ballast).expect("a folder");
    let mut files = 0;
    let mut fill_up = || {
        files += 1;
        fill(&ballast.join(files.to_string()));
    };
    // The log goes on in its next segment, for which there is no room. PostgreSQL may free some space when it recovers.
    let grow = [
        "create table if not exists public.junk (text text)",
        "insert into public.junk select repeat('x', 1000) from generate_series(1, 2000)",
        "select pg_switch_wal()",
    ];
    let (mut refused, mut unknown) = (0, 0);
    let mut outage: Option<Instant> = None;
    let deadline = Instant::now() + Duration::from_mins(1);
    while outage.is_none_or(|began| began.elapsed() < OUTAGE) {
        assert!(outage.is_some() || Instant::now() < deadline, "PostgreSQL works on without space");
        fill_up();
        if outage.is_none()
            && let Ok(mut connection) = options.connect().await
        {
            for statement in grow {
                // It fails sooner or later, with the server.
                let _ = connection.execute(sqlx::raw_sql(statement)).await;
            }
        }
        assert_eq!(server.child.try_wait().expect("a state"), None, "the server goes on");
        match server.withdraw("pessimistic", 1).await.expect("an answer").0 {
            200 => acknowledged += 1,
            503 => {
                refused += 1;
                outage.get_or_insert_with(Instant::now);
            }
            504 => unknown += 1,
            status => panic!("status {status}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(refused > 50, "{refused} answers of 503 and {unknown} of 504");
    let ready = server.client.get(format!("{}/readyz", server.url)).send().await.expect("an answer");
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);

    fs::remove_dir_all(&ballast).expect("room");
    eventually("PostgreSQL runs again", async || {
        server.get("/readyz").await.is_some_and(|ready| ready["status"] == "ready")
    })
    .await;
    let (status, body) = server.withdraw("pessimistic", 1).await.expect("an answer");
    assert_eq!(status, 200, "{body}");
    let balance = server.get("/balance/1").await.expect("a balance")["balance"].as_i64().expect("a number");
    let made = (10_000 - balance) / 2;
    let possible = acknowledged + 1..=acknowledged + 1 + unknown;
    assert!(possible.contains(&made), "{made} changes were made, {acknowledged} acknowledged, {unknown} unknown");
}
