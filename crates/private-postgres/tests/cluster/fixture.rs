//! Shared by the tests: temporary directories, a row that must not be lost, processes that are killed at the end.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::kill;
use nix::unistd::{Pid, Uid};
use private_postgres::{Cluster, ClusterOptions, find_program};
use sqlx::postgres::PgConnection;
use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;

/// Longer than the limits of most waits in the crate, so that a test sees the error of the crate.
pub const LIMIT: Duration = Duration::from_mins(1);

pub const POLL_EVERY: Duration = Duration::from_millis(10);

/// Each test opens a few connections.
pub const MAX_CONNECTIONS: u32 = 20;

/// A directory that PostgreSQL's user may enter, removed at the end.
pub fn temp_dir() -> TempDir {
    let dir = tempfile::Builder::new().prefix("private-postgres-").tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o711)).unwrap();
    dir
}

pub fn options(dir: &TempDir) -> ClusterOptions {
    ClusterOptions { data_dir: dir.path().join("data"), bin_dir: None, max_connections: MAX_CONNECTIONS }
}

pub async fn start(dir: &TempDir) -> Cluster {
    Cluster::start(&options(dir)).await.unwrap()
}

pub async fn connect(cluster: &Cluster) -> PgConnection {
    cluster.connect_options().connect().await.unwrap()
}

pub async fn ask(cluster: &Cluster, sql: &'static str) -> String {
    let mut connection = connect(cluster).await;
    let answer = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    answer
}

/// Commits a row; [`expect_row`] checks that it is still there.
pub async fn leave_row(cluster: &Cluster) {
    let mut connection = connect(cluster).await;
    sqlx::raw_sql("create table if not exists kept (word text); insert into kept values ('acknowledged')")
        .execute(&mut connection)
        .await
        .unwrap();
}

pub async fn expect_row(cluster: &Cluster) {
    assert_eq!(ask(cluster, "select word from kept").await, "acknowledged");
}

pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "not within the limit: {what}");
        thread::sleep(POLL_EVERY);
    }
}

pub fn pid(number: u32) -> Pid {
    Pid::from_raw(i32::try_from(number).unwrap())
}

pub fn is_alive(number: u32) -> bool {
    // A zombie still has its pid, but no working directory.
    let is_zombie = cfg!(target_os = "linux") && fs::read_link(format!("/proc/{number}/cwd")).is_err();
    kill(pid(number), None).is_ok() && !is_zombie
}

pub fn cluster_dir(dir: &TempDir) -> PathBuf {
    dir.path().join("data/cluster")
}

pub fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o777
}

/// A child process that is killed when the test ends, also when it fails.
pub struct Guard(pub Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Makes a program run as the user that PostgreSQL runs as.
pub fn as_owner<'a>(cluster: &Path, command: &'a mut Command) -> &'a mut Command {
    let owner = cluster.metadata().unwrap();
    if Uid::effective().is_root() {
        command.uid(owner.uid()).gid(owner.gid());
    }
    command.current_dir("/")
}

/// A postmaster as a killed owner leaves it: no supervisor watches it, and it does not end with another process.
pub fn orphan_postmaster(dir: &TempDir) -> Guard {
    let cluster = cluster_dir(dir);
    let socket_dir = dir.path().join("data/socket");
    let mut command = Command::new(find_program("postgres", None).unwrap());
    command.arg("-D").arg(&cluster).args(["-c", "listen_addresses=", "-c"]);
    command.arg(format!("unix_socket_directories={}", socket_dir.display()));
    command.env_clear().process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
    let child = Guard(as_owner(&cluster, &mut command).spawn().unwrap());
    let number = child.0.id().to_string();
    wait_until("the orphan is ready", || {
        let text = fs::read_to_string(cluster.join("postmaster.pid")).unwrap_or_default();
        text.lines().next() == Some(number.as_str()) && text.contains("ready")
    });
    child
}
