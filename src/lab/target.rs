//! Who is raced: a server somewhere, or one of our own, started for the occasion in another process.
//!
//! Another process, because load and server would otherwise share one runtime, one allocator and one limit of open
//! files, and the latencies would be those of neither.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use axum::body::Bytes;
use hyper::Method;
use hyper::header::HeaderValue;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::de::IntoDeserializer as _;
use serde::{Deserialize, Deserializer};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::client::{Client, ClientError, HttpAnswer};
use super::results::ServerEnvironment;
use super::routes::{Misread, RowRead};
use crate::http::environment;
use domain::Row;
use domain::Workload;
use referee::history::{ClaimedSafety, Request, RowState};

/// How long each address of a host with several may take to connect.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a target may take to answer what is asked of it beside the load: a reset waits for the locks of others.
const ASK_TIMEOUT: Duration = Duration::from_mins(1);

/// How long our own server may take to start: a new database, an old machine.
const START_TIMEOUT: Duration = Duration::from_secs(90);

/// How long our own server may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// A server to send requests to.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its address.
    pub address: SocketAddr,
    /// What it is called by, for the Host header.
    pub host: HeaderValue,
    /// What stands before the routes; empty for the root.
    pub base: String,
}

/// Why a target cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Not a URL that can be raced.
    #[error("--target: expected a URL like http://127.0.0.1:3000, found {url:?}: {reason}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It does not answer.
    #[error("the target does not answer: {0}")]
    Down(#[from] ClientError),
    /// It takes too long.
    #[error("the target did not answer {path} within {} s", ASK_TIMEOUT.as_secs())]
    Slow {
        /// What was asked.
        path: String,
    },
    /// It answers something else.
    #[error("the target's {path} answered {found}")]
    Unexpected {
        /// What was asked.
        path: String,
        /// Status and body.
        found: String,
    },
    /// Its answer lacks what the routes say is in it.
    #[error("the target's {path}: {misread}")]
    Misread {
        /// What was asked.
        path: String,
        /// What is not there.
        misread: Misread,
    },
    /// A path that is none.
    #[error("{0:?} is not a path")]
    NoPath(String),
    /// Our own server did not start.
    #[error("cannot start a server: {0}")]
    Start(String),
}

/// What a target says about one of its approaches.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TargetApproach {
    /// Its name.
    pub name: String,
    /// Its other names.
    pub aliases: Vec<String>,
    /// Its claim for each workload.
    pub claims: TargetClaims,
}

/// What is claimed, by workload; a workload that is not named is not supported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TargetClaims {
    #[serde(deserialize_with = "claim")]
    balance: ClaimedSafety,
    #[serde(deserialize_with = "claim")]
    transfer: ClaimedSafety,
    #[serde(deserialize_with = "claim")]
    booking: ClaimedSafety,
    #[serde(deserialize_with = "claim")]
    counter: ClaimedSafety,
}

/// A claim as a target states it, which may be newer than this program: one that we do not know is none.
fn claim<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ClaimedSafety, D::Error> {
    let name = String::deserialize(deserializer)?;
    let known: Result<_, serde::de::value::Error> = ClaimedSafety::deserialize(name.as_str().into_deserializer());
    Ok(known.unwrap_or_default())
}

impl TargetClaims {
    /// The claim for a workload.
    #[must_use]
    pub fn of(&self, workload: Workload) -> ClaimedSafety {
        match workload {
            Workload::Balance => self.balance,
            Workload::Transfer => self.transfer,
            Workload::Booking => self.booking,
            Workload::Counter => self.counter,
        }
    }
}

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`TargetError::Url`].
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let invalid =
            |reason: &dyn std::fmt::Display| TargetError::Url { url: text.to_owned(), reason: reason.to_string() };
        let url = url::Url::parse(text).map_err(|error| invalid(&error))?;
        if url.scheme() != "http" {
            return Err(invalid(&"only http is raced"));
        }
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
            return Err(invalid(&"a base URL has no user, query or fragment"));
        }
        let name = url.host_str().ok_or_else(|| invalid(&"it has no host"))?;
        let port = url.port_or_known_default().unwrap_or(80);
        let addresses: Vec<SocketAddr> = (name.trim_start_matches('[').trim_end_matches(']'), port)
            .to_socket_addrs()
            .map_err(|error| invalid(&error))?
            .collect();
        // localhost is often ::1 first, where nobody may listen.
        let answers = |address: &&SocketAddr| TcpStream::connect_timeout(address, LOOK_TIMEOUT).is_ok();
        let alive = if addresses.len() > 1 { addresses.iter().find(answers) } else { None };
        let address = *alive.or(addresses.first()).ok_or_else(|| invalid(&"its host has no address"))?;
        let host = HeaderValue::from_str(&format!("{name}:{port}")).map_err(|error| invalid(&error))?;
        Ok(Self { address, host, base: url.path().trim_end_matches('/').to_owned() })
    }

    /// A client of it.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.address, self.host.clone())
    }

    /// Sends one request that must be answered with success.
    ///
    /// # Errors
    /// [`TargetError::Down`], [`TargetError::Unexpected`].
    pub async fn ask(&self, method: Method, path: &str, body: String) -> Result<HttpAnswer, TargetError> {
        let path = format!("{}{path}", self.base);
        let uri = path.parse().map_err(|_| TargetError::NoPath(path.clone()))?;
        let mut client = self.client();
        let sent = client.send(method, uri, Bytes::from(body), false);
        let answer = tokio::time::timeout(ASK_TIMEOUT, sent).await;
        let answer = answer.map_err(|_elapsed| TargetError::Slow { path: path.clone() })??;
        if !answer.status.is_success() {
            return Err(TargetError::unexpected(path, &answer));
        }
        Ok(answer)
    }

    /// Reads one row.
    ///
    /// # Errors
    /// As [`Target::ask`]; and what the answer lacks.
    pub async fn row(&self, base: &str, read: &RowRead, row: Row) -> Result<RowState, TargetError> {
        let request = match row {
            Row::User(user) => Request::Balance { user, amount: 0 },
            Row::Event(event) => Request::Booking { event, user: 0 },
            Row::Counter(counter) => Request::Increment { counter },
        };
        let path = format!("{base}{}", read.path.fill(&request));
        let answer = self.ask(read.method.clone(), &path, String::new()).await?;
        read.understand(row, &answer).map_err(|misread| TargetError::Misread { path, misread })
    }

    async fn json<T: for<'de> Deserialize<'de>>(&self, path: &str) -> Result<T, TargetError> {
        let answer = self.ask(Method::GET, path, String::new()).await?;
        serde_json::from_slice(&answer.body)
            .map_err(|_| TargetError::unexpected(format!("{}{path}", self.base), &answer))
    }

    /// The approaches it offers.
    ///
    /// # Errors
    /// As [`Target::ask`].
    pub async fn approaches(&self) -> Result<Vec<TargetApproach>, TargetError> {
        #[derive(Deserialize)]
        struct TargetCatalogue {
            approaches: Vec<TargetApproach>,
        }
        Ok(self.json::<TargetCatalogue>("/approaches").await?.approaches)
    }

    /// What it says of itself, if it is a server of ours.
    pub async fn environment(&self) -> Option<ServerEnvironment> {
        self.json(environment::PATH).await.ok()
    }
}

