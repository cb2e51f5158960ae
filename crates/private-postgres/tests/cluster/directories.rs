//! Which data directories are accepted, which are refused, and the messages of the refusals.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use nix::unistd::Uid;
use private_postgres::{Cluster, ClusterOptions, PostgresError, running_endpoint};

use crate::fixture::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_directory_is_refused() {
    let dir = temp_dir();
    let cluster = start(&dir).await;
    let error = Cluster::start(&options(&dir)).await.unwrap_err();
    assert!(matches!(error, PostgresError::InUse { .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains(cluster.data_dir().to_str().unwrap()), "{message}");
    assert!(message.contains(&format!("pid {}", std::process::id())), "{message}");
    assert_eq!(ask(&cluster, "select 'unharmed'").await, "unharmed");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_clusters_that_start_at_the_same_time_exactly_one_gets_the_directory() {
    let dir = temp_dir();
    let starts: Vec<_> = (0..8)
        .map(|_| {
            let options = options(&dir);
            tokio::spawn(async move { Cluster::start(&options).await })
        })
        .collect();
    let mut started = vec![];
    for start in starts {
        match start.await.unwrap() {
            Ok(cluster) => started.push(cluster),
            Err(PostgresError::InUse { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(started.len(), 1);
    assert_eq!(ask(&started[0], "select 'started'").await, "started");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_with_other_files_is_refused_and_left_untouched() {
    let dir = temp_dir();
    let data_dir = dir.path().join("data");
    fs::create_dir(&data_dir).unwrap();
    fs::write(data_dir.join("thesis.txt"), "precious").unwrap();
    fs::set_permissions(&data_dir, Permissions::from_mode(0o755)).unwrap();

    let error = Cluster::start(&options(&dir)).await.unwrap_err();
    assert!(matches!(error, PostgresError::NotOurs { .. }), "{error}");
    assert!(error.to_string().contains(data_dir.to_str().unwrap()), "{error}");
    let names: Vec<_> = fs::read_dir(&data_dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["thesis.txt"]);
    assert_eq!(fs::read_to_string(data_dir.join("thesis.txt")).unwrap(), "precious");
    assert_eq!(mode(&data_dir), 0o755);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_error_for_another_major_version_names_both_versions() {
    let dir = temp_dir();
    start(&dir).await.stop().await.unwrap();
    fs::write(cluster_dir(&dir).join("PG_VERSION"), "12\n").unwrap();
    let error = Cluster::start(&options(&dir)).await.unwrap_err();
    let PostgresError::VersionMismatch { cluster, programs, .. } = &error else { panic!("{error}") };
    assert_eq!(cluster, "12");
    assert!(error.to_string().contains(&format!("PostgreSQL {programs}")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_directory_without_programs_is_an_error_that_names_it_and_the_remedy() {
    let dir = temp_dir();
    let options = ClusterOptions { bin_dir: Some(dir.path().to_owned()), ..options(&dir) };
    let error = Cluster::start(&options).await.unwrap_err();
    let message = error.to_string();
    for part in [dir.path().to_str().unwrap(), "`postgres` and `initdb`", "install"] {
        assert!(message.contains(part), "{part} is missing in: {message}");
    }
    assert!(!options.data_dir.exists(), "no data directory was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_error_for_a_lost_password_names_its_file() {
    let dir = temp_dir();
    start(&dir).await.stop().await.unwrap();
    let password = dir.path().join("data/password");
    fs::remove_file(&password).unwrap();
    let error = Cluster::start(&options(&dir)).await.unwrap_err();
    assert!(error.to_string().contains(password.to_str().unwrap()), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_error_for_a_closed_directory_names_it() {
    if !Uid::effective().is_root() {
        // PostgreSQL runs as the user of the test, and reaches the same directories.
        return;
    }
    let dir = temp_dir();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
    let error = Cluster::start(&options(&dir)).await.unwrap_err();
    let PostgresError::NotReachable { blocked, .. } = &error else { panic!("{error}") };
    assert_eq!(*blocked, fs::canonicalize(dir.path()).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_with_a_long_path_works() {
    let dir = temp_dir();
    let options = ClusterOptions { data_dir: dir.path().join("long, and with spaces ".repeat(6)), ..options(&dir) };
    assert!(options.data_dir.as_os_str().len() > 100);
    let cluster = Cluster::start(&options).await.unwrap();
    let endpoint = running_endpoint(&options.data_dir).unwrap();
    let short = endpoint.socket_dir.clone();
    assert!(short.starts_with("/tmp") && mode(&short) == 0o700, "{}", short.display());
    assert_eq!(ask(&cluster, "select 'short'").await, "short");
    cluster.stop().await.unwrap();
    assert!(!short.exists(), "it is removed with the cluster");
}
