//! The processes that use a cluster, and how to end them.
//!
//! A server that was killed with SIGKILL may leave a postmaster behind, and a killed postmaster leaves its backends.
//! Every process of PostgreSQL has the cluster as its working directory, so the kernel knows which processes use it,
//! whatever postmaster.pid says. Another PostgreSQL may start only when there is none. The flock keeps other owners out,
//! so no new process appears in the meantime.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::data_dir::remove_file;
use super::error::{ErrorContext, PostgresError};
use super::pid_file;

/// How long to wait after SIGINT. A fast shutdown takes 25 ms, or longer with a large checkpoint to write. Backends
/// without their postmaster end at their next wait.
const SIGINT_LIMIT: Duration = Duration::from_secs(10);

/// How long to wait after SIGQUIT. A postmaster gives its children 5 s before it kills them.
const SIGQUIT_LIMIT: Duration = Duration::from_secs(10);

const POLL_EVERY: Duration = Duration::from_millis(10);

/// Only /proc shows working directories. On other systems only the postmaster is known.
const SEES_ALL_PROCESSES: bool = cfg!(target_os = "linux");

#[derive(Debug)]
struct ForeignProcess {
    pid: Pid,
    parent: Pid,
    /// Decided by its name. A user's shell may have the cluster as its working directory too; it must not be ended.
    is_postgres: bool,
}

/// Ends the processes that an earlier PostgreSQL left on this cluster, and returns when all of them have ended.
///
/// SIGINT comes first: a postmaster stops in order, and a backend without its postmaster gives up its query and then
/// ends. Processes that stay get SIGQUIT, the signal that a postmaster sends after a crash: the process ends at once and
/// writes nothing more, and recovery does the rest. SIGKILL is never sent: if SIGQUIT does not help, the start fails.
pub(super) fn evict(cluster: &Path) -> Result<(), PostgresError> {
    if signal_until_gone(cluster, Signal::SIGINT, SIGINT_LIMIT)?.is_empty() {
        return Ok(());
    }
    tracing::warn!(cluster = %cluster.display(), "processes of an earlier PostgreSQL do not stop: sending SIGQUIT");
    let left = signal_until_gone(cluster, Signal::SIGQUIT, SIGQUIT_LIMIT)?;
    if left.is_empty() {
        return Ok(());
    }
    Err(PostgresError::Occupied { path: cluster.to_owned(), pids: left.iter().map(|pid| pid.as_raw()).collect() })
}

/// Ends the processes of an earlier PostgreSQL and removes its postmaster.pid. PostgreSQL itself refuses to start when
/// the file is empty, or when another process of the same user now has the pid in it.
pub(super) fn make_way(cluster: &Path) -> Result<(), PostgresError> {
    evict(cluster)?;
    let pid_file = cluster.join(pid_file::NAME);
    let Ok(metadata) = pid_file.metadata() else { return Ok(()) };
    // PostgreSQL's own checks decide in two cases: an unknown process has the cluster as its working directory; or not
    // all processes can be seen, and the file names the shared memory that backends without a postmaster still use.
    let worthless = SEES_ALL_PROCESSES || metadata.len() == 0;
    if worthless && using(cluster).context("list the processes that use", cluster)?.is_empty() {
        tracing::info!(path = %pid_file.display(), "removing the pid file of an earlier PostgreSQL");
        remove_file(&pid_file)?;
    }
    Ok(())
}

/// Whether this process is a PostgreSQL that uses this cluster, and not another process with a reused pid.
pub(super) fn serves(pid: Pid, cluster: &Path) -> bool {
    using(cluster).is_ok_and(|all| all.iter().any(|process| process.pid == pid && process.is_postgres))
}

