//! Batches: changes that share a transaction, the queue where they wait for it, and the writer that makes it.
//!
//! A session that has a change to make may join the next batch instead of sending statements of its own
//! ([`Session::join_batch`]). While a batch is in progress, new changes wait in the queue; when it has ended, all of them are
//! the next batch. So no request waits for a batch to fill, and the longer a commit takes, the more changes share the next
//! one. The writer is a task with a session of its own. The first change that finds no writer starts one, and the writer ends
//! when the queue is empty. Only the writer has a connection, however many requests wait.
//!
//! The strategy decides how a batch is made: its [`Protocol`].
//!
//! An error may concern one change only: its row is locked by another session, or a trigger refuses it. Such a batch is made again in
//! halves, and these in halves, until the change stands alone. Only its request gets the error. After a lock timeout, the parts wait for a lock
//! only briefly, because the batch has waited for it already.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use uuid::Uuid;

use super::idempotency_key::IdempotencyKey;
use super::memory::BalanceMemory;
use super::probe::{Probe, ProcessEvent};
use super::statement::{JOIN_BATCH, TAKE_BATCH};
use super::{AttemptError, Session};
use crate::config::Limits;
use crate::database::pool::Pool;
use crate::server::Server;
use domain::state::{Change, ChangeResult};

/// Parts of a batch that may fail before the rest is no longer divided. One bad change in a batch of a thousand fails in 11 of them. Requests
/// of a later part that fails are told that nothing was done.
const FAILED_PARTS_MAX: usize = 40;

/// One request's part of a batch.
#[derive(Debug, Clone)]
pub struct BatchEntry {
    /// The change to make.
    pub change: Change,
    /// The key under which the change is made at most once.
    pub key: Option<IdempotencyKey>,
}

/// The answer to one request of a batch.
pub type BatchAnswer = Result<ChangeResult, AttemptError>;

/// Makes a batch of changes in one transaction on a session. It returns an answer for each change, in their order, or the error
/// for which none of them was made (with [`AttemptError::OutcomeUnknown`], they may have been made). The memory is the
/// writer's; after an error the writer clears it.
pub type Protocol = for<'a> fn(&'a mut Session, &'a mut BalanceMemory, &'a [BatchEntry]) -> Batch<'a>;

/// A batch in progress.
pub type Batch<'a> = Pin<Box<dyn Future<Output = Result<Vec<BatchAnswer>, AttemptError>> + Send + 'a>>;

/// The changes of one server that wait for the next batch.
pub struct BatchQueue {
    pending: Mutex<Pending>,
    observer: Option<WriterObserver>,
    /// Changes that may wait.
    queue: usize,
    /// How long each may wait.
    wait: Duration,
    /// The most changes in a batch.
    size: usize,
}

/// How an explorer observes the writers of a queue.
pub struct WriterObserver {
    /// The writers' own connection.
    pub pool: Pool,
    /// Makes the probes of each writer, before it begins.
    pub probes: Box<dyn Fn() -> Vec<Box<dyn Probe>> + Send + Sync>,
}

impl fmt::Debug for BatchQueue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("BatchQueue").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Pending {
    waiting: VecDeque<BatchJob>,
    /// A writer runs, and will take what is put into the queue.
    writer_runs: bool,
}

#[derive(Debug)]
struct BatchJob {
    entry: BatchEntry,
    wait_until: Instant,
    waiter: Waiter,
}

/// A session that waits for its answer.
#[derive(Debug)]
struct Waiter {
    session: Uuid,
    answer: oneshot::Sender<BatchAnswer>,
}

impl BatchQueue {
    /// An empty queue.
    #[must_use]
    pub fn new(limits: &Limits) -> Arc<Self> {
        Self::with_observer(limits, None)
    }

    /// An empty queue whose writers are observed.
    #[must_use]
    pub fn observed(limits: &Limits, observer: WriterObserver) -> Arc<Self> {
        Self::with_observer(limits, Some(observer))
    }

    fn with_observer(limits: &Limits, observer: Option<WriterObserver>) -> Arc<Self> {
        Arc::new(Self {
            pending: Mutex::default(),
            observer,
            queue: limits.queue,
            wait: limits.queue_wait,
            size: limits.batch_size,
        })
    }

