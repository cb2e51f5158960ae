//! The clients of one thread, on a runtime of their own: they share what they share without a lock.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use hdrhistogram::Histogram;
use hyper::{Method, Uri};
use tokio::runtime;
use tokio::task::{JoinSet, LocalSet};

use super::diagnosis::{LATENESS_DIGITS, ThreadIdleTime};
use super::{LoadError, LoadShared, StartLine, micros};
use crate::lab::client::{Client, ClientError};
use crate::lab::plan::LoadPlan;
use crate::lab::recorder::{HeardOperation, histogram};
use referee::history::{Outcome, RecordedOperation, Request};

/// Connections that a thread opens at the same time; more would only overflow the server's accept queue.
const CONNECTING: usize = 128;

/// Answers that are handed over together.
const BATCH: usize = 256;

/// How long answers wait to be handed over.
const BATCH_WAIT: Duration = Duration::from_millis(100);

/// How long answers are still waited for after an interruption.
const GRACE: Duration = Duration::from_secs(5);

/// How long what was due before the end of an open loop is still sent after it. A server that needs longer does not reach
/// the rate at all, which the report says.
const OVERDUE: Duration = Duration::from_secs(30);

/// Operations of a round at most: the referee holds them all in memory, some 200 bytes each.
const OPERATIONS_MAX: u64 = 10_000_000;

/// One in so many requests is traced, where traces are wanted.
const TRACE_EVERY: u64 = 100;

/// What the clients of one thread share.
pub struct ClientThread {
    shared: Arc<LoadShared>,
    started: Instant,
    batch: RefCell<Vec<HeardOperation>>,
    handed_over: Cell<Instant>,
    blocked: Cell<Duration>,
    late_us: RefCell<Histogram<u64>>,
}

