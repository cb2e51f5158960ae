//! The private PostgreSQL keeps its promises: durable, never two on one directory, nothing left behind.
//!
//! Each test has a directory of its own, so they run in parallel. As root, the database runs as another user; that is
//! tested too. No test sleeps and hopes: each waits for what it wants to see, with a limit.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use concurrency_lab::postgres::{Cluster, Options, PostgresError, Status, find_program, running_endpoint};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tempfile::TempDir;

/// Longer than any bound inside the module, so that its own errors are what a test sees.
const LIMIT: Duration = Duration::from_mins(1);

const POLL_EVERY: Duration = Duration::from_millis(10);

/// Tests open a handful of connections each.
const MAX_CONNECTIONS: u32 = 20;

/// A directory that PostgreSQL's user may enter, removed at the end.
fn temp_dir() -> TempDir {
    let dir = tempfile::Builder::new().prefix("embedded-").tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o711)).unwrap();
    dir
}

fn options(dir: &TempDir) -> Options {
    Options { data_dir: dir.path().join("data"), bin_dir: None, max_connections: MAX_CONNECTIONS }
}

async fn start(dir: &TempDir) -> Cluster {
    Cluster::start(&options(dir)).await.unwrap()
}

async fn connect(cluster: &Cluster) -> PgConnection {
    cluster.connect_options().connect().await.unwrap()
}

async fn ask(cluster: &Cluster, sql: &'static str) -> String {
    let mut connection = connect(cluster).await;
    let answer = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    answer
}

/// Leaves an acknowledged row; [`expect_row`] wants to see it again.
async fn leave_row(cluster: &Cluster) {
    let mut connection = connect(cluster).await;
    sqlx::raw_sql("create table if not exists kept (word text); insert into kept values ('acknowledged')")
        .execute(&mut connection)
        .await
        .unwrap();
}

async fn expect_row(cluster: &Cluster) {
    assert_eq!(ask(cluster, "select word from kept").await, "acknowledged");
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(POLL_EVERY);
    }
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(i32::try_from(number).unwrap())
}

fn is_alive(number: u32) -> bool {
    // A zombie still has its number, but no working directory.
    let is_zombie = cfg!(target_os = "linux") && fs::read_link(format!("/proc/{number}/cwd")).is_err();
    kill(pid(number), None).is_ok() && !is_zombie
}

fn cluster_dir(dir: &TempDir) -> PathBuf {
    dir.path().join("data/cluster")
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o777
}

/// A child process that a failing test does not leave behind.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Makes a program run as the user that PostgreSQL runs as.
fn as_owner<'a>(cluster: &Path, command: &'a mut Command) -> &'a mut Command {
    let owner = cluster.metadata().unwrap();
    if Uid::effective().is_root() {
        command.uid(owner.uid()).gid(owner.gid());
    }
    command.current_dir("/")
}