impl TargetError {
    fn unexpected(path: String, answer: &HttpAnswer) -> Self {
        let body: String = String::from_utf8_lossy(&answer.body).chars().take(200).collect();
        Self::Unexpected { path, found: format!("{} {body}", answer.status) }
    }
}

/// This program, to be started once more. By the file that runs, where the system has a name for it: another one may have taken the place of
/// the file that was started.
///
/// # Errors
/// As [`std::env::current_exe`].
pub fn own_program() -> std::io::Result<PathBuf> {
    let running = Path::new("/proc/self/exe");
    if running.exists() { Ok(running.to_owned()) } else { std::env::current_exe() }
}

/// A server of our own in another process.
#[derive(Debug)]
pub struct OwnServer {
    child: Child,
    /// Where it listens.
    pub target: Target,
}

impl OwnServer {
    /// Starts a server, and waits for the line in which it says where it listens.
    ///
    /// # Errors
    /// [`TargetError::Start`]; what the server itself has to say goes to standard error.
    pub async fn start(mut command: Command) -> Result<Self, TargetError> {
        let failed = |error: &dyn std::fmt::Display| TargetError::Start(error.to_string());
        let mut child = command
            // It ends with our end of the pipe, however we go.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            // Ctrl-C is ours: we end the load first, then the server.
            .process_group(0)
            .spawn()
            .map_err(|error| failed(&error))?;
        let stdout = child.stdout.take().ok_or_else(|| failed(&"it has no standard output"))?;
        let mut lines = BufReader::new(stdout).lines();
        let line = match tokio::time::timeout(START_TIMEOUT, lines.next_line()).await {
            Ok(Ok(Some(line))) => line,
            Ok(Ok(None)) => return Err(failed(&"it ended before it listened")),
            Ok(Err(error)) => return Err(failed(&error)),
            Err(_elapsed) => return Err(failed(&format!("not ready within {} s", START_TIMEOUT.as_secs()))),
        };
        let url = line.split_whitespace().find(|word| word.starts_with("http://"));
        let url = url.ok_or_else(|| failed(&format!("it said {line:?}")))?;
        Ok(Self { target: Target::parse(url)?, child })
    }

    /// Stops it, and waits until it and its database are gone.
    ///
    /// # Errors
    /// [`TargetError::Start`] if it cannot be stopped.
    pub async fn stop(mut self) -> Result<(), TargetError> {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid {
            // It may have ended by itself; then waiting for it says so.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        match tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(TargetError::Start(format!("the server ended with {status}"))),
            Ok(Err(error)) => Err(TargetError::Start(error.to_string())),
            Err(_elapsed) => {
                Err(TargetError::Start(format!("the server did not stop within {} s", STOP_TIMEOUT.as_secs())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_are_read_and_others_told_what_is_wrong() {
        let target = Target::parse("http://127.0.0.1:3000/").unwrap();
        assert_eq!((target.address.to_string(), target.base.as_str()), ("127.0.0.1:3000".to_owned(), ""));
        assert_eq!(Target::parse("http://[::1]:3000/lab/").unwrap().base, "/lab");
        for bad in [
            "127.0.0.1:3000",
            "https://127.0.0.1",
            "http://127.0.0.1:3000/?x=1",
            "http://user@127.0.0.1",
            "http://",
            "nonsense",
        ] {
            assert!(matches!(Target::parse(bad), Err(TargetError::Url { .. })), "{bad}");
        }
    }

    #[test]
    fn claims_that_we_do_not_know_count_as_unsupported() {
        let read = |json: &str| serde_json::from_str::<TargetClaims>(json).unwrap().of(Workload::Balance);
        assert_eq!(read(r#"{"balance":"safe","transfer":"broken"}"#), ClaimedSafety::Safe);
        assert_eq!(read(r#"{"balance":"safe-on-one-server"}"#), ClaimedSafety::SafeOnOneServer);
        assert_eq!(read(r#"{"balance":"blessed"}"#), ClaimedSafety::Unsupported);
        assert_eq!(read("{}"), ClaimedSafety::Unsupported);
    }
}