impl ClientThread {
    /// Connects its clients, waits for the other threads, and sends.
    pub fn run(shared: Arc<LoadShared>, start: &StartLine, numbers: Vec<usize>) -> Result<ThreadIdleTime, LoadError> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let connected = match &runtime {
            Ok(runtime) => runtime.block_on(async {
                tokio::select! {
                    connected = connect(&shared.plan, numbers) => connected,
                    () = shared.stop.cancelled() => Ok(Vec::new()),
                }
            }),
            Err(_) => Ok(Vec::new()),
        };
        if runtime.is_err() || connected.is_err() {
            start.failed.store(true, Ordering::SeqCst);
        }
        // Whatever happened: the others wait.
        start.connected.wait();
        let (runtime, clients) = (runtime?, connected?);
        // All or none.
        let clients = if start.failed.load(Ordering::SeqCst) { Vec::new() } else { clients };
        let started = *start.at.get_or_init(Instant::now);
        let busy_before = runtime.metrics().worker_total_busy_duration(0);
        let thread = Rc::new(Self {
            shared,
            started,
            batch: RefCell::new(Vec::with_capacity(BATCH)),
            handed_over: Cell::new(started),
            blocked: Cell::new(Duration::ZERO),
            late_us: RefCell::new(histogram(LATENESS_DIGITS)),
        });
        LocalSet::new().block_on(&runtime, Self::send_all(Rc::clone(&thread), clients))?;
        let elapsed = started.elapsed().as_secs_f64().max(1e-9);
        let busy =
            (runtime.metrics().worker_total_busy_duration(0).saturating_sub(busy_before)).as_secs_f64() / elapsed;
        let late_us = thread.late_us.borrow().clone();
        Ok(ThreadIdleTime { busy, blocked: thread.blocked.get().as_secs_f64() / elapsed, late_us })
    }

    async fn send_all(self: Rc<Self>, clients: Vec<(u32, Client)>) -> Result<(), LoadError> {
        let mut tasks = JoinSet::new();
        for (number, client) in clients {
            tasks.spawn_local(Rc::clone(&self).send_as(number, client));
        }
        let shared = Arc::clone(&self.shared);
        let leaving = tokio::task::spawn_local(async move {
            shared.stop.cancelled().await;
            tokio::time::sleep(GRACE).await;
            shared.leave.cancel();
        });
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|error| LoadError::Died(error.to_string()))?;
        }
        leaving.abort();
        self.hand_over();
        Ok(())
    }

    /// One client: takes numbers until there are none.
    async fn send_as(self: Rc<Self>, number: u32, mut client: Client) {
        let conditions = &self.shared.plan.conditions;
        let ends = conditions.duration.map(|duration| self.started + duration);
        // Of an open loop, what was due before the end is still sent after it: left out, it would be missing in the latencies.
        let last = ends.map(|ends| if conditions.rate_per_s.is_some() { ends + OVERDUE } else { ends });
        while !self.shared.stop.is_cancelled() && last.is_none_or(|last| Instant::now() < last) {
            let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
            if id >= conditions.requests.unwrap_or(OPERATIONS_MAX) {
                return;
            }
            let intended = match conditions.rate_per_s {
                None => None,
                Some(rate) => match self.wait_until_due(id, rate, ends).await {
                    Some(intended) => Some(intended),
                    None => return,
                },
            };
            let heard = self.ask(number, &mut client, id, intended).await;
            self.shared.answered.fetch_add(1, Ordering::Relaxed);
            let never_sent = heard.status.is_none() && heard.operation.outcome == Outcome::NotDone;
            self.record(heard);
            if never_sent {
                // A server that is down answers at once, and would be asked a million times a second.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// Waits until a request is due; `None` if that is after the end.
    #[expect(clippy::cast_precision_loss, reason = "numbers of requests are far below 2^52")]
    async fn wait_until_due(&self, id: u64, rate: f64, ends: Option<Instant>) -> Option<Instant> {
        let due = self.started + Duration::from_secs_f64(id as f64 / rate);
        if ends.is_some_and(|ends| due >= ends) {
            return None;
        }
        if Instant::now() < due {
            tokio::select! {
                () = tokio::time::sleep_until(due.into()) => {}
                () = self.shared.stop.cancelled() => return None,
            }
            self.late_us.borrow_mut().saturating_record(micros(due.elapsed()));
        }
        Some(due)
    }

    /// Sends one request and understands its answer.
    async fn ask(&self, number: u32, client: &mut Client, id: u64, intended: Option<Instant>) -> HeardOperation {
        let plan = &self.shared.plan;
        let request = plan.conditions.work.request(id);
        let invoked_ns = self.ns(Instant::now());
        let target = &plan.targets[number as usize % plan.targets.len()];
        let answer = match said(plan, &target.base, &request) {
            Some((method, uri, body)) => {
                let trace = plan.contestant.trace && id.is_multiple_of(TRACE_EVERY);
                tokio::select! {
                    biased;
                    answer = client.send(method, uri, body, trace) => answer.map_err(|error| {
                        let unsent = matches!(error, ClientError::Connect(..));
                        (if unsent { Outcome::NotDone } else { Outcome::Unknown }, error.to_string())
                    }),
                    () = self.shared.leave.cancelled() => {
                        Err((Outcome::Unknown, "interrupted: not waited for".to_owned()))
                    }
                }
            }
            None => Err((Outcome::NotDone, "there is no route for it".to_owned())),
        };
        let returned_ns = self.ns(Instant::now());
        let outcome = match &answer {
            Ok(answer) => plan
                .contestant
                .routes
                .of(&request)
                .map_or(Outcome::Unexpected, |route| route.understand(&request, answer)),
            Err((outcome, _)) => *outcome,
        };
        let operation = RecordedOperation { id, client: number, request, invoked_ns, returned_ns, outcome };
        HeardOperation::new(operation, intended.map(|intended| self.ns(intended)), answer.map_err(|(_, reason)| reason))
    }

    fn ns(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.started).as_nanos()).unwrap_or(u64::MAX)
    }

    fn record(&self, heard: HeardOperation) {
        let mut batch = self.batch.borrow_mut();
        batch.push(heard);
        let full = batch.len() >= BATCH || self.handed_over.get().elapsed() > BATCH_WAIT;
        drop(batch);
        if full {
            self.hand_over();
        }
    }

    /// Hands over what was heard. Waits if the recorder is behind: better a late request than an unbounded memory.
    fn hand_over(&self) {
        let batch = self.batch.replace(Vec::with_capacity(BATCH));
        let began = Instant::now();
        self.handed_over.set(began);
        if let Some(heard) = &self.shared.heard
            && heard.send(batch).is_err()
        {
            // The recorder failed; it says why.
            self.shared.stop.cancel();
        }
        self.blocked.set(self.blocked.get() + began.elapsed());
    }
}

/// How a request is said to a target that has this before its routes.
fn said(plan: &LoadPlan, base: &str, request: &Request) -> Option<(Method, Uri, Bytes)> {
    let route = plan.contestant.routes.of(request)?;
    let (uri, body) = route.say(&format!("{base}{}", plan.contestant.base), request).ok()?;
    Some((route.method.clone(), uri, body))
}

/// Connects a thread's clients.
async fn connect(plan: &LoadPlan, numbers: Vec<usize>) -> Result<Vec<(u32, Client)>, LoadError> {
    let mut clients = Vec::with_capacity(numbers.len());
    let mut connecting: JoinSet<Result<(u32, Client), ClientError>> = JoinSet::new();
    let died = |error: tokio::task::JoinError| LoadError::Died(error.to_string());
    for number in numbers {
        if connecting.len() >= CONNECTING
            && let Some(connected) = connecting.join_next().await
        {
            clients.push(connected.map_err(died)??);
        }
        let mut client = plan.targets[number % plan.targets.len()].client().with_think_time(plan.conditions.think_time);
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        connecting.spawn(async move { client.connect().await.map(|()| (number, client)) });
    }
    while let Some(connected) = connecting.join_next().await {
        clients.push(connected.map_err(died)??);
    }
    Ok(clients)
}
