//! Killing PostgreSQL, its server, or both: nothing acknowledged is lost, and the next start works.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use private_postgres::{Cluster, ClusterOptions, ClusterStatus, running_endpoint};

use crate::fixture::*;

/// Asks [`server_to_be_killed`] for a temporary cluster.
const TEMPORARY: &str = "temporary";

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_postmaster_is_restarted_and_no_acknowledged_row_is_lost() {
    let dir = temp_dir();
    let cluster = start(&dir).await;
    leave_row(&cluster).await;
    // Busy backends outlive their postmaster for a while: they must be gone before the next one starts.
    let mut busy = connect(&cluster).await;
    let query = "select count(*)::text from generate_series(1, 1000000000)";
    let busy = tokio::spawn(async move { sqlx::query_scalar::<_, String>(query).fetch_one(&mut busy).await });
    let mut asking = connect(&cluster).await;
    let is_busy = "select exists (select from pg_stat_activity where query = $1)";
    let deadline = Instant::now() + LIMIT;
    while !sqlx::query_scalar::<_, bool>(is_busy).bind(query).fetch_one(&mut asking).await.unwrap() {
        assert!(Instant::now() < deadline);
    }

    let first = cluster.postmaster_pid().unwrap();
    let mut status = cluster.status();
    kill(pid(first), Signal::SIGKILL).unwrap();
    let restarted = status.wait_for(|status| *status == ClusterStatus::Running { starts: 2 });
    tokio::time::timeout(LIMIT, restarted).await.unwrap().unwrap();
    assert_ne!(cluster.postmaster_pid().unwrap(), first);
    assert!(busy.await.unwrap().is_err(), "the connection died with the postmaster");
    expect_row(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_orphan_of_a_killed_server_is_stopped_and_replaced() {
    let dir = temp_dir();
    let cluster = start(&dir).await;
    leave_row(&cluster).await;
    cluster.stop().await.unwrap();

    let mut orphan = orphan_postmaster(&dir);
    let cluster = start(&dir).await;
    assert_ne!(cluster.postmaster_pid().unwrap(), orphan.0.id());
    assert!(orphan.0.try_wait().unwrap().is_some(), "the orphan has ended");
    expect_row(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_postmaster_pid_files_do_not_stop_a_start() {
    let dir = temp_dir();
    let cluster = start(&dir).await;
    leave_row(&cluster).await;
    cluster.stop().await.unwrap();

    // What a killed PostgreSQL leaves: perhaps nothing in it, a number that nobody has, or one that a process of the same
    // user got since, which is not to be harmed.
    let mut stranger = Guard(as_owner(&cluster_dir(&dir), Command::new("sleep").arg("60")).spawn().unwrap());
    let file = cluster_dir(&dir).join("postmaster.pid");
    let socket_dir = dir.path().join("data/socket");
    let data = cluster_dir(&dir).display().to_string();
    let stale = |pid: u32| format!("{pid}\n{data}\n1\n5432\n{}\n\n0 0\nready   \n", socket_dir.display());
    for text in [String::new(), stale(999_999), stale(stranger.0.id())] {
        fs::write(&file, &text).unwrap();
        fs::write(socket_dir.join(".s.PGSQL.5432.lock"), &text).unwrap();
        let cluster = start(&dir).await;
        expect_row(&cluster).await;
        cluster.stop().await.unwrap();
    }
    assert!(stranger.0.try_wait().unwrap().is_none());
}

/// A server in a process of its own.
struct Victim {
    process: Guard,
    postmaster: u32,
    data_dir: PathBuf,
}

fn server_to_kill(data_dir: &Path) -> Victim {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "crashes::server_to_be_killed", "--ignored", "--nocapture"]);
    command.env("EMBEDDED_TEST_DATA_DIR", data_dir).stdout(Stdio::piped());
    let mut process = Guard(command.spawn().unwrap());
    let output = BufReader::new(process.0.stdout.take().unwrap());
    let ready = output.lines().map_while(Result::ok).find_map(|line| line.strip_prefix("ready ").map(str::to_owned));
    let ready = ready.expect("the server did not become ready");
    let (postmaster, data_dir) = ready.split_once(' ').unwrap();
    Victim { process, postmaster: postmaster.parse().unwrap(), data_dir: PathBuf::from(data_dir) }
}

#[test]
#[ignore = "run by another test, in a process of its own"]
fn server_to_be_killed() {
    let Some(data_dir) = std::env::var_os("EMBEDDED_TEST_DATA_DIR") else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let cluster = if data_dir == TEMPORARY {
            Cluster::start_temporary(None, MAX_CONNECTIONS).await.unwrap()
        } else {
            let options = ClusterOptions { data_dir: data_dir.into(), bin_dir: None, max_connections: MAX_CONNECTIONS };
            Cluster::start(&options).await.unwrap()
        };
        leave_row(&cluster).await;
        println!("\nready {} {}", cluster.postmaster_pid().unwrap(), cluster.data_dir().display());
        tokio::time::sleep(LIMIT).await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sigkilled_server_stops_postgres_and_the_next_one_starts() {
    let dir = temp_dir();
    let mut server = server_to_kill(&dir.path().join("data"));

    let error = Cluster::start(&options(&dir)).await.unwrap_err();
    assert!(error.to_string().contains(&format!("pid {}", server.process.0.id())), "{error}");
    assert!(running_endpoint(&dir.path().join("data")).is_ok());

    server.process.0.kill().unwrap();
    server.process.0.wait().unwrap();
    let cluster = start(&dir).await;
    assert!(!is_alive(server.postmaster));
    expect_row(&cluster).await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn postgres_ends_by_itself_when_its_server_is_sigkilled() {
    let dir = temp_dir();
    let mut server = server_to_kill(&dir.path().join("data"));
    server.process.0.kill().unwrap();
    wait_until("the orphan has ended", || !is_alive(server.postmaster));
    assert!(!cluster_dir(&dir).join("postmaster.pid").exists(), "in order, not by a crash");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_made_cluster_is_made_again() {
    let dir = temp_dir();
    let data_dir = dir.path().join("data");
    fs::create_dir_all(data_dir.join("cluster.tmp/base")).unwrap();
    fs::write(data_dir.join("cluster.tmp/PG_VERSION"), "15\n").unwrap();
    fs::write(data_dir.join("concurrency-lab.lock"), "1\n").unwrap();
    fs::write(data_dir.join("password"), "of the half-made one\n").unwrap();
    let cluster = start(&dir).await;
    assert_eq!(ask(&cluster, "select 'whole'").await, "whole");
    assert!(!data_dir.join("cluster.tmp").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn temporary_clusters_of_killed_runs_are_swept_and_living_ones_are_not() {
    let living = Cluster::start_temporary(None, MAX_CONNECTIONS).await.unwrap();
    let parent = living.data_dir().parent().unwrap();
    let leftover = parent.join(format!("concurrency-lab-run-test{}", std::process::id()));
    let beginning = parent.join(format!("concurrency-lab-run-new{}", std::process::id()));
    for (dir, signature) in [(&leftover, "1\n"), (&beginning, "")] {
        fs::create_dir_all(dir.join("cluster")).unwrap();
        fs::write(dir.join("concurrency-lab.lock"), signature).unwrap();
    }
    let other = Cluster::start_temporary(None, MAX_CONNECTIONS).await.unwrap();
    assert!(!leftover.exists(), "its owner is dead");
    assert!(beginning.exists(), "its owner is about to sign");
    assert_eq!(ask(&living, "select 'alive'").await, "alive");
    assert_ne!(living.data_dir(), other.data_dir());
    fs::remove_dir_all(beginning).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_cluster_whose_run_was_sigkilled_is_swept_by_the_next() {
    let mut run = server_to_kill(Path::new(TEMPORARY));
    run.process.0.kill().unwrap();
    run.process.0.wait().unwrap();
    let next = Cluster::start_temporary(None, MAX_CONNECTIONS).await.unwrap();
    // Another test that runs at the same time may be the one that sweeps it.
    wait_until("the directory is gone", || !run.data_dir.exists());
    assert!(!is_alive(run.postmaster));
    next.stop().await.unwrap();
}
