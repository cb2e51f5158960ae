//! PostgreSQL, its owner, or both are killed: no acknowledged commit is lost, and the next start works.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use private_postgres::{Cluster, ClusterOptions, ClusterStatus, running_endpoint};

use crate::fixture::*;

/// Tells [`server_to_be_killed`] to start a temporary cluster.
const TEMPORARY: &str = "temporary";

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_postmaster_is_restarted_and_no_acknowledged_row_is_lost() {
    let dir = temp_dir();
    let cluster = start(&dir).await;
    leave_row(&cluster).await;
    // A busy backend runs on for a while after its postmaster: it must end before the next postmaster starts.
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
    assert!(busy.await.unwrap().is_err(), "the connection ended with the postmaster");
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

    // A killed PostgreSQL may leave an empty file, a pid that no process has, or a pid that another process of the same
    // user has now. That process must not be harmed.
    let mut other = Guard(as_owner(&cluster_dir(&dir), Command::new("sleep").arg("60")).spawn().unwrap());
    let file = cluster_dir(&dir).join("postmaster.pid");
    let socket_dir = dir.path().join("data/socket");
    let data = cluster_dir(&dir).display().to_string();
    let stale = |pid: u32| format!("{pid}\n{data}\n1\n5432\n{}\n\n0 0\nready   \n", socket_dir.display());
    for text in [String::new(), stale(999_999), stale(other.0.id())] {
        fs::write(&file, &text).unwrap();
        fs::write(socket_dir.join(".s.PGSQL.5432.lock"), &text).unwrap();
        let cluster = start(&dir).await;
        expect_row(&cluster).await;
        cluster.stop().await.unwrap();
    }
    assert!(other.0.try_wait().unwrap().is_none());
}

/// A cluster whose owner is a process of its own.
struct ServerProcess {
    process: Guard,
    postmaster: u32,
    data_dir: PathBuf,
}

fn spawn_server(data_dir: &Path) -> ServerProcess {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "crashes::server_to_be_killed", "--ignored", "--nocapture"]);
    command.env("PRIVATE_POSTGRES_TEST_DATA_DIR", data_dir).stdout(Stdio::piped());
    let mut process = Guard(command.spawn().unwrap());
    let output = BufReader::new(process.0.stdout.take().unwrap());
    let ready = output.lines().map_while(Result::ok).find_map(|line| line.strip_prefix("ready ").map(str::to_owned));
    let ready = ready.expect("the server did not become ready");
    let (postmaster, data_dir) = ready.split_once(' ').unwrap();
    ServerProcess { process, postmaster: postmaster.parse().unwrap(), data_dir: PathBuf::from(data_dir) }
}

#[test]
#[ignore = "other tests run this, in a process of its own"]
fn server_to_be_killed() {
    let Some(data_dir) = std::env::var_os("PRIVATE_POSTGRES_TEST_DATA_DIR") else { return };
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
    let mut server = spawn_server(&dir.path().join("data"));

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
async fn postgres_ends_by_itself_when_its_owner_is_sigkilled() {
    let dir = temp_dir();
    let mut server = spawn_server(&dir.path().join("data"));
    server.process.0.kill().unwrap();
    wait_until("the orphan has ended", || !is_alive(server.postmaster));
    assert!(!cluster_dir(&dir).join("postmaster.pid").exists(), "it stopped in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incomplete_cluster_is_made_again() {
    let dir = temp_dir();
    let data_dir = dir.path().join("data");
    fs::create_dir_all(data_dir.join("cluster.tmp/base")).unwrap();
    fs::write(data_dir.join("cluster.tmp/PG_VERSION"), "15\n").unwrap();
    fs::write(data_dir.join("concurrency-lab.lock"), "1\n").unwrap();
    fs::write(data_dir.join("password"), "of the incomplete cluster\n").unwrap();
    let cluster = start(&dir).await;
    assert_eq!(ask(&cluster, "select 'complete'").await, "complete");
    assert!(!data_dir.join("cluster.tmp").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn temporary_clusters_of_killed_owners_are_removed_and_running_ones_are_not() {
    let running = Cluster::start_temporary(None, MAX_CONNECTIONS).await.unwrap();
    let parent = running.data_dir().parent().unwrap();
    let leftover = parent.join(format!("concurrency-lab-run-test{}", std::process::id()));
    let beginning = parent.join(format!("concurrency-lab-run-new{}", std::process::id()));
    for (dir, pid) in [(&leftover, "1\n"), (&beginning, "")] {
        fs::create_dir_all(dir.join("cluster")).unwrap();
        fs::write(dir.join("concurrency-lab.lock"), pid).unwrap();
    }
    let other = Cluster::start_temporary(None, MAX_CONNECTIONS).await.unwrap();
    assert!(!leftover.exists(), "its owner has ended");
    assert!(beginning.exists(), "its owner is about to write its pid");
    assert_eq!(ask(&running, "select 'running'").await, "running");
    assert_ne!(running.data_dir(), other.data_dir());
    fs::remove_dir_all(beginning).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_cluster_whose_owner_was_sigkilled_is_removed_by_the_next_start() {
    let mut run = spawn_server(Path::new(TEMPORARY));
    run.process.0.kill().unwrap();
    run.process.0.wait().unwrap();
    let next = Cluster::start_temporary(None, MAX_CONNECTIONS).await.unwrap();
    // Another test that runs at the same time may remove it.
    wait_until("the directory is removed", || !run.data_dir.exists());
    assert!(!is_alive(run.postmaster));
    next.stop().await.unwrap();
}
