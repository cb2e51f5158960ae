//! The target: a server that runs already, or one that `run` starts in another process.
//!
//! It is another process, because load and server would otherwise share one runtime, one allocator and one limit of open
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

/// How long each address may take to connect, if a host has several.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a target may take to answer a request outside the load. A reset waits for the locks of other sessions.
const ASK_TIMEOUT: Duration = Duration::from_mins(1);

/// How long a server of `run` may take to start. It may have to create a database on a slow machine.
const START_TIMEOUT: Duration = Duration::from_secs(90);

/// How long a server of `run` may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// A server to send requests to.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its address.
    pub address: SocketAddr,
    /// The value of the Host header.
    pub host: HeaderValue,
    /// The path before the routes; empty for the root.
    pub base: String,
}

/// The reason why a target cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The URL cannot be used.
    #[error("--target: expected a URL like http://127.0.0.1:3000, found {url:?}: {reason}")]
    Url {
        /// The URL as given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The target does not answer.
    #[error("the target does not answer: {0}")]
    Down(#[from] ClientError),
    /// The target takes too long.
    #[error("the target did not answer {path} within {} s", ASK_TIMEOUT.as_secs())]
    Slow {
        /// The path of the request.
        path: String,
    },
    /// The target answers with an error.
    #[error("the target answered {path} with {found}")]
    Unexpected {
        /// The path of the request.
        path: String,
        /// Status and body.
        found: String,
    },
    /// The answer lacks a value that the routes describe.
    #[error("the target answered {path} without a value that its routes describe: {misread}")]
    Misread {
        /// The path of the request.
        path: String,
        /// The missing value.
        misread: Misread,
    },
    /// The path is not valid.
    #[error("{0:?} is not a valid path")]
    NoPath(String),
    /// The server of `run` did not start or stop.
    #[error("the server of this run failed: {0}")]
    Start(String),
}

/// An approach of a target, as `GET /approaches` lists it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TargetApproach {
    /// Its name.
    pub name: String,
    /// Its other names.
    pub aliases: Vec<String>,
    /// Its claim for each workload.
    pub claims: TargetClaims,
}

/// The claims by workload. A workload that is not named is not supported.
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

/// A claim as a target states it. A target may be newer than this program, so an unknown claim counts as no claim.
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
            return Err(invalid(&"only http is supported"));
        }
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
            return Err(invalid(&"a base URL has no user, query or fragment"));
        }
        let name = url.host_str().ok_or_else(|| invalid(&"the URL has no host"))?;
        let port = url.port_or_known_default().unwrap_or(80);
        let addresses: Vec<SocketAddr> = (name.trim_start_matches('[').trim_end_matches(']'), port)
            .to_socket_addrs()
            .map_err(|error| invalid(&error))?
            .collect();
        // localhost is often ::1 first, where the server may not listen.
        let answers = |address: &&SocketAddr| TcpStream::connect_timeout(address, LOOK_TIMEOUT).is_ok();
        let alive = if addresses.len() > 1 { addresses.iter().find(answers) } else { None };
        let address = *alive.or(addresses.first()).ok_or_else(|| invalid(&"the host has no address"))?;
        let host = HeaderValue::from_str(&format!("{name}:{port}")).map_err(|error| invalid(&error))?;
        Ok(Self { address, host, base: url.path().trim_end_matches('/').to_owned() })
    }

    /// A client of this target.
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
    /// As [`Target::ask`], and [`TargetError::Misread`].
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

    /// The approaches that the target offers.
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

    /// The environment of the target, if it is a concurrency-lab server.
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

/// The path of this program, to start it once more. On Linux it is the running file itself, because another file may have replaced the
/// one that was started.
///
/// # Errors
/// As [`std::env::current_exe`].
pub fn own_program() -> std::io::Result<PathBuf> {
    let running = Path::new("/proc/self/exe");
    if running.exists() { Ok(running.to_owned()) } else { std::env::current_exe() }
}

/// A server that `run` starts in another process.
#[derive(Debug)]
pub struct OwnServer {
    child: Child,
    /// Where it listens.
    pub target: Target,
}

impl OwnServer {
    /// Starts a server, and waits for the line in which it prints its URL.
    ///
    /// # Errors
    /// [`TargetError::Start`]. The server prints its own errors to standard error.
    pub async fn start(mut command: Command) -> Result<Self, TargetError> {
        let failed = |error: &dyn std::fmt::Display| TargetError::Start(error.to_string());
        let mut child = command
            // The server stops when this pipe closes, even if this process is killed.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            // Ctrl-C reaches only this process, which first ends the load and then the server.
            .process_group(0)
            .spawn()
            .map_err(|error| failed(&error))?;
        let stdout = child.stdout.take().ok_or_else(|| failed(&"its standard output is missing"))?;
        let mut lines = BufReader::new(stdout).lines();
        let line = match tokio::time::timeout(START_TIMEOUT, lines.next_line()).await {
            Ok(Ok(Some(line))) => line,
            Ok(Ok(None)) => return Err(failed(&"it ended before it was ready")),
            Ok(Err(error)) => return Err(failed(&error)),
            Err(_elapsed) => return Err(failed(&format!("it was not ready within {} s", START_TIMEOUT.as_secs()))),
        };
        let url = line.split_whitespace().find(|word| word.starts_with("http://"));
        let url = url.ok_or_else(|| failed(&format!("expected a line with its URL, found {line:?}")))?;
        Ok(Self { target: Target::parse(url)?, child })
    }

    /// Stops the server, and waits until it and its database have stopped.
    ///
    /// # Errors
    /// [`TargetError::Start`] if the server cannot be stopped.
    pub async fn stop(mut self) -> Result<(), TargetError> {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid {
            // The server may have ended by itself; then the wait below returns its status.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        match tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(TargetError::Start(format!("it ended with {status}"))),
            Ok(Err(error)) => Err(TargetError::Start(error.to_string())),
            Err(_elapsed) => Err(TargetError::Start(format!("it did not stop within {} s", STOP_TIMEOUT.as_secs()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_are_parsed_and_others_are_refused() {
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
    fn unknown_claims_count_as_unsupported() {
        let read = |json: &str| serde_json::from_str::<TargetClaims>(json).unwrap().of(Workload::Balance);
        assert_eq!(read(r#"{"balance":"safe","transfer":"broken"}"#), ClaimedSafety::Safe);
        assert_eq!(read(r#"{"balance":"safe-on-one-server"}"#), ClaimedSafety::SafeOnOneServer);
        assert_eq!(read(r#"{"balance":"blessed"}"#), ClaimedSafety::Unsupported);
        assert_eq!(read("{}"), ClaimedSafety::Unsupported);
    }
}
