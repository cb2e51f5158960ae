//! Changes that share a transaction: the queue where they wait for it, and the writer that makes it.
//!
//! A session that has a change to make may join the next batch instead of sending statements of its own
//! ([`Session::join`]). While a batch is under way, those who come wait in the queue; when it has ended, all of them are the
//! next one. So nobody waits for a batch to fill, and the longer a commit takes, the more changes share the next. The
//! writer is a task with a session of its own, started by the first change that finds none and ended when the queue is
//! empty; only it has a connection, whatever the number of those who wait.
//!
//! What a batch does is the strategy's: its [`Protocol`].

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use uuid::Uuid;

use super::Session;
use super::idempotency_key::IdempotencyKey;
use super::memory::BalanceMemory;
use super::probe::{Probe, ProcessEvent};
use super::statement::{JOIN_BATCH, TAKE_BATCH};
use crate::config::Limits;
use crate::database::Database;
use crate::database::pool::Pool;
use crate::error::Error;
use domain::state::{Change, ChangeResult};

/// One request's part of a batch.
#[derive(Debug, Clone)]
pub struct BatchEntry {
    /// What to do.
    pub change: Change,
    /// The key under which to do it once.
    pub once: Option<IdempotencyKey>,
}

/// What a request is answered with.
pub type BatchAnswer = Result<ChangeResult, Error>;

/// Makes a batch of changes in one transaction on a session: an answer for each, in their order, or the error by which none
/// of them was made (or, [`Error::OutcomeUnknown`], nobody knows). The memory is the writer's;
/// an error makes it forget all.
pub type Protocol = for<'a> fn(&'a mut Session, &'a mut BalanceMemory, &'a [BatchEntry]) -> Batch<'a>;

/// A batch that is being made.
pub type Batch<'a> = Pin<Box<dyn Future<Output = Result<Vec<BatchAnswer>, Error>> + Send + 'a>>;

/// The queue of one server.
pub struct Batches {
    pending: Mutex<Pending>,
    observed: Option<WriterObserver>,
    /// Changes that may wait.
    queue: usize,
    /// For how long each.
    wait: Duration,
    /// Changes in a batch.
    size: usize,
}

/// How the writers of a queue are looked at.
pub struct WriterObserver {
    /// A connection of the writer's own.
    pub pool: Pool,
    /// Makes the probes of each writer, before it begins.
    pub probes: Box<dyn Fn() -> Vec<Box<dyn Probe>> + Send + Sync>,
}

impl fmt::Debug for Batches {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Batches").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Pending {
    waiting: VecDeque<BatchJob>,
    writing: bool,
}

#[derive(Debug)]
struct BatchJob {
    entry: BatchEntry,
    until: Instant,
    waiter: Waiter,
}

/// Who waits for an answer.
#[derive(Debug)]
struct Waiter {
    session: Uuid,
    answer: oneshot::Sender<BatchAnswer>,
}

impl Batches {
    /// An empty queue.
    #[must_use]
    pub fn new(limits: &Limits) -> Arc<Self> {
        Self::observed(limits, None)
    }

    /// The same, with an eye on its writers.
    #[must_use]
    pub fn observed(limits: &Limits, observed: Option<WriterObserver>) -> Arc<Self> {
        Arc::new(Self {
            pending: Mutex::default(),
            observed,
            queue: limits.queue,
            wait: limits.queue_wait,
            size: limits.batch_size,
        })
    }

    /// Changes that wait for a batch now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.pending().waiting.len()
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a change into the queue, and says whether a writer must be started for it.
    fn push(&self, job: BatchJob) -> Result<bool, Error> {
        let mut pending = self.pending();
        if pending.waiting.len() >= self.queue {
            return Err(Error::NotDone("Too many requests waiting".into()));
        }
        pending.waiting.push_back(job);
        Ok(!std::mem::replace(&mut pending.writing, true))
    }

    /// The next batch, in the order of arrival; `None` ends the writer.
    fn next(&self) -> Option<Vec<BatchJob>> {
        let mut pending = self.pending();
        let size = pending.waiting.len().min(self.size);
        pending.writing = size > 0;
        pending.writing.then(|| pending.waiting.drain(..size).collect())
    }
}

/// The writer's turn. If it ends by a panic, nobody is left to make what waits: it is turned away, and the next change
/// starts another writer.
struct WriterTurn(Arc<Batches>);

impl Drop for WriterTurn {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for job in std::mem::take(&mut *self.0.pending()).waiting {
                let _ = job.waiter.answer.send(Err(Error::NotDone("The batch before ended abnormally".into())));
            }
        }
    }
}