/// Sends the signal once to each process that has no parent among these processes, and returns those that still run at
/// the limit.
fn signal_until_gone(cluster: &Path, signal: Signal, limit: Duration) -> Result<Vec<Pid>, PostgresError> {
    let deadline = Instant::now() + limit;
    let mut signalled = HashSet::new();
    loop {
        let mut here = using(cluster).context("list the processes that use", cluster)?;
        here.retain(|process| process.is_postgres);
        if here.is_empty() || Instant::now() >= deadline {
            return Ok(here.iter().map(|process| process.pid).collect());
        }
        let pids: HashSet<Pid> = here.iter().map(|process| process.pid).collect();
        // A postmaster ends its children itself, in the right order.
        for process in here.iter().filter(|process| !pids.contains(&process.parent)) {
            if signalled.insert(process.pid) {
                tracing::info!(pid = process.pid.as_raw(), %signal, "ending a process of an earlier PostgreSQL");
                if let Err(error) = kill(process.pid, signal) {
                    tracing::debug!(pid = process.pid.as_raw(), %error, "the process has already ended");
                }
            }
        }
        thread::sleep(POLL_EVERY);
    }
}

/// The processes that have the cluster as their working directory. A zombie has no working directory any more.
#[cfg(target_os = "linux")]
fn using(cluster: &Path) -> io::Result<Vec<ForeignProcess>> {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    let identity = |path: &Path| path.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
    let cluster = match identity(cluster) {
        Ok(identity) => identity,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(error),
    };
    let mut found = vec![];
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // An unreadable entry belongs to a process that has ended or to another user. PostgreSQL runs as this user, or
        // this process is root and can read all of them.
        if identity(&entry.path().join("cwd")).is_ok_and(|cwd| cwd == cluster) {
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            if let Some((name, parent)) = parse_stat(&stat) {
                let (pid, parent) = (Pid::from_raw(pid), Pid::from_raw(parent));
                found.push(ForeignProcess { pid, parent, is_postgres: is_postgres(name) });
            }
        }
    }
    Ok(found)
}

/// Name and parent from `/proc/<pid>/stat`: `pid (name) state parent …`, where the name may contain anything.
#[cfg(target_os = "linux")]
fn parse_stat(stat: &str) -> Option<(&str, i32)> {
    let (_, rest) = stat.split_once('(')?;
    let (name, rest) = rest.rsplit_once(')')?;
    Some((name, rest.split_whitespace().nth(1)?.parse().ok()?))
}

/// Without /proc: the process that postmaster.pid names, if it is a PostgreSQL. Backends of a killed postmaster are not
/// seen. PostgreSQL itself refuses to start beside them: it checks the shared memory segment that postmaster.pid names.
#[cfg(not(target_os = "linux"))]
fn using(cluster: &Path) -> io::Result<Vec<ForeignProcess>> {
    use std::process::Command;

    let Some(pid) = pid_file::read(cluster).ok().and_then(|file| file.pid()) else { return Ok(vec![]) };
    let mut ps = Command::new("ps");
    ps.args(["-o", "ppid=,comm=", "-p"]).arg(pid.to_string());
    let output = super::command::output_within(&mut ps, Duration::from_secs(5))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let Some((parent, name)) = text.trim().split_once(char::is_whitespace) else { return Ok(vec![]) };
    let Ok(parent) = parent.parse() else { return Ok(vec![]) };
    let name = Path::new(name.trim()).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    Ok(vec![ForeignProcess { pid, parent: Pid::from_raw(parent), is_postgres: is_postgres(name) }])
}

fn is_postgres(name: &str) -> bool {
    name == "postgres" || name == "postmaster"
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_may_contain_any_character() {
        assert_eq!(parse_stat("12 (postgres) S 1 12 12 0"), Some(("postgres", 1)));
        assert_eq!(parse_stat("12 (a) b (c)) R 77 1"), Some(("a) b (c)", 77)));
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn another_program_in_the_directory_is_seen_and_not_signalled() {
        let dir = tempfile::tempdir().unwrap();
        let mut shell = std::process::Command::new("sleep").arg("60").current_dir(dir.path()).spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(shell.id()).unwrap());
        let deadline = Instant::now() + Duration::from_secs(5);
        // Between fork and exec the child still has the name and the directory of this process.
        while !using(dir.path()).unwrap().iter().any(|process| process.pid == pid) {
            assert!(Instant::now() < deadline, "the process in the directory was not seen");
            thread::sleep(POLL_EVERY);
        }
        evict(dir.path()).unwrap();
        assert!(!serves(pid, dir.path()));
        assert!(shell.try_wait().unwrap().is_none(), "it must not be signalled");
        shell.kill().unwrap();
        shell.wait().unwrap();
    }
}
