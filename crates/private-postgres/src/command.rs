//! How a program of PostgreSQL is started: with nothing of our environment, and unable to outlive us.

use std::io;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use std::{os::unix::process::CommandExt, path::Path};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::account::OsAccount;

/// A command that runs `program` as `account` and receives `at_our_death` when we die, however we die.
///
/// Spawn it from a thread that lives as long as the program should: on Linux the signal is sent when the spawning
/// *thread* ends. Elsewhere there is no such signal, and only an orderly end stops the program.
pub(super) fn private(program: &Path, account: &OsAccount, at_our_death: Signal) -> Command {
    let mut command = Command::new(program);
    command
        // LANG, PGDATA, PGOPTIONS and their like would change what PostgreSQL does; a bad LANG breaks initdb.
        .env_clear()
        .env("LC_ALL", "C")
        // Ours may be unreadable for the other user, or be unmounted later.
        .current_dir("/")
        // Ctrl-C in a terminal goes to the whole group; ending the database in order is our job.
        .process_group(0)
        .stdin(Stdio::null());
    account.apply(&mut command);
    die_with_us(&mut command, at_our_death);
    command
}

#[cfg(target_os = "linux")]
fn die_with_us(command: &mut Command, signal: Signal) {
    use nix::errno::Errno;
    use nix::sys::prctl::set_pdeathsig;
    use nix::unistd::getppid;

    let parent = Pid::this();
    let in_child = move || {
        // After the change of user, which would reset it: the standard library runs this last before exec.
        set_pdeathsig(signal)?;
        // Did we die between fork and prctl? Then no signal will come any more.
        if getppid() == parent { Ok(()) } else { Err(io::Error::from(Errno::ESRCH)) }
    };
    // SAFETY: between fork and exec the closure makes two plain system calls, prctl and getppid. Both are safe after
    // a fork of a process with many threads: no allocation, no lock, no memory shared with the parent.
    unsafe { command.pre_exec(in_child) };
}

#[cfg(not(target_os = "linux"))]
fn die_with_us(_command: &mut Command, _signal: Signal) {}

/// Runs a small helper program and returns what it said; one that does not end in time is killed.
pub(super) fn output_within(command: &mut Command, limit: Duration) -> io::Result<Output> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let pid = child.id();
    let (sender, receiver) = mpsc::channel();
    // The reader waits for the end of the pipes, which a grandchild could hold open: so it is not us who wait.
    thread::Builder::new().name("pg-output".to_owned()).spawn(move || {
        // Nobody listens any more after a timeout.
        let _ = sender.send(child.wait_with_output());
    })?;
    receiver.recv_timeout(limit).unwrap_or_else(|_| {
        if let Some(pid) = as_pid(pid) {
            // It may have ended in this very moment: that is as good.
            let _ = kill(pid, Signal::SIGKILL);
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", limit.as_secs())))
    })
}

/// The number of a process as the system calls want it; never 0 or negative, which would address a whole group.
pub(super) fn as_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().filter(|pid| *pid > 0).map(Pid::from_raw)
}
