//! Makes a cluster with `initdb`, all or nothing.
//!
//! `initdb` takes about a second, and may be interrupted in it. It works on `cluster.tmp`, which is renamed to `cluster`
//! only when `initdb` has finished. So there is a complete cluster or none, never a part of one that breaks later starts.

use std::fs;
use std::io;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::USER;
use super::command::private;
use super::data_dir::{DataDir, remove_dir, sync_dir};
use super::error::{ErrorContext, PostgresError};
use super::processes;
use super::programs::Programs;
use super::supervisor::Pause;

/// How long `initdb` may take. It takes about a second; the rest is for a slow disk that has to sync 900 files.
const INITDB_LIMIT: Duration = Duration::from_mins(3);

const POLL_EVERY: Duration = Duration::from_millis(5);

/// Whether the files of a new cluster must survive a power failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sync {
    Yes,
    /// A temporary cluster is not used after a power failure. This concerns only initdb: the server always syncs.
    No,
}

/// Makes the cluster if there is none.
pub(super) fn ensure(data_dir: &DataDir, programs: &Programs, sync: Sync, pause: &Pause) -> Result<(), PostgresError> {
    let cluster = data_dir.layout.cluster();
    let unfinished = data_dir.layout.unfinished_cluster();
    if unfinished.exists() {
        tracing::warn!(path = %unfinished.display(), "removing an incomplete cluster: an earlier initdb was interrupted");
        processes::evict(&unfinished)?;
        remove_dir(&unfinished)?;
    }
    if cluster.exists() {
        return Ok(());
    }
    let started = Instant::now();
    data_dir.write_password()?;
    data_dir.private_dir(&unfinished)?;
    run(data_dir, programs, sync, pause)?;
    fs::rename(&unfinished, &cluster).context("move the new cluster to", &cluster)?;
    sync_dir(data_dir.layout.root())?;
    tracing::info!(path = %cluster.display(), elapsed_ms = started.elapsed().as_millis(), "initdb made a new cluster");
    Ok(())
}

fn run(data_dir: &DataDir, programs: &Programs, sync: Sync, pause: &Pause) -> Result<(), PostgresError> {
    let log = data_dir.log();
    let log_start = log.len();
    let program = programs.path("initdb");
    // SIGKILL: an initdb that keeps running would race with the next one. Its own child ends at the end of its input.
    let mut command = private(&program, &data_dir.account, Signal::SIGKILL);
    command
        .arg("--pgdata")
        .arg(data_dir.layout.unfinished_cluster())
        .arg("--pwfile")
        .arg(data_dir.layout.password())
        .arg(format!("--username={USER}"))
        .args(["--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-instructions"])
        .stdout(log.open()?)
        .stderr(log.open()?);
    if sync == Sync::No {
        command.arg("--no-sync");
    }
    let mut child = command.spawn().context("run", &program)?;
    let outcome = match wait(&mut child, pause).context("wait for", &program)? {
        InitdbEnd::Exited(status) if status.success() => return Ok(()),
        InitdbEnd::Exited(status) => Some(status.to_string()),
        InitdbEnd::TooSlow => Some(format!("did not finish within {} s and was killed", INITDB_LIMIT.as_secs())),
        InitdbEnd::Cancelled => None,
    };
    let detail = log.tail(log_start);
    // The next start would do this too; but after an error there should be no directory that looks like a cluster.
    let unfinished = data_dir.layout.unfinished_cluster();
    if let Err(error) = processes::evict(&unfinished).and_then(|()| remove_dir(&unfinished)) {
        tracing::warn!(%error, "cannot remove the incomplete cluster");
    }
    Err(match outcome {
        Some(outcome) => PostgresError::ProgramFailed { program: "initdb".to_owned(), outcome, detail },
        None => PostgresError::Cancelled,
    })
}

enum InitdbEnd {
    Exited(ExitStatus),
    TooSlow,
    Cancelled,
}

fn wait(child: &mut Child, pause: &Pause) -> io::Result<InitdbEnd> {
    let deadline = Instant::now() + INITDB_LIMIT;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(InitdbEnd::Exited(status));
        }
        let end = if pause.sleep(POLL_EVERY).is_err() {
            InitdbEnd::Cancelled
        } else if Instant::now() >= deadline {
            InitdbEnd::TooSlow
        } else {
            continue;
        };
        child.kill()?;
        child.wait()?;
        return Ok(end);
    }
}