    /// The number of changes that wait for a batch now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.pending().waiting.len()
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a change into the queue, and returns whether a writer must be started for it.
    fn push(&self, job: BatchJob) -> Result<bool, AttemptError> {
        let mut pending = self.pending();
        if pending.waiting.len() >= self.queue {
            return Err(AttemptError::NotDone("Too many requests waiting".into()));
        }
        pending.waiting.push_back(job);
        Ok(!std::mem::replace(&mut pending.writer_runs, true))
    }

    /// The next batch, in the order of arrival; `None` ends the writer.
    fn next(&self) -> Option<Vec<BatchJob>> {
        let mut pending = self.pending();
        let size = pending.waiting.len().min(self.size);
        pending.writer_runs = size > 0;
        pending.writer_runs.then(|| pending.waiting.drain(..size).collect())
    }

    /// The session of the next writer.
    fn writer(&self, server: &Server) -> Session {
        let server = server.clone();
        let Some(observer) = &self.observer else { return Session::new(Uuid::new_v4(), server, Vec::new()) };
        let mut session = Session::new(Uuid::new_v4(), server.with_pool(observer.pool.clone()), Vec::new());
        session.probes.extend((observer.probes)());
        session
    }
}

/// Held while a writer runs. If the writer panics, no task is left to make the changes that wait: they are refused with
/// "not done", and the next change starts another writer.
struct WriterGuard(Arc<BatchQueue>);

impl Drop for WriterGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for job in std::mem::take(&mut *self.0.pending()).waiting {
                let _ = job.waiter.answer.send(Err(AttemptError::NotDone("The batch before ended abnormally".into())));
            }
        }
    }
}

impl Session {
    /// Lets the session share transactions with others, through this queue. Without a queue its change is a batch of one that
    /// the session makes itself, so that its probes see and disturb nothing but its own change.
    pub fn share_batches(&mut self, batches: Arc<BatchQueue>) {
        self.batches = Some(batches);
    }

    /// Makes a change in the next batch, and waits for its answer. The session needs no connection for it.
    ///
    /// # Errors
    /// The error that answers the change; [`AttemptError::NotDone`] if too many requests wait already or the wait was too long.
    pub async fn join_batch(&mut self, protocol: Protocol, change: Change) -> BatchAnswer {
        // The batch stores the key with the change, so the session has nothing to do for it, unless it must try again.
        let key = self.key.take();
        let entry = BatchEntry { change, key: key.clone() };
        let answer = if let Some(batches) = self.batches.clone() {
            self.wait_for_batch(batches, protocol, entry).await
        } else {
            let made = make(self, protocol, &mut BalanceMemory::default(), &[entry]).await;
            made.and_then(|mut answers| answers.pop().unwrap_or_else(unanswered))
        };
        if answer.is_err() {
            self.key = key;
        }
        answer
    }

    /// Puts a change into the queue and waits for its answer.
    async fn wait_for_batch(&mut self, batches: Arc<BatchQueue>, protocol: Protocol, entry: BatchEntry) -> BatchAnswer {
        if !self.probes.is_empty() {
            self.hold(&JOIN_BATCH, &[]).await;
        }
        let (answer, answered) = oneshot::channel();
        let wait_until = Instant::now() + batches.wait;
        if batches.push(BatchJob { entry, wait_until, waiter: Waiter { session: self.id, answer } })? {
            let writer = batches.writer(&self.server);
            tokio::spawn(write(batches, writer, protocol));
        }
        // Only now, because by now a writer runs that will answer.
        self.notify_probes(ProcessEvent::Queued);
        answered.await.unwrap_or_else(|_writer_ended| unanswered())
    }
}

