//! Clients that send changes while faults happen, and log every answer.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use concurrency_lab::strategy::Approach;
use reqwest::{Client, Method};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::ledger::{AnswerClass, Attempt, DIGITS, LoggedRequest, RequestKind};
/// Clients that share the rows of a lane.
pub const CLIENTS_PER_LANE: usize = 2;

/// An answer that takes longer counts as none. The server's own limits are shorter.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// A client that is told that nothing was done waits so long, so that it does not use up the rows during an outage.
const PAUSE: Duration = Duration::from_millis(20);

/// A client that hangs up does so within this time: about as long as an answer takes.
const HANG_UP_WITHIN_US: u64 = 8_000;

/// How long after a fault every approach acknowledges changes again, at most.
const RECOVERY_LIMIT: Duration = Duration::from_secs(30);

/// How long a request with a key is repeated after the load has ended.
const REPEAT_LIMIT: Duration = Duration::from_secs(30);

/// The clients of one approach, with keys or without, and the pairs of rows that they change.
#[derive(Debug)]
pub struct Lane {
    pub approach: Approach,
    pub keys: bool,
    pub first_pair: i64,
    pub pairs: i64,
    next: AtomicI64,
    acknowledged: AtomicU64,
    /// The last answer that was none, for a message.
    last_failure: Mutex<String>,
}

impl Lane {
    pub fn new(approach: Approach, keys: bool, first_pair: i64, pairs: i64) -> Self {
        let (next, acknowledged, last_failure) = (AtomicI64::new(0), AtomicU64::new(0), Mutex::default());
        Self { approach, keys, first_pair, pairs, next, acknowledged, last_failure }
    }

    /// The next request: all clients of the lane work on the same rows.
    fn request(&self) -> Option<LoggedRequest> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (pair, digit) = (number / DIGITS, number % DIGITS);
        let whole = self.approach.info().crash_atomic;
        let kind = match digit % 8 {
            5 => RequestKind::Impossible,
            // An approach without a transaction does not promise that a transfer is whole.
            0 | 3 | 6 if whole => RequestKind::Transfer,
            _ => RequestKind::Deposit,
        };
        let key = self.keys.then(Uuid::new_v4);
        let request = LoggedRequest { pair: self.first_pair + pair, digit, kind, key, attempts: Vec::new() };
        (pair < self.pairs).then_some(request)
    }

    /// The pair that its clients change at present.
    pub fn current_pair(&self) -> i64 {
        self.first_pair + (self.next.load(Ordering::Relaxed) / DIGITS).min(self.pairs - 1)
    }
}

/// What the clients are told while they run.
#[derive(Debug)]
pub struct LoadControl {
    url: RwLock<String>,
    stop: AtomicBool,
    hang_up: AtomicBool,
}

impl LoadControl {
    pub fn new(url: &str) -> Self {
        Self { url: RwLock::new(url.to_owned()), stop: AtomicBool::new(false), hang_up: AtomicBool::new(false) }
    }

