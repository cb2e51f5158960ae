//! Starts a program of PostgreSQL with an empty environment, and so that it ends when this process ends.

use std::io;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use std::{os::unix::process::CommandExt, path::Path};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::account::OsAccount;

/// A command that runs `program` as `account`. The program receives `at_parent_end` when this process ends, in any way.
///
/// Spawn it from a thread that lives as long as the program should: on Linux the kernel sends the signal when the
/// spawning *thread* ends. On other systems there is no such signal, and only an orderly end of this process stops the
/// program.
pub(super) fn private(program: &Path, account: &OsAccount, at_parent_end: Signal) -> Command {
    let mut command = Command::new(program);
    command
        // Variables such as LANG, PGDATA and PGOPTIONS change what PostgreSQL does; an unknown LANG breaks initdb.
        .env_clear()
        .env("LC_ALL", "C")
        // The other user may not be able to read our working directory, and it may be unmounted later.
        .current_dir("/")
        // Ctrl-C in a terminal signals the whole process group; the supervisor stops PostgreSQL itself, in order.
        .process_group(0)
        .stdin(Stdio::null());
    account.apply(&mut command);
    end_with_parent(&mut command, at_parent_end);
    command
}

#[cfg(target_os = "linux")]
fn end_with_parent(command: &mut Command, signal: Signal) {
    use nix::errno::Errno;
    use nix::sys::prctl::set_pdeathsig;
    use nix::unistd::getppid;

    let parent = Pid::this();
    let in_child = move || {
        // The standard library runs this after the change of user, which resets the setting, and right before exec.
        set_pdeathsig(signal)?;
        // If the parent ended between fork and prctl, no signal comes any more.
        if getppid() == parent { Ok(()) } else { Err(io::Error::from(Errno::ESRCH)) }
    };
    // SAFETY: between fork and exec the closure makes two plain system calls, prctl and getppid. Both are safe after
    // a fork of a process with many threads: no allocation, no lock, no memory shared with the parent.
    unsafe { command.pre_exec(in_child) };
}

#[cfg(not(target_os = "linux"))]
fn end_with_parent(_command: &mut Command, _signal: Signal) {}

/// Runs a small program and returns its output. Kills the program if it does not end in time.
pub(super) fn output_within(command: &mut Command, limit: Duration) -> io::Result<Output> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let pid = child.id();
    let (sender, receiver) = mpsc::channel();
    // A grandchild could hold the pipes open for ever, so a thread of its own waits for their end.
    thread::Builder::new().name("pg-output".to_owned()).spawn(move || {
        // After a timeout the receiver is gone.
        let _ = sender.send(child.wait_with_output());
    })?;
    receiver.recv_timeout(limit).unwrap_or_else(|_| {
        if let Some(pid) = as_pid(pid) {
            // If the program has ended in the meantime, there is nothing to kill.
            let _ = kill(pid, Signal::SIGKILL);
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", limit.as_secs())))
    })
}

/// A pid as the system calls take it; never 0 or negative, which would address a whole process group.
pub(super) fn as_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().filter(|pid| *pid > 0).map(Pid::from_raw)
}
