//! The engine takes an operation from a request to its end, even if the client hangs up.
//!
//! A client that hangs up drops its request's future, and nothing else: the operation goes on in a task of its own
//! ([`detach_on_drop`]) until it has committed or rolled back, and gives its connection back clean. The engine repeats
//! attempts that lost a race, within bounds ([`retry`]), and distinguishes three ends: done, certainly not done, unknown
//! ([`error`]).

pub mod detach_on_drop;
pub mod error;
pub mod operation;
pub mod retry;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::config::Limits;
use crate::database::seed::Seed;
use crate::metrics::exposition::Gauges;
use crate::server::Server;
use crate::session::batch::BatchQueue;
use crate::session::idempotency_key::IdempotencyKey;
use crate::session::probe::{Fault, Probe, ThinkTime, Trace, TraceSpan};
use crate::session::sqlstate::classify;
use crate::session::{AttemptError, Session};
use crate::strategy::{Approach, ApproachInfo, Claim, Strategy};

pub use error::OperationError;

use detach_on_drop::DetachOnDrop;
use operation::Operation;
use retry::Retries;

/// How often a reset that loses a deadlock is tried. Each deadlock costs `deadlock_timeout`, a second.
const RESET_ATTEMPTS: usize = 5;

/// Runs operations. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    server: Server,
    batches: Arc<BatchQueue>,
    limits: Limits,
    tasks: TaskTracker,
}

/// What a client asks to be done to its operation's statements.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Instrumentation {
    /// Record the statements.
    pub trace: bool,
    /// Pause before each statement that writes.
    pub think_time: Option<Duration>,
    /// Cut the connection after so many statements, from 1.
    pub fault: Option<u32>,
}

impl Instrumentation {
    /// Whether the statements are observed or disturbed, so that the operation must not share them with others.
    fn is_on(&self) -> bool {
        *self != Self::default()
    }
}

/// How an operation ended.
#[derive(Debug, Clone)]
pub struct OperationOutcome<T> {
    /// The session it had, for the log.
    pub session: Uuid,
    /// What was done, or why not.
    pub result: Result<T, OperationError>,
    /// The change was made before under the same idempotency key; the result is the original one.
    pub replayed: bool,
    /// Attempts made, the last one included; 0 if it never started.
    pub attempts: u32,
    /// Its statements, if a trace was asked for.
    pub trace: Vec<TraceSpan>,
}

impl<T> OperationOutcome<T> {
    /// The outcome of an operation that was refused before its first attempt.
    fn never_begun(session: Uuid, error: OperationError) -> Self {
        Self { session, result: Err(error), replayed: false, attempts: 0, trace: Vec::new() }
    }
}

/// An operation that was done, now or before.
struct CompletedOperation<T> {
    done: T,
    replayed: bool,
}

impl Engine {
    /// An engine on this server, with a queue of batches of its own.
    #[must_use]
    pub fn new(server: Server, limits: Limits) -> Self {
        let batches = BatchQueue::new(&limits);
        Self::with_batches(server, limits, batches)
    }

    /// An engine on this server that shares this queue of batches.
    #[must_use]
    pub fn with_batches(server: Server, limits: Limits, batches: Arc<BatchQueue>) -> Self {
        Self { server, batches, limits, tasks: TaskTracker::new() }
    }

    /// The server that it works on.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The changes that wait for a transaction that they share.
    #[must_use]
    pub fn batches(&self) -> &BatchQueue {
        &self.batches
    }