/// A postmaster as a killed server leaves it: started by nobody that we know, and not told to end with anybody.
fn orphan_postmaster(dir: &TempDir) -> Guard {
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

#[tokio::test(flavor = "multi_thread")]
async fn starts_durable_and_private_and_stops_without_a_trace() {
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
    assert_eq!(*cluster.status().borrow(), Status::Running { starts: 1 });

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
    assert!(!data_dir.join("cluster/postmaster.pid").exists(), "a fast stop is an orderly one");
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
async fn data_survive_stop_and_start() {
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
async fn of_servers_that_start_at_once_exactly_one_gets_the_directory() {
    let dir = temp_dir();
    let starts: Vec<_> = (0..8)
        .map(|_| {
            let options = options(&dir);
            tokio::spawn(async move { Cluster::start(&options).await })
        })
        .collect();
    let mut winners = vec![];
    for start in starts {
        match start.await.unwrap() {
            Ok(cluster) => winners.push(cluster),
            Err(PostgresError::InUse { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(ask(&winners[0], "select 'won'").await, "won");
}

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
    let restarted = status.wait_for(|status| *status == Status::Running { starts: 2 });
    tokio::time::timeout(LIMIT, restarted).await.unwrap().unwrap();
    assert_ne!(cluster.postmaster_pid().unwrap(), first);
    assert!(busy.await.unwrap().is_err(), "the connection died with the postmaster");
    expect_row(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postmaster_that_keeps_dying_is_given_up() {
    let dir = temp_dir();
    let cluster = start(&dir).await;
    let mut status = cluster.status();
    let watched = async {
        loop {
            let now = status.borrow_and_update().clone();
            match now {
                Status::Running { .. } => {
                    kill(pid(cluster.postmaster_pid().unwrap()), Signal::SIGKILL).unwrap();
                    status.wait_for(|status| *status != now).await.unwrap();
                }
                Status::Restarting => status.changed().await.unwrap(),
                Status::Failed(reason) => return reason,
            }
        }
    };
    let reason = tokio::time::timeout(LIMIT, watched).await.unwrap();
    assert!(reason.contains("restarted 5 times within 60 s"), "{reason}");
    assert_eq!(cluster.postmaster_pid(), None);
    cluster.stop().await.unwrap();
    start(&dir).await.stop().await.unwrap();
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

/// The server in a process of its own, and its postmaster.
fn server_to_kill(dir: &TempDir) -> (Guard, u32) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "server_to_be_killed", "--ignored", "--nocapture"]);
    command.env("EMBEDDED_TEST_DATA_DIR", dir.path().join("data")).stdout(Stdio::piped());
    let mut server = Guard(command.spawn().unwrap());
    let output = BufReader::new(server.0.stdout.take().unwrap());
    let postmaster = output.lines().map_while(Result::ok).find_map(|line| line.strip_prefix("ready ")?.parse().ok());
    let postmaster: u32 = postmaster.expect("the server did not become ready");
    (server, postmaster)
}

/// Not a test: the process that [`a_sigkilled_server_stops_postgres_and_the_next_one_starts`] kills.
#[test]
#[ignore = "run by another test, in a process of its own"]
fn server_to_be_killed() {
    let Some(data_dir) = std::env::var_os("EMBEDDED_TEST_DATA_DIR") else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let options = Options { data_dir: data_dir.into(), bin_dir: None, max_connections: MAX_CONNECTIONS };
        let cluster = Cluster::start(&options).await.unwrap();
        leave_row(&cluster).await;
        println!("\nready {}", cluster.postmaster_pid().unwrap());
        tokio::time::sleep(LIMIT).await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sigkilled_server_stops_postgres_and_the_next_one_starts() {
    let dir = temp_dir();
    let (mut server, postmaster) = server_to_kill(&dir);

    let error = Cluster::start(&options(&dir)).await.unwrap_err();
    assert!(error.to_string().contains(&format!("pid {}", server.0.id())), "{error}");
    assert!(running_endpoint(&dir.path().join("data")).is_ok());

    server.0.kill().unwrap();
    server.0.wait().unwrap();
    let cluster = start(&dir).await;
    assert!(!is_alive(postmaster));
    expect_row(&cluster).await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn postgres_ends_by_itself_when_its_server_is_sigkilled() {
    let dir = temp_dir();
    let (mut server, postmaster) = server_to_kill(&dir);
    server.0.kill().unwrap();
    wait_until("the orphan has ended", || !is_alive(postmaster));
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
async fn somebody_elses_directory_is_refused_and_left_untouched() {
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
async fn another_major_version_is_named_on_both_sides() {
    let dir = temp_dir();
    start(&dir).await.stop().await.unwrap();
    fs::write(cluster_dir(&dir).join("PG_VERSION"), "12\n").unwrap();
    let error = Cluster::start(&options(&dir)).await.unwrap_err();
    let PostgresError::VersionMismatch { cluster, programs, .. } = &error else { panic!("{error}") };
    assert_eq!(cluster, "12");
    assert!(error.to_string().contains(&format!("PostgreSQL {programs}")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_directory_without_programs_is_an_error_with_the_place_and_the_remedy() {
    let dir = temp_dir();
    let options = Options { bin_dir: Some(dir.path().to_owned()), ..options(&dir) };
    let error = Cluster::start(&options).await.unwrap_err();
    let message = error.to_string();
    for part in [dir.path().to_str().unwrap(), "`postgres` and `initdb`", "install"] {
        assert!(message.contains(part), "{part} is missing in: {message}");
    }
    assert!(!options.data_dir.exists(), "nothing was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_postgres_refuses_quotes_its_reason() {
    let dir = temp_dir();
    let error = Cluster::start(&Options { max_connections: 0, ..options(&dir) }).await.unwrap_err();
    assert!(matches!(error, PostgresError::EndedAtStart { .. }), "{error}");
    assert!(error.to_string().contains("max_connections"), "{error}");
    // Nothing is damaged by that.
    start(&dir).await.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_password_is_named() {
    let dir = temp_dir();
    start(&dir).await.stop().await.unwrap();
    let password = dir.path().join("data/password");
    fs::remove_file(&password).unwrap();
    let error = Cluster::start(&options(&dir)).await.unwrap_err();
    assert!(error.to_string().contains(password.to_str().unwrap()), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_postgres_cannot_reach_is_named() {
    if !Uid::effective().is_root() {
        // An ordinary user's PostgreSQL reaches whatever the user does.
        return;
    }
    let dir = temp_dir();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
    let error = Cluster::start(&options(&dir)).await.unwrap_err();
    let PostgresError::NotReachable { blocked, .. } = &error else { panic!("{error}") };
    assert_eq!(*blocked, fs::canonicalize(dir.path()).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_cluster_leaves_nothing() {
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
async fn a_data_directory_with_a_long_path_works() {
    let dir = temp_dir();
    let options = Options { data_dir: dir.path().join("long, and with spaces ".repeat(6)), ..options(&dir) };
    assert!(options.data_dir.as_os_str().len() > 100);
    let cluster = Cluster::start(&options).await.unwrap();
    let endpoint = running_endpoint(&options.data_dir).unwrap();
    let short = endpoint.socket_dir.clone();
    assert!(short.starts_with("/tmp") && mode(&short) == 0o700, "{}", short.display());
    assert_eq!(ask(&cluster, "select 'short'").await, "short");
    cluster.stop().await.unwrap();
    assert!(!short.exists(), "it goes with the server");
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
    // What a killed PostgreSQL leaves says `ready` but is none.
    let stale = format!("{}\n/d\n1\n5432\n/tmp\n\n0 0\nready   \n", std::process::id());
    fs::write(cluster_dir(&dir).join("postmaster.pid"), stale).unwrap();
    let error = running_endpoint(&data_dir).unwrap_err();
    assert!(error.to_string().contains("no longer runs"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_in_the_cluster_cannot_make_it_forget() {
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
