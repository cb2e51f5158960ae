//! The engine: takes an operation from a request to its end, whatever becomes of the request.
//!
//! A client that hangs up drops its request's future, and nothing else: its operation goes on in a task of its own
//! ([`detach_on_drop`]) to commit or roll back, and gives its connection back clean. The engine repeats attempts that lost
//! a race, within bounds, and tells the three ends apart: done, certainly not done, unknown.

pub mod detach_on_drop;
pub mod operation;
pub mod retry;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::config::Limits;
use crate::database::Database;
use crate::database::seed::Seed;
use crate::error::Error;
use crate::session::Session;
use crate::session::idempotency_key::IdempotencyKey;
use crate::session::probe::{Fault, Probe, ThinkTime, Trace, TraceSpan};
use crate::strategy::{Approach, ApproachInfo, Claim, Strategy};

use detach_on_drop::DetachOnDrop;
use operation::Operation;
use retry::Retries;

/// Runs operations. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    database: Database,
    limits: Limits,
    tasks: TaskTracker,
}

/// What a client wants to see or feel of its operation's statements.
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
    /// Whether the operation's statements must be its own.
    fn is_personal(&self) -> bool {
        *self != Self::default()
    }
}

/// How an operation ended.
#[derive(Debug, Clone)]
pub struct OperationOutcome<T> {
    /// The session it had, for the log.
    pub session: Uuid,
    /// What came of it.
    pub result: Result<T, Error>,
    /// It was done before, under the same idempotency key; the result is that of then.
    pub replayed: bool,
    /// Attempts made, the last one included; 0 if it never started.
    pub attempts: u32,
    /// Its statements, if they were to be traced.
    pub trace: Vec<TraceSpan>,
}

impl<T> OperationOutcome<T> {
    /// Of an operation that was turned away before its first attempt.
    fn never_begun(session: Uuid, error: Error) -> Self {
        Self { session, result: Err(error), replayed: false, attempts: 0, trace: Vec::new() }
    }
}

impl Engine {
    /// An engine on this database.
    #[must_use]
    pub fn new(database: Database, limits: Limits) -> Self {
        Self { database, limits, tasks: TaskTracker::new() }
    }

    /// The database it works on.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Its limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Replaces all data by a seed's.
    ///
    /// # Errors
    /// [`Error::NotDone`] when it certainly was not done, else [`Error::OutcomeUnknown`].
    pub async fn reset(&self, seed: Seed) -> Result<(), Error> {
        let database = self.database.clone();
        let turn = database.turn_to_reset().await?;
        let reset = DetachOnDrop::new(&self.tasks, async move {
            let done = database.reset(seed).await;
            drop(turn);
            done
        });
        match tokio::time::timeout(self.limits.request_timeout, reset).await {
            Ok(done) => done,
            Err(_elapsed) => Err(Error::OutcomeUnknown("the reset is still running".into())),
        }
    }

    /// Operations that have not ended, whether or not somebody still waits for them.
    #[must_use]
    pub fn in_progress(&self) -> usize {
        self.tasks.len()
    }

    /// Waits until every operation has ended, then closes the pool. No new one must be started.
    pub async fn drain(&self) {
        self.ended().await;
        self.database.pool().close();
    }

    /// Waits until every operation has ended.
    pub async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Takes an operation to its end, with its retries, whether or not somebody still waits for it. With a `key`, a change is
    /// made once, however often it is asked for.
    pub async fn run<O: Operation>(
        &self,
        id: Uuid,
        approach: Approach,
        operation: O,
        experiment: Instrumentation,
        key: Option<Uuid>,
    ) -> OperationOutcome<O::Done> {
        let info = approach.info();
        let mut session = match self.session(id, info, &operation, experiment.is_personal(), key) {
            Ok(session) => session,
            Err(error) => return OperationOutcome::never_begun(id, error),
        };
        let trace = attach_probes(&mut session, experiment);
        let outcome = self.settled(session, Some(approach), approach.strategy(), operation).await;
        OperationOutcome { trace: trace.map(|trace| trace.spans()).unwrap_or_default(), ..outcome }
    }

