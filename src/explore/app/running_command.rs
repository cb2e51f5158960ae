//! A program in a process group of its own.
//!
//! A shell runs the command line, as `make` does. When its first process has ended, what is left of its group is killed. A guard kills
//! the groups when the lab itself ends in any way, by SIGKILL too: it is a process of its own, which waits for the end of a pipe whose
//! other end only the lab has. (A parent-death signal would reach the shell, and not what the shell starts.) A program that leaves its
//! group, as a daemon does, escapes both.

use std::io::{self, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::time::timeout;

use super::command_output::{CommandOutput, read_end};
use super::environment::{DatabaseEnvironment, REMOVED};

/// How long the rest of the output may take after the group was killed. Only a process outside the group can hold the pipe open.
const OUTPUT_MAX: Duration = Duration::from_secs(1);

/// Reads lines of process groups, and kills those of the last line when its input ends.
const GUARD: &str = "groups=; while read -r line; do groups=$line; done; \
                     for group in $groups; do kill -s KILL -- \"-$group\" 2>/dev/null; done";

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExitedCommand {
    /// Its exit code; that of a signal is 128 and its number, as a shell says it.
    pub code: i32,
    /// The end of what it printed.
    pub output: CommandOutput,
}

/// Kills the process groups of running programs when the lab ends.
#[derive(Debug, Clone)]
pub struct CommandGuard(Arc<Mutex<GuardState>>);

#[derive(Debug)]
struct GuardState {
    process: Child,
    pipe: Option<ChildStdin>,
    groups: Vec<Pid>,
}

/// A program that runs.
#[derive(Debug)]
pub struct RunningCommand {
    group: Pid,
    guard: CommandGuard,
    process: tokio::process::Child,
    /// Its group was killed after its end. The number may belong to another group soon.
    is_over: bool,
}

impl CommandGuard {
    /// Starts it.
    ///
    /// # Errors
    /// An error of the operating system.
    pub fn start() -> io::Result<Self> {
        // A group of its own, so that Ctrl-C in a terminal does not end it before the lab.
        let mut process = Command::new("sh")
            .args(["-c", GUARD])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let pipe = process.stdin.take();
        Ok(Self(Arc::new(Mutex::new(GuardState { process, pipe, groups: Vec::new() }))))
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Pid>)) -> io::Result<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state.groups);
        let line = state.groups.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ") + "\n";
        match &mut state.pipe {
            Some(pipe) => pipe.write_all(line.as_bytes()),
            None => Ok(()),
        }
    }
}

impl Drop for GuardState {
    fn drop(&mut self) {
        drop(self.pipe.take());
        // It kills what is left, and ends.
        let _ = self.process.wait();
    }
}

impl RunningCommand {
    /// Starts a command line in this folder, with the variables of its database and its own.
    ///
    /// # Errors
    /// An error of the operating system.
    pub fn start<'e>(
        guard: &CommandGuard,
        run: &str,
        folder: &Path,
        database: &DatabaseEnvironment,
        env: impl IntoIterator<Item = (&'e String, &'e String)>,
    ) -> io::Result<Self> {
        let mut command = tokio::process::Command::new("sh");
        command.arg("-c").arg(database.fill(run)).current_dir(folder);
        for name in REMOVED {
            command.env_remove(name);
        }
        command.envs(database.variables());
        command.envs(env.into_iter().map(|(name, value)| (name, database.fill(value))));
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let process = command.spawn()?;
        let pid = process.id().and_then(|pid| i32::try_from(pid).ok());
        let group = Pid::from_raw(pid.ok_or_else(|| io::Error::other("the process has no id"))?);
        let running = Self { group, guard: guard.clone(), process, is_over: false };
        running.guard.change(|groups| groups.push(group))?;
        Ok(running)
    }

    /// Kills its process group.
    pub fn kill(&self) {
        kill_group(self.group);
    }

    /// The process group, for [`kill_group`].
    #[must_use]
    pub fn group(&self) -> Pid {
        self.group
    }

    /// Waits until its first process has ended, and kills the rest.
    pub async fn ended(mut self) -> ExitedCommand {
        let (output, errors) = (self.process.stdout.take(), self.process.stderr.take());
        let output = tokio::spawn(async { read_end(output?).await.into() });
        let errors = tokio::spawn(async { read_end(errors?).await.into() });
        let status = self.process.wait().await;
        self.kill();
        self.is_over = true;
        let code = status.ok().and_then(|status| status.code().or_else(|| Some(128 + status.signal()?)));
        let rest = async |task: tokio::task::JoinHandle<Option<String>>| {
            let abort = task.abort_handle();
            let read = timeout(OUTPUT_MAX, task).await;
            abort.abort();
            read.ok().and_then(Result::ok).flatten().unwrap_or_default()
        };
        let output = CommandOutput { output: rest(output).await, errors: rest(errors).await };
        ExitedCommand { code: code.unwrap_or(-1), output }
    }
}

impl Drop for RunningCommand {
    fn drop(&mut self) {
        if !self.is_over {
            self.kill();
        }
        let group = self.group;
        // The pipe is broken only if the guard was killed.
        let _ = self.guard.change(|groups| groups.retain(|other| *other != group));
    }
}

/// Kills a process group. One that has ended needs nothing.
pub fn kill_group(group: Pid) {
    // Never 0 or 1, which would address this process's own group or every process.
    if group.as_raw() > 1 {
        let _ = killpg(group, Signal::SIGKILL);
    }
}
