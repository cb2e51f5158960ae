//! The guarantees of the private PostgreSQL: durable, never two on one directory, nothing left behind.
//!
//! Each test has a directory of its own, so the tests run in parallel. As root, PostgreSQL runs as another user; that is
//! tested too. No test sleeps for a fixed time: each one waits for a condition, with a limit.

mod crashes;
mod directories;
mod fixture;
mod versions;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Uid;
use private_postgres::{Cluster, ClusterOptions, ClusterStatus, PostgresError, find_program, running_endpoint};
use sqlx::{AssertSqlSafe, ConnectOptions};

use crate::fixture::*;

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_durable_and_private_and_a_stop_leaves_no_process() {
    let dir = temp_dir();
    let cluster = start(&dir).await;
    assert_eq!(ask(&cluster, "select (1 + 1)::text").await, "2");
    for (setting, value) in [
        ("show fsync", "on"),
        ("show full_page_writes", "on"),
        ("show listen_addresses", ""),
        ("show max_connections", "20"),
    ] {
        assert_eq!(ask(&cluster, setting).await, value, "{setting}");
    }
    assert_eq!(*cluster.status().borrow(), ClusterStatus::Running { starts: 1 });

    let data_dir = cluster.data_dir().to_owned();
    assert_eq!(mode(&data_dir.join("password")), 0o600);
    assert_eq!(mode(&data_dir.join("cluster")), 0o700);
    assert_eq!(mode(&data_dir.join("socket")), 0o700);
    assert_eq!(mode(&data_dir), if Uid::effective().is_root() { 0o711 } else { 0o700 });

    let postmaster = cluster.postmaster_pid().unwrap();
    if cfg!(target_os = "linux") {
        let owner = fs::metadata(format!("/proc/{postmaster}")).unwrap().uid();
        assert_ne!(owner, 0, "PostgreSQL must not run as root");
    }

    let mut status = cluster.status();
    cluster.stop().await.unwrap();
    assert!(!is_alive(postmaster));
    assert!(status.changed().await.is_err(), "the status ends with the cluster");
    assert!(!data_dir.join("cluster/postmaster.pid").exists(), "a fast shutdown removes the pid file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_refused() {
    let dir = temp_dir();
    let cluster = start(&dir).await;
    let error = cluster.connect_options().password("guess").connect().await.unwrap_err();
    let sqlx::Error::Database(error) = error else { panic!("{error}") };
    assert_eq!(error.code().as_deref(), Some("28P01"));
}

#[tokio::test(flavor = "multi_thread")]
async fn data_survive_a_stop_and_a_start() {
    let dir = temp_dir();
    let cluster = start(&dir).await;
    leave_row(&cluster).await;
    cluster.stop().await.unwrap();
    let cluster = start(&dir).await;
    expect_row(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_cluster_stops_postgres() {
    let dir = temp_dir();
    let cluster = start(&dir).await;
    let postmaster = cluster.postmaster_pid().unwrap();
    drop(cluster);
    assert!(!is_alive(postmaster));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_start_leaves_no_process_and_no_lock() {
    let dir = temp_dir();
    let options = options(&dir);
    tokio::time::timeout(Duration::from_millis(1), Cluster::start(&options)).await.unwrap_err();
    assert!(!cluster_dir(&dir).join("postmaster.pid").exists());
    let cluster = start(&dir).await;
    assert_eq!(ask(&cluster, "select 'x'").await, "x");
}

/// Kills each postmaster until the cluster is given up, or until it has been killed `kills` times.
async fn kill_again_and_again(cluster: &Cluster, kills: u64) -> Option<String> {
    let mut status = cluster.status();
    let watched = async {
        loop {
            let now = status.borrow_and_update().clone();
            match now {
                ClusterStatus::Running { starts } if starts > kills => return None,
                ClusterStatus::Running { .. } => {
                    kill(pid(cluster.postmaster_pid().unwrap()), Signal::SIGKILL).unwrap();
                    status.wait_for(|status| *status != now).await.unwrap();
                }
                ClusterStatus::Restarting => status.changed().await.unwrap(),
                ClusterStatus::Failed(reason) => return Some(reason),
            }
        }
    };
    tokio::time::timeout(LIMIT, watched).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_postmaster_that_keeps_ending_stays_down() {
    let cluster = Cluster::start_temporary(None, MAX_CONNECTIONS).await.unwrap();
    let reason = kill_again_and_again(&cluster, u64::MAX).await.expect("it is given up");
    assert!(reason.contains("restarted 5 times in a row"), "{reason}");
    assert_eq!(cluster.postmaster_pid(), None);
    cluster.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postmaster_whose_data_are_kept_is_restarted_however_often_it_ends() {
    let dir = temp_dir();
    let cluster = start(&dir).await;
    leave_row(&cluster).await;
    assert_eq!(kill_again_and_again(&cluster, 6).await, None, "it runs again after the sixth end");
    expect_row(&cluster).await;
    cluster.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_error_of_a_failed_start_quotes_the_log() {
    let dir = temp_dir();
    let error = Cluster::start(&ClusterOptions { max_connections: 0, ..options(&dir) }).await.unwrap_err();
    assert!(matches!(error, PostgresError::EndedAtStart { .. }), "{error}");
    assert!(error.to_string().contains("max_connections"), "{error}");
    // The failed start has damaged nothing.
    start(&dir).await.stop().await.unwrap();
}

/// PostgreSQL's isolation needs no disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_scratch_cluster_is_not_durable_and_leaves_nothing() {
    let durable = Cluster::start_temporary(None, MAX_CONNECTIONS).await.unwrap();
    let scratch = Cluster::start_scratch(None, MAX_CONNECTIONS).await.unwrap();
    for (cluster, fsync) in [(&durable, "on"), (&scratch, "off")] {
        assert_eq!(ask(cluster, "select current_setting('fsync')").await, fsync);
        assert_eq!(ask(cluster, "select current_setting('synchronous_commit')").await, "on");
    }
    let data_dir = scratch.data_dir().to_owned();
    scratch.stop().await.unwrap();
    assert!(!data_dir.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_cluster_leaves_no_files() {
    let cluster = Cluster::start_temporary(None, MAX_CONNECTIONS).await.unwrap();
    let (data_dir, postmaster) = (cluster.data_dir().to_owned(), cluster.postmaster_pid().unwrap());
    assert_eq!(ask(&cluster, "show fsync").await, "on");
    cluster.stop().await.unwrap();
    assert!(!data_dir.exists() && !is_alive(postmaster));

    let cluster = Cluster::start_temporary(None, MAX_CONNECTIONS).await.unwrap();
    let data_dir = cluster.data_dir().to_owned();
    drop(cluster);
    assert!(!data_dir.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_reaches_the_database_of_a_running_server() {
    let dir = temp_dir();
    let data_dir = dir.path().join("data");
    let error = running_endpoint(&data_dir).unwrap_err();
    assert!(matches!(error, PostgresError::NotRunning { .. }), "{error}");

    let cluster = start(&dir).await;
    let endpoint = running_endpoint(&data_dir).unwrap();
    assert!(!format!("{endpoint:?}").contains(&endpoint.password));
    let mut psql = Command::new(find_program("psql", None).unwrap());
    psql.args(["-XAtc", "select current_user"])
        .env("PGPASSWORD", &endpoint.password)
        .arg("-h")
        .arg(&endpoint.socket_dir);
    psql.args(["-U", &endpoint.user, "-d", &endpoint.database, "-p", &endpoint.port.to_string()]);
    let output = psql.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), endpoint.user, "{output:?}");

    cluster.stop().await.unwrap();
    assert!(running_endpoint(&data_dir).is_err());
    // The file of a killed PostgreSQL still says `ready`.
    let stale = format!("{}\n/d\n1\n5432\n/tmp\n\n0 0\nready   \n", std::process::id());
    fs::write(cluster_dir(&dir).join("postmaster.pid"), stale).unwrap();
    let error = running_endpoint(&data_dir).unwrap_err();
    assert!(error.to_string().contains("no longer runs"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_in_the_cluster_cannot_turn_durability_off() {
    let dir = temp_dir();
    let cluster = start(&dir).await;
    let mut connection = connect(&cluster).await;
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        let sql = AssertSqlSafe(format!("alter system set {setting} = off"));
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    }
    drop(connection);
    cluster.stop().await.unwrap();
    let cluster = start(&dir).await;
    for setting in ["show fsync", "show full_page_writes", "show synchronous_commit"] {
        assert_eq!(ask(&cluster, setting).await, "on", "{setting}");
    }
}
