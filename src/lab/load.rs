//! Closed-loop load: so many clients, each with one request in flight, until all requests are sent.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use hdrhistogram::Histogram;
use hyper::Method;
use hyper::header::HeaderValue;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::client::{Answer, Client, ClientError};
use super::referee::Heard;

/// Connections that are opened at the same time; more would only overflow the server's accept queue.
const CONNECTING: usize = 256;

/// Longest latency that is recorded, in µs: longer than any answer is waited for.
const LATENCY_MAX_US: u64 = 3_600_000_000;

/// What to send.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Who takes the requests; clients are spread over several.
    pub targets: Vec<(SocketAddr, HeaderValue)>,
    /// Method of every request.
    pub method: Method,
    /// Path of every request.
    pub path: String,
    /// Body of every request.
    pub body: Bytes,
    /// How many requests.
    pub requests: u64,
    /// How many clients at most.
    pub concurrency: usize,
    /// The think time that each request asks for.
    pub think_time: Option<Duration>,
}

/// How often each status with each body was answered. Requests without an answer are counted by their error, with
/// status 0.
pub type Answers = BTreeMap<(u16, Bytes), u64>;

/// What was heard.
#[derive(Debug, Clone)]
pub struct Load {
    /// One entry a request, in no particular order.
    pub heard: Vec<Heard>,
    /// How often each answer was given.
    pub answers: Answers,
    /// Latencies of answered requests, in µs.
    pub latency_us: Histogram<u64>,
    /// Attempts that the target reported, over all requests.
    pub attempts: u64,
    /// Requests for which it reported any.
    pub with_attempts: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
}

impl Load {
    fn new() -> Result<Self, LoadError> {
        Ok(Self {
            heard: Vec::new(),
            answers: BTreeMap::new(),
            latency_us: Histogram::new_with_max(LATENCY_MAX_US, 3).map_err(|_| LoadError::Histogram)?,
            attempts: 0,
            with_attempts: 0,
            elapsed: Duration::ZERO,
        })
    }

    fn record(&mut self, answer: Result<Answer, ClientError>, latency: Duration) {
        match answer {
            Ok(answer) => {
                self.latency_us.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(LATENCY_MAX_US));
                if let Some(attempts) = answer.number("lab-attempts") {
                    self.attempts += u64::try_from(attempts).unwrap_or(0);
                    self.with_attempts += 1;
                }
                self.heard.push(understand(&answer));
                *self.answers.entry((answer.status.as_u16(), answer.body)).or_default() += 1;
            }
            Err(error) => {
                self.heard.push(match error {
                    ClientError::Connect(..) => Heard::NotDone,
                    ClientError::Broken(_) | ClientError::Silent => Heard::Unknown,
                });
                *self.answers.entry((0, Bytes::from(error.to_string()))).or_default() += 1;
            }
        }
    }
}

/// Why there was no load at all.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A client could not even connect.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A client's task died.
    #[error("a client died: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// The latency bounds are wrong.
    #[error("cannot build the histogram of latencies")]
    Histogram,
}

/// What an answer says about its change.
fn understand(answer: &Answer) -> Heard {
    #[derive(serde::Deserialize)]
    struct Balance {
        balance: i64,
    }
    match answer.status.as_u16() {
        200 => match serde_json::from_slice::<Balance>(&answer.body) {
            Ok(Balance { balance }) => Heard::Accepted { balance, version: changed_version(answer) },
            Err(_) => Heard::Unexpected,
        },
        409 if *answer.body == *br#"{"error":"Insufficient funds"}"# => Heard::Refused,
        503 => Heard::NotDone,
        504 => Heard::Unknown,
        _ => Heard::Unexpected,
    }
}

/// The version in `Lab-Versions: users/1=12`. Not that of `ETag`, which elsewhere may be a number and mean something else.
fn changed_version(answer: &Answer) -> Option<i64> {
    answer.headers.get("lab-versions")?.to_str().ok()?.split_once('=')?.1.parse().ok()
}

/// Connects all clients, lets them start together, and collects what they heard. `progress` counts answers.
///
/// # Errors
/// [`LoadError`]: a client that cannot connect before the start.
pub async fn run(plan: Plan, progress: Arc<AtomicU64>) -> Result<Load, LoadError> {
    let clients = connect(&plan).await?;
    let start = Arc::new(Barrier::new(clients.len() + 1));
    let sent = Arc::new(AtomicU64::new(0));
    // One record for all clients: a histogram of its own for each of 10000 would take gigabytes, and the lock is
    // held for less than a microsecond an answer.
    let load = Arc::new(Mutex::new(Load::new()?));
    let plan = Arc::new(plan);
    let mut tasks = JoinSet::new();
    for mut client in clients {
        let (plan, start, sent, progress, load) =
            (plan.clone(), start.clone(), sent.clone(), progress.clone(), load.clone());
        tasks.spawn(async move {
            start.wait().await;
            while sent.fetch_add(1, Ordering::Relaxed) < plan.requests {
                let begun = Instant::now();
                let answer = client.send(plan.method.clone(), &plan.path, &plan.body).await;
                let latency = begun.elapsed();
                load.lock().unwrap_or_else(PoisonError::into_inner).record(answer, latency);
                progress.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    start.wait().await;
    let started = Instant::now();
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    let elapsed = started.elapsed();
    let mut load = std::mem::replace(&mut *load.lock().unwrap_or_else(PoisonError::into_inner), Load::new()?);
    load.elapsed = elapsed;
    Ok(load)
}

async fn connect(plan: &Plan) -> Result<Vec<Client>, LoadError> {
    let wanted = plan.concurrency.min(usize::try_from(plan.requests).unwrap_or(usize::MAX)).max(1);
    let mut clients = Vec::with_capacity(wanted);
    let mut connecting = JoinSet::new();
    for (address, host) in plan.targets.iter().cycle().take(wanted) {
        if connecting.len() >= CONNECTING
            && let Some(connected) = connecting.join_next().await
        {
            clients.push(connected??);
        }
        let mut client = Client::new(*address, host.clone()).with_think_time(plan.think_time);
        connecting.spawn(async move { client.connect().await.map(|()| client) });
    }
    while let Some(connected) = connecting.join_next().await {
        clients.push(connected??);
    }
    Ok(clients)
}