    /// The same for an explorer: any strategy, under these probes, which do not take it out of its batch.
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
        self.settled(session, None, strategy, operation).await
    }

    /// Takes a session's operation to its end, with its attempts counted among those of an approach, if they are to be.
    async fn settled<O: Operation>(
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
            retries = retries.counted(self.database.metrics().clone(), approach);
        }
        let settled = DetachOnDrop::new(&self.tasks, settle(session, retries, strategy, operation));
        let result = match tokio::time::timeout(self.limits.request_timeout, settled).await {
            Ok(settled) => settled,
            Err(_elapsed) if changes => {
                Err(Error::OutcomeUnknown("the request timed out while its operation goes on".into()))
            }
            Err(_elapsed) => Err(Error::NotDone("Waited too long for the database".into())),
        };
        let (result, replayed) = match result {
            Err(Error::MadeBefore(answer)) => (recalled::<O>(&answer), true),
            result => (result, false),
        };
        OperationOutcome {
            session: id,
            result,
            replayed,
            attempts: attempts.load(Ordering::Relaxed),
            trace: Vec::new(),
        }
    }

    /// A session for an operation, with its key. A `personal` one shares no batch.
    fn session<O: Operation>(
        &self,
        id: Uuid,
        info: &ApproachInfo,
        operation: &O,
        personal: bool,
        key: Option<Uuid>,
    ) -> Result<Session, Error> {
        if info.claims.of(O::WORKLOAD) == Claim::Unsupported {
            return Err(Error::Unsupported(info.unsupported_because.into()));
        }
        let shares = info.batches && !personal;
        let rows = if shares { Vec::new() } else { operation.rows() };
        let mut session = Session::new(id, self.database.clone(), rows);
        if !shares {
            session.alone();
        }
        if let (Some(key), Some(change)) = (key, operation.change()) {
            session.once(IdempotencyKey::new(key, &change)?);
        }
        Ok(session)
    }
}

/// The answer that was stored under a key.
fn recalled<O: Operation>(answer: &str) -> Result<O::Done, Error> {
    serde_json::from_str(answer).map_err(|error| Error::Bug(format!("the stored answer {answer}: {error}").into()))
}

/// An operation's whole life. What may wait in a queue is small; the attempts' futures are allocated when they are due.
async fn settle<O: Operation>(
    mut session: Session,
    retries: Retries,
    strategy: &'static dyn Strategy,
    operation: O,
) -> Result<O::Done, Error> {
    session.enter().await?;
    Box::pin(attempt_until_settled(session, retries, strategy, operation)).await
}

async fn attempt_until_settled<O: Operation>(
    mut session: Session,
    mut retries: Retries,
    strategy: &'static dyn Strategy,
    operation: O,
) -> Result<O::Done, Error> {
    loop {
        retries.attempt();
        let mut result = operation.attempt(strategy, &mut session).await;
        if let Ok(done) = &result
            && let Err(error) = session.settle(done).await
        {
            result = Err(error);
        }
        if result.is_err() {
            session.end_attempt().await;
        }
        match result {
            Err(Error::Conflict(race)) => match retries.backoff(Instant::now()) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(Error::NotDone(race)),
            },
            settled => return settled.map_err(operation::outcome_of::<O>),
        }
    }
}

fn attach_probes(session: &mut Session, experiment: Instrumentation) -> Option<Trace> {
    if let Some(pause) = experiment.think_time {
        session.attach(Box::new(ThinkTime(pause)));
    }
    if let Some(statements) = experiment.fault {
        session.attach(Box::new(Fault { statements }));
    }
    let trace = experiment.trace.then(Trace::default)?;
    session.attach(Box::new(trace.clone()));
    Some(trace)
}