    /// Sends the next requests to another server.
    pub fn use_server(&self, url: &str) {
        url.clone_into(&mut self.url.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Whether clients close their connections before the answer.
    pub fn hang_up(&self, hang_up: bool) {
        self.hang_up.store(hang_up, Ordering::Relaxed);
    }

    fn url(&self) -> String {
        self.url.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Running clients.
pub struct Load {
    pub lanes: Vec<Arc<Lane>>,
    control: Arc<LoadControl>,
    clients: JoinSet<(usize, Vec<LoggedRequest>)>,
}

impl Load {
    pub fn start(lanes: Vec<Lane>, control: &Arc<LoadControl>) -> Self {
        control.stop.store(false, Ordering::Relaxed);
        let lanes: Vec<Arc<Lane>> = lanes.into_iter().map(Arc::new).collect();
        let mut clients = JoinSet::new();
        let started = Instant::now();
        for (index, lane) in lanes.iter().enumerate() {
            for _ in 0..CLIENTS_PER_LANE {
                // Each has connections of its own.
                let http = Client::builder().timeout(ANSWER_LIMIT).build().expect("a client");
                let client = LaneClient { lane: Arc::clone(lane), control: Arc::clone(control), http, started };
                clients.spawn(async move { (index, client.run().await) });
            }
        }
        Self { lanes, control: Arc::clone(control), clients }
    }

    /// Waits until each lane has got more acknowledged changes.
    pub async fn every_lane_acknowledges(&self, more: u64, when: &str) {
        let count = |lane: &Arc<Lane>| lane.acknowledged.load(Ordering::Relaxed);
        let before: Vec<u64> = self.lanes.iter().map(count).collect();
        let deadline = Instant::now() + RECOVERY_LIMIT;
        loop {
            let lanes = self.lanes.iter().zip(&before);
            let mut missing =
                lanes.filter(|(lane, before)| count(lane) < *before + more).map(|(lane, _)| lane).peekable();
            if missing.peek().is_none() {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{when}, some approaches acknowledge nothing for {RECOVERY_LIMIT:?}: {:#?}",
                missing.collect::<Vec<_>>()
            );
            drop(missing);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends the load, and returns the log of each lane.
    pub async fn end(self) -> Vec<(Arc<Lane>, Vec<LoggedRequest>)> {
        self.control.stop.store(true, Ordering::Relaxed);
        let mut logs: Vec<_> = self.lanes.into_iter().map(|lane| (lane, Vec::new())).collect();
        for (index, log) in self.clients.join_all().await {
            logs[index].1.extend(log);
        }
        logs
    }
}

struct LaneClient {
    lane: Arc<Lane>,
    control: Arc<LoadControl>,
    http: Client,
    started: Instant,
}

impl LaneClient {
    async fn run(self) -> Vec<LoggedRequest> {
        let mut log = Vec::new();
        while !self.control.stop.load(Ordering::Relaxed) {
            // A lane whose rows are used up rests.
            let Some(mut request) = self.lane.request() else { break };
            if request.key.is_some() {
                self.repeat(&mut request).await;
            } else {
                let attempt = self.attempt(&request).await;
                let nothing_done = matches!(attempt.class, AnswerClass::NotDone | AnswerClass::NotSent);
                request.attempts.push(attempt);
                if nothing_done {
                    tokio::time::sleep(PAUSE).await;
                }
            }
            if request.end() == AnswerClass::Acknowledged {
                self.lane.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            log.push(request);
        }
        log
    }

    /// Sends a request with a key until its outcome is known. Some clients give up after a 503, some send everything twice at once, and
    /// some ask again although they have the answer.
    async fn repeat(&self, request: &mut LoggedRequest) {
        let (gives_up, twice_at_once, asks_again) =
            (fastrand::u8(..3) == 0, fastrand::u8(..5) == 0, fastrand::u8(..5) == 0);
        let mut limit = None;
        loop {
            if twice_at_once {
                let (one, other) = tokio::join!(self.attempt(request), self.attempt(request));
                request.attempts.extend([one, other]);
            } else {
                let attempt = self.attempt(request).await;
                request.attempts.push(attempt);
            }
            match request.end() {
                AnswerClass::Acknowledged | AnswerClass::Refused | AnswerClass::Unexpected => break,
                AnswerClass::NotDone if gives_up => break,
                _ => tokio::time::sleep(PAUSE).await,
            }
            if self.control.stop.load(Ordering::Relaxed)
                && limit.get_or_insert_with(Instant::now).elapsed() > REPEAT_LIMIT
            {
                break;
            }
        }
        if asks_again && request.end() == AnswerClass::Acknowledged {
            let attempt = self.attempt(request).await;
            request.attempts.push(attempt);
        }
    }

    async fn attempt(&self, request: &LoggedRequest) -> Attempt {
        let sent = self.send(request);
        let answered = if self.control.hang_up.load(Ordering::Relaxed) {
            let patience = Duration::from_micros(fastrand::u64(..HANG_UP_WITHIN_US));
            tokio::time::timeout(patience, sent).await.ok()
        } else {
            Some(sent.await)
        };
        let (class, text) = match answered {
            None => (AnswerClass::Unknown, "the client hung up".to_owned()),
            Some(Err(error)) if error.is_connect() => (AnswerClass::NotSent, format!("{error:?}")),
            Some(Err(error)) => (AnswerClass::Unknown, format!("{error:?}")),
            Some(Ok((status, body))) => (classify(status, request.kind), format!("{status} {body}")),
        };
        if !matches!(class, AnswerClass::Acknowledged | AnswerClass::Refused) {
            text.clone_into(&mut self.lane.last_failure.lock().unwrap_or_else(PoisonError::into_inner));
        }
        Attempt { class, text, answered_after: self.started.elapsed() }
    }

    async fn send(&self, request: &LoggedRequest) -> Result<(u16, String), reqwest::Error> {
        let transfer = request.kind == RequestKind::Transfer;
        let (method, path) = if transfer { (Method::POST, "transfer") } else { (Method::PATCH, "balance") };
        let body = if transfer {
            serde_json::json!({"from": request.payer(), "to": request.payee(), "amount": request.amount()})
        } else {
            serde_json::json!({"userId": request.payee(), "amount": request.amount()})
        };
        let url = format!("{}/approach/{}/{path}", self.control.url(), self.lane.approach);
        let mut sent = self.http.request(method, url).json(&body);
        if let Some(key) = request.key {
            sent = sent.header("idempotency-key", key.to_string());
        }
        let answer = sent.send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }
}

fn classify(status: u16, kind: RequestKind) -> AnswerClass {
    match status {
        200 => AnswerClass::Acknowledged,
        409 if kind == RequestKind::Impossible => AnswerClass::Refused,
        503 => AnswerClass::NotDone,
        504 => AnswerClass::Unknown,
        _ => AnswerClass::Unexpected,
    }
}