/// The writer: makes batch after batch until the queue is empty.
async fn write(batches: Arc<BatchQueue>, mut session: Session, protocol: Protocol) {
    let guard = WriterGuard(Arc::clone(&batches));
    let mut memory = BalanceMemory::default();
    loop {
        if !session.probes.is_empty() {
            session.hold(&TAKE_BATCH, &[]).await;
        }
        let Some(jobs) = batches.next() else { break };
        session.notify_probes(ProcessEvent::Took(jobs.len()));
        let now = Instant::now();
        let (late, due): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.wait_until < now);
        if !late.is_empty() {
            let late = late.into_iter().map(|job| job.waiter).collect();
            let too_late = || Err(AttemptError::NotDone("Waited too long for a batch".into()));
            deliver(&mut session, late, std::iter::repeat_with(too_late));
        }
        if due.is_empty() {
            continue;
        }
        // The batch waits for a connection as long as the request that may wait longest.
        session.wait_until = due.iter().map(|job| job.wait_until).max().unwrap_or(now);
        let (entries, waiters): (Vec<_>, Vec<_>) = due.into_iter().map(|job| (job.entry, job.waiter)).unzip();
        let answers = make_parts(&mut session, protocol, &mut memory, &entries).await;
        deliver(&mut session, waiters, answers.into_iter());
    }
    drop(guard);
}

/// Makes a batch: whole, or, after an error that may concern one of its changes, in parts. The changes are made in their order.
async fn make_parts(
    session: &mut Session,
    protocol: Protocol,
    memory: &mut BalanceMemory,
    entries: &[BatchEntry],
) -> Vec<BatchAnswer> {
    let mut answers = Vec::with_capacity(entries.len());
    let (mut parts, mut failed) = (vec![entries], 0);
    let wait_until = session.wait_until;
    while let Some(part) = parts.pop() {
        let error = match make(session, protocol, memory, part).await {
            Ok(made) => {
                answers.extend(made.into_iter().chain(std::iter::repeat_with(unanswered)).take(part.len()));
                if session.waits_briefly {
                    // The single statement of a batch about known balances would wait for locks as long as ever.
                    memory.forget();
                }
                continue;
            }
            Err(error) => error,
        };
        session.fail_attempt().await;
        session.wait_until = wait_until;
        memory.forget();
        failed += 1;
        if !error.may_concern_one_change() {
            answers.extend(part.iter().map(|_| Err(error.clone())));
            // What is left is not sent. After a lost race its requests try again, as those of this part do.
            let left = parts.drain(..).map(<[BatchEntry]>::len).sum();
            let rest = match error {
                AttemptError::Conflict(_) => error,
                _ => AttemptError::NotDone("Another part of the batch failed".into()),
            };
            answers.extend(std::iter::repeat_with(|| Err(rest.clone())).take(left));
        } else if part.len() == 1 {
            answers.push(Err(error));
        } else if failed < FAILED_PARTS_MAX {
            session.waits_briefly |= error == AttemptError::LockTimeout;
            let (first, second) = part.split_at(part.len() / 2);
            parts.extend([second, first]);
        } else {
            let not_done = || Err(AttemptError::NotDone("Too many changes of the batch failed".into()));
            answers.extend(std::iter::repeat_with(not_done).take(part.len()));
        }
    }
    session.waits_briefly = false;
    answers
}

/// Makes a batch in one transaction, and counts it.
async fn make(
    session: &mut Session,
    protocol: Protocol,
    memory: &mut BalanceMemory,
    entries: &[BatchEntry],
) -> Result<Vec<BatchAnswer>, AttemptError> {
    let made = protocol(session, memory, entries).await;
    if made.is_ok() {
        session.server.metrics().batch(entries.len());
    }
    made
}

/// Sends each waiting session its answer. A session that no longer waits has been answered 504, or its client has hung up.
fn deliver(session: &mut Session, waiters: Vec<Waiter>, answers: impl Iterator<Item = BatchAnswer>) {
    if !session.probes.is_empty() {
        let sessions: Vec<Uuid> = waiters.iter().map(|waiter| waiter.session).collect();
        session.notify_probes(ProcessEvent::Answered(&sessions));
    }
    waiters.into_iter().zip(answers).for_each(|(waiter, answer)| drop(waiter.answer.send(answer)));
}

fn unanswered() -> BatchAnswer {
    Err(AttemptError::OutcomeUnknown("the batch ended without an answer".into()))
}
