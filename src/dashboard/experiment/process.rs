//! The process that an experiment is: this very program, told to run or to explore. So the load and the dashboard share no runtime, no
//! allocator and no limit, and whatever happens to it, the server goes on.

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

use super::ExperimentEvent;
use super::request::ExperimentRequest;
use crate::lab::target::own_program;

/// How long it may take to end once it was told to: answers are waited for (5 s), the referee reads, the server and its connections end.
pub const STOP_MAX: Duration = Duration::from_secs(30);

/// Longest line that it may tell, in bytes: the judgement of a round with its witnesses is some 10 KB.
const LINE_MAX: u64 = 4 << 20;

/// What is kept of its standard error, in bytes: the end, where the reason stands.
const SAID_MAX: usize = 4 << 10;

/// How long its standard error may stay open after it has ended: what it started itself may still hold it.
const SAID_WAIT: Duration = Duration::from_secs(2);

/// An experiment's process. It is killed if this is dropped, and stops by itself when our end of its standard input is gone.
#[derive(Debug)]
pub struct ExperimentProcess {
    child: Child,
    told: BufReader<ChildStdout>,
    said: JoinHandle<String>,
}

impl ExperimentProcess {
    /// Starts it. It writes what it finds below `runs`, and works on this database.
    ///
    /// # Errors
    /// As starting a process does.
    pub fn start(order: &ExperimentRequest, runs: &Path, database: &PgConnectOptions) -> std::io::Result<Self> {
        let runs = std::path::absolute(runs)?;
        let mut command = Command::new(own_program()?);
        // What shapes the server that somebody looks at must not shape the experiment: neither its variables, nor its .env, which is
        // read from the working directory.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("LAB_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .args(&order.arguments)
            .args(["--events", "--out"])
            .arg(&runs)
            .current_dir("/")
            // Everybody on the machine may read a command line.
            .env("DATABASE_URL", database.to_url_lossy().as_str())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            // Ctrl-C is the server's, which then stops it.
            .process_group(0)
            .spawn()?;
        let missing = || std::io::Error::other("the process has no standard output");
        let told = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        let said = tokio::spawn(end_of(child.stderr.take().ok_or_else(missing)?));
        Ok(Self { child, told, said })
    }

    /// What it tells next; `None` when it has nothing more to tell. It may be dropped at any time: what was read of a line is in `line`, and
    /// the next call goes on from there.
    pub async fn next(&mut self, line: &mut Vec<u8>) -> Option<ExperimentEvent> {
        loop {
            let room = LINE_MAX.saturating_sub(line.len() as u64);
            let read = (&mut self.told).take(room).read_until(b'\n', line).await;
            let whole = line.ends_with(b"\n");
            if !matches!(read, Ok(read) if read > 0) || !whole {
                if !line.is_empty() {
                    tracing::warn!(bytes = line.len(), "an experiment told half a line, or one without end");
                }
                return None;
            }
            let event = serde_json::from_slice(line);
            line.clear();
            match event {
                Ok(event) => return Some(event),
                Err(error) => tracing::warn!(%error, "an experiment told something that is no event"),
            }
        }
    }

    /// Tells it to stop.
    pub fn interrupt(&self) {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
        }
    }

    /// Ends it now, waits until it is gone, and gives its status and what it said last.
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
        let said = tokio::time::timeout(SAID_WAIT, &mut self.said).await;
        self.said.abort();
        (status, said.ok().and_then(Result::ok).unwrap_or_default())
    }
}

/// The end of what is said; all of it is read, so that nobody waits for us to read.
async fn end_of(mut said: impl AsyncRead + Unpin) -> String {
    let (mut kept, mut piece) = (Vec::new(), [0; 1024]);
    while let Ok(read @ 1..) = said.read(&mut piece).await {
        kept.extend_from_slice(&piece[..read]);
        kept.drain(..kept.len().saturating_sub(SAID_MAX));
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_much_that_is_said_the_end_is_kept() {
        let mut text = "x".repeat(3 * SAID_MAX);
        text.push_str("the reason\n");
        let kept = end_of(text.as_bytes()).await;
        assert!(kept.ends_with("xthe reason") && kept.len() < SAID_MAX, "{}", kept.len());
        assert_eq!(end_of(&b""[..]).await, "");
    }

    #[test]
    fn a_databases_options_survive_as_a_url() {
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