    /// Its limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The figures of this moment: connections, waiting requests, operations in progress.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        let pool = self.server.database().pool().status();
        Gauges {
            pool_open: pool.open,
            pool_idle: pool.idle,
            pool_limit: self.server.database().pool().size(),
            pool_waiting: pool.waiting,
            row_waiting: self.server.admission().waiting(),
            mutex_waiting: self.server.mutexes().waiting(),
            batch_waiting: self.batches.waiting(),
            operations_in_progress: self.in_progress(),
        }
    }

    /// Replaces all data by a seed's.
    ///
    /// # Errors
    /// [`OperationError::NotDone`] if nothing was changed, [`OperationError::OutcomeUnknown`] if the answer of COMMIT was lost.
    pub async fn reset(&self, seed: Seed) -> Result<(), OperationError> {
        let engine = self.clone();
        let Some(permit) = engine.server.database().reset_permit().await else {
            return Err(OperationError::NotDone("Waited too long for other resets".into()));
        };
        let reset = DetachOnDrop::new(&self.tasks, async move {
            let done = engine.reset_with_retries(seed).await;
            drop(permit);
            done
        });
        match tokio::time::timeout(self.limits.request_timeout, reset).await {
            Ok(done) => done,
            Err(_elapsed) => Err(OperationError::OutcomeUnknown("the reset is still running".into())),
        }
    }

    async fn reset_with_retries(&self, seed: Seed) -> Result<(), OperationError> {
        let mut attempts = 1;
        loop {
            let Err(failed) = self.server.database().reset(seed).await else { return Ok(()) };
            match classify(&failed.error, failed.at_commit) {
                // A reset locks whole tables, and each approach locks rows in its own order, so deadlocks are possible.
                AttemptError::Conflict(_) if attempts < RESET_ATTEMPTS => attempts += 1,
                AttemptError::Constraint(name) => {
                    return Err(OperationError::Bug(format!("constraint {name} refused a seed").into()));
                }
                error => return Err(OperationError::after_last_attempt(error, None)),
            }
        }
    }

    /// The number of operations that have not ended, whether or not a client waits for them.
    #[must_use]
    pub fn in_progress(&self) -> usize {
        self.tasks.len()
    }

    /// Waits until every operation has ended, then closes the pool. No operation may be started after this call.
    pub async fn drain(&self) {
        self.ended().await;
        self.server.database().pool().close();
    }

    /// Waits until every operation has ended.
    pub async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Takes an operation to its end, with its retries, whether or not a client still waits for it. With a `key`, a change is
    /// made at most once, however often it is requested.
    pub async fn run<O: Operation>(
        &self,
        id: Uuid,
        approach: Approach,
        operation: O,
        instrumentation: Instrumentation,
        key: Option<Uuid>,
    ) -> OperationOutcome<O::Done> {
        let info = approach.info();
        let mut session = match self.session(id, info, &operation, instrumentation.is_on(), key) {
            Ok(session) => session,
            Err(error) => return OperationOutcome::never_begun(id, error),
        };
        let trace = attach_probes(&mut session, instrumentation);
        let outcome = self.run_session(session, Some(approach), approach.strategy(), operation).await;
        OperationOutcome { trace: trace.map(|trace| trace.spans()).unwrap_or_default(), ..outcome }
    }

    /// The same for an explorer: any strategy, with these probes, which do not take the operation out of its batch.
    ///
    /// # Errors
    /// In the outcome, as with [`Engine::run`].
    pub async fn run_probed<O: Operation>(
        &self,
        id: Uuid,
        strategy: &'static dyn Strategy,
        operation: O,
        probes: Vec<Box<dyn Probe>>,
        key: Option<Uuid>,
    ) -> OperationOutcome<O::Done> {
        let mut session = match self.session(id, strategy.info(), &operation, false, key) {
            Ok(session) => session,
            Err(error) => return OperationOutcome::never_begun(id, error),
        };
        for probe in probes {
            session.attach(probe);
        }
        self.run_session(session, None, strategy, operation).await
    }

    /// Takes a session's operation to its end. Its attempts are counted as those of `counted_as`, if that is given.
    async fn run_session<O: Operation>(
        &self,
        session: Session,
        counted_as: Option<Approach>,
        strategy: &'static dyn Strategy,
        operation: O,
    ) -> OperationOutcome<O::Done> {
        let (id, changes) = (session.id(), operation.change().is_some());
        let attempts = Arc::new(AtomicU32::new(0));
        let mut retries = Retries::new(self.limits.retry, Arc::clone(&attempts));
        if let Some(approach) = counted_as {
            retries = retries.counted(self.server.metrics().clone(), approach.metric_index());
        }
        let completed = DetachOnDrop::new(&self.tasks, run_to_end(session, retries, strategy, operation));
        let completed = match tokio::time::timeout(self.limits.request_timeout, completed).await {
            Ok(completed) => completed,
            Err(_elapsed) if changes => {
                Err(OperationError::OutcomeUnknown("the request timed out while its operation goes on".into()))
            }
            Err(_elapsed) => Err(OperationError::NotDone("Waited too long for the database".into())),
        };
        let (result, replayed) = match completed {
            Ok(CompletedOperation { done, replayed }) => (Ok(done), replayed),
            Err(error) => (Err(error), false),
        };
        let attempts = attempts.load(Ordering::Relaxed);
        OperationOutcome { session: id, result, replayed, attempts, trace: Vec::new() }
    }

    /// A session for an operation, with its key. One that is `alone` shares no batch.
    fn session<O: Operation>(
        &self,
        id: Uuid,
        info: &ApproachInfo,
        operation: &O,
        alone: bool,
        key: Option<Uuid>,
    ) -> Result<Session, OperationError> {
        if info.claims.of(O::WORKLOAD) == Claim::Unsupported {
            return Err(OperationError::Unsupported(info.unsupported_because.into()));
        }
        let shares = info.batches && !alone;
        let rows = if shares { Vec::new() } else { operation.rows() };
        let mut session = Session::new(id, self.server.clone(), rows);
        if shares {
            session.share_batches(Arc::clone(&self.batches));
        }
        if let (Some(key), Some(change)) = (key, operation.change()) {
            let key = IdempotencyKey::new(key, &change);
            session.use_key(key.map_err(|error| OperationError::after_last_attempt(error, O::OUT_OF_RANGE))?);
        }
        Ok(session)
    }
}