impl Session {
    /// Shares no transaction with others: its change is a batch of one, made by itself, so that what its probes see and do
    /// is its own.
    pub fn alone(&mut self) {
        self.alone = true;
    }

    /// Makes a change in the next batch, and waits for its answer. The session needs no connection for it.
    ///
    /// # Errors
    /// What the change is answered; [`Error::NotDone`] when too many wait already or the wait was too long.
    pub async fn join(&mut self, protocol: Protocol, change: Change) -> BatchAnswer {
        // The batch stores the key with the change: this session has nothing to do for it, unless it must try again.
        let once = self.once.take();
        let entry = BatchEntry { change, once: once.clone() };
        let answer = if self.alone {
            let answers = make(self, protocol, &mut BalanceMemory::default(), &[entry]).await;
            answers.and_then(|mut answers| answers.pop().unwrap_or_else(unanswered))
        } else {
            self.next_batch(protocol, entry).await
        };
        if answer.is_err() {
            self.once = once;
        }
        answer
    }

    /// Puts a change into the queue and waits for its answer.
    async fn next_batch(&mut self, protocol: Protocol, entry: BatchEntry) -> BatchAnswer {
        if !self.probes.is_empty() {
            self.hold(&JOIN_BATCH, &[]).await;
        }
        let batches = Arc::clone(self.database.batches());
        let (answer, answered) = oneshot::channel();
        let until = Instant::now() + batches.wait;
        if batches.push(BatchJob { entry, until, waiter: Waiter { session: self.id, answer } })? {
            tokio::spawn(write(batches, writer(&self.database), protocol));
        }
        // By now it is known who will answer.
        self.tell(ProcessEvent::Queued);
        answered.await.unwrap_or_else(|_writer_died| unanswered())
    }
}

/// The session of a queue's next writer.
fn writer(database: &Database) -> Session {
    let database = database.clone();
    let Some(observed) = &database.batches().observed else {
        return Session::new(Uuid::new_v4(), database, Vec::new());
    };
    let (pool, probes) = (observed.pool.clone(), (observed.probes)());
    let mut session = Session::new(Uuid::new_v4(), database.with_pool(pool), Vec::new());
    session.probes.extend(probes);
    session
}

/// The writer: batch after batch, until nobody waits.
async fn write(batches: Arc<Batches>, mut session: Session, protocol: Protocol) {
    let turn = WriterTurn(Arc::clone(&batches));
    let mut memory = BalanceMemory::default();
    loop {
        if !session.probes.is_empty() {
            session.hold(&TAKE_BATCH, &[]).await;
        }
        let Some(jobs) = batches.next() else { break };
        session.tell(ProcessEvent::Took(jobs.len()));
        let now = Instant::now();
        let (late, due): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.until < now);
        if !late.is_empty() {
            let late = late.into_iter().map(|job| job.waiter).collect();
            deliver(&mut session, late, Err(Error::NotDone("Waited too long for a batch".into())));
        }
        if due.is_empty() {
            continue;
        }
        // Whoever came last may wait longest, and the batch for a connection with it.
        session.wait_until = due.iter().map(|job| job.until).max().unwrap_or(now);
        let (entries, waiters): (Vec<_>, Vec<_>) = due.into_iter().map(|job| (job.entry, job.waiter)).unzip();
        let made = make(&mut session, protocol, &mut memory, &entries).await;
        if made.is_err() {
            session.end_attempt().await;
            memory.forget();
        }
        deliver(&mut session, waiters, made);
    }
    drop(turn);
}

/// Makes a batch, and counts it.
async fn make(
    session: &mut Session,
    protocol: Protocol,
    memory: &mut BalanceMemory,
    entries: &[BatchEntry],
) -> Result<Vec<BatchAnswer>, Error> {
    let made = protocol(session, memory, entries).await;
    if made.is_ok() {
        session.database.metrics().batch(entries.len());
    }
    made
}

/// Whoever no longer waits has heard 504 and asks again, or has hung up.
fn deliver(session: &mut Session, waiters: Vec<Waiter>, made: Result<Vec<BatchAnswer>, Error>) {
    if !session.probes.is_empty() {
        let sessions: Vec<Uuid> = waiters.iter().map(|waiter| waiter.session).collect();
        session.tell(ProcessEvent::Answered(&sessions));
    }
    let waiting = waiters.into_iter().map(|waiter| waiter.answer);
    match made {
        Ok(answers) => waiting.zip(answers).for_each(|(waiter, answer)| drop(waiter.send(answer))),
        Err(error) => waiting.for_each(|waiter| drop(waiter.send(Err(error.clone())))),
    }
}

fn unanswered() -> BatchAnswer {
    Err(Error::OutcomeUnknown("the batch ended without an answer".into()))
}
