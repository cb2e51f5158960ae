//! The child process that an experiment is: the same program with the command `run` or `explore`. So load and dashboard share no runtime, no
//! allocator and no limit, and the server survives whatever happens to the experiment.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;

use crate::dashboard::model::ExperimentEvent;
use crate::dashboard::model::experiment_request::ExperimentRequest;
use crate::lab::target::own_program;

/// How long it may take to end after an interrupt: it waits for answers (5 s), the referee reads the history, the server and its connections end.
pub const STOP_MAX: Duration = Duration::from_secs(30);

/// Longest line of an event, in bytes: the judgement of a round with its witnesses has about 10 KB.
const LINE_MAX: u64 = 4 << 20;

/// How much of its standard error is kept, in bytes: the end, where the reason is.
const ERRORS_MAX: usize = 4 << 10;

/// How long its standard error may stay open after its end: a process that it started may still have it open.
const ERRORS_WAIT: Duration = Duration::from_secs(2);

/// An experiment's process. It is killed when this is dropped, and stops by itself when its standard input is closed.
#[derive(Debug)]
pub struct ExperimentProcess {
    child: Child,
    events: BufReader<ChildStdout>,
    errors: JoinHandle<String>,
}

impl ExperimentProcess {
    /// Starts it on this database. It writes its results below `runs`.
    ///
    /// # Errors
    /// If the process cannot be started.
    pub fn start(request: &ExperimentRequest, runs: &Path, database: &PgConnectOptions) -> std::io::Result<Self> {
        let runs = std::path::absolute(runs)?;
        let mut command = Command::new(own_program()?);
        // The settings of this server must not change the experiment: neither its environment variables, nor its .env file, which is
        // read from the working directory.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("LAB_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .args(&request.arguments)
            .args(["--events", "--out"])
            .arg(&runs)
            .current_dir("/")
            // Other users of the machine can read a command line, so the URL with its password is not on it.
            .env("DATABASE_URL", database.to_url_lossy().as_str())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            // Ctrl-C reaches only the server, which then stops the experiment.
            .process_group(0)
            .spawn()?;
        let missing = || std::io::Error::other("the process has no standard output");
        let events = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        let errors = tokio::spawn(end_of(child.stderr.take().ok_or_else(missing)?));
        Ok(Self { child, events, errors })
    }

    /// The next event; `None` at the end. The future may be dropped at any time: the part of a line that was read is in `line`, and the next
    /// call continues from there.
    pub async fn next(&mut self, line: &mut Vec<u8>) -> Option<ExperimentEvent> {
        loop {
            let room = LINE_MAX.saturating_sub(line.len() as u64);
            let read = (&mut self.events).take(room).read_until(b'\n', line).await;
            let whole = line.ends_with(b"\n");
            if !matches!(read, Ok(read) if read > 0) || !whole {
                if !line.is_empty() {
                    tracing::warn!(bytes = line.len(), "an experiment sent an incomplete or too long event");
                }
                return None;
            }
            let event = serde_json::from_slice(line);
            line.clear();
            match event {
                Ok(event) => return Some(event),
                Err(error) => tracing::warn!(%error, "an experiment sent a line that is not an event"),
            }
        }
    }

    /// Interrupts it, so that it stops and saves its results.
    pub fn interrupt(&self) {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            // It may have ended already.
            let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
        }
    }

    /// Kills the process if `kill` is set, then waits until it has ended. Returns its status and the end of its standard error.
    pub async fn end(mut self, kill: bool) -> (Option<ExitStatus>, String) {
        if kill {
            let _ = self.child.start_kill();
        }
        let status = match tokio::time::timeout(STOP_MAX, self.child.wait()).await {
            Ok(status) => status.ok(),
            Err(_elapsed) => {
                let _ = self.child.start_kill();
                self.child.wait().await.ok()
            }
        };
        let errors = tokio::time::timeout(ERRORS_WAIT, &mut self.errors).await;
        self.errors.abort();
        (status, errors.ok().and_then(Result::ok).unwrap_or_default())
    }
}

/// Reads everything, so that the writer never blocks, and returns the end of it.
async fn end_of(mut output: impl AsyncRead + Unpin) -> String {
    let (mut kept, mut piece) = (Vec::new(), [0; 1024]);
    while let Ok(read @ 1..) = output.read(&mut piece).await {
        kept.extend_from_slice(&piece[..read]);
        kept.drain(..kept.len().saturating_sub(ERRORS_MAX));
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_a_long_output_is_kept() {
        let mut text = "x".repeat(3 * ERRORS_MAX);
        text.push_str("the reason\n");
        let kept = end_of(text.as_bytes()).await;
        assert!(kept.ends_with("xthe reason") && kept.len() < ERRORS_MAX, "{}", kept.len());
        assert_eq!(end_of(&b""[..]).await, "");
    }

    #[test]
    fn connection_options_survive_as_a_url() {
        let options = PgConnectOptions::new_without_pgpass()
            .socket("/tmp/a b/socket")
            .port(5432)
            .username("lab")
            .password("p@ss/word?")
            .database("experiment");
        let read: PgConnectOptions = options.to_url_lossy().as_str().parse().unwrap();
        assert_eq!(read.get_socket(), options.get_socket());
        assert_eq!((read.get_username(), read.get_database()), ("lab", Some("experiment")));
        assert_eq!(read.to_url_lossy(), options.to_url_lossy(), "password and port too");
    }
}