/// Runs an operation to its end. The state of an operation that waits in the queue is small; the future of the attempts is
/// allocated when the first attempt is due.
async fn run_to_end<O: Operation>(
    mut session: Session,
    retries: Retries,
    strategy: &'static dyn Strategy,
    operation: O,
) -> Result<CompletedOperation<O::Done>, OperationError> {
    let ended = match session.enter_rows().await {
        Ok(()) => Box::pin(attempt_until_settled(session, retries, strategy, operation)).await,
        Err(error) => Err(error),
    };
    completed::<O>(ended)
}

/// The end of an operation by the end of its last attempt: the one place where an [`AttemptError`] becomes an
/// [`OperationError`].
fn completed<O: Operation>(
    ended: Result<O::Done, AttemptError>,
) -> Result<CompletedOperation<O::Done>, OperationError> {
    match ended {
        Ok(done) => Ok(CompletedOperation { done, replayed: false }),
        Err(AttemptError::MadeBefore(answer)) => match serde_json::from_str(&answer) {
            Ok(done) => Ok(CompletedOperation { done, replayed: true }),
            Err(error) => Err(OperationError::Bug(format!("the stored answer {answer}: {error}").into())),
        },
        Err(error) => Err(OperationError::after_last_attempt(error, O::OUT_OF_RANGE)),
    }
}

/// Repeats attempts that lost a race, until one ends otherwise or none is left.
async fn attempt_until_settled<O: Operation>(
    mut session: Session,
    mut retries: Retries,
    strategy: &'static dyn Strategy,
    operation: O,
) -> Result<O::Done, AttemptError> {
    loop {
        retries.count_attempt();
        let mut result = operation.attempt(strategy, &mut session).await;
        if let Ok(done) = &result
            && let Err(error) = session.complete_attempt(done).await
        {
            result = Err(error);
        }
        if result.is_err() {
            session.fail_attempt().await;
        }
        if let Err(AttemptError::Conflict(_)) = &result
            && let Some(pause) = retries.backoff(Instant::now())
        {
            tokio::time::sleep(pause).await;
            continue;
        }
        return result;
    }
}

fn attach_probes(session: &mut Session, instrumentation: Instrumentation) -> Option<Trace> {
    if let Some(pause) = instrumentation.think_time {
        session.attach(Box::new(ThinkTime(pause)));
    }
    if let Some(statements) = instrumentation.fault {
        session.attach(Box::new(Fault { statements }));
    }
    let trace = instrumentation.trace.then(Trace::default)?;
    session.attach(Box::new(trace.clone()));
    Some(trace)
}
