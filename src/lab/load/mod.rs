//! Load: clients that send a scenario's requests at once, in a closed or an open loop.
//!
//! In a **closed loop** each client sends its next request when the last one was answered. It cannot overload anything, and
//! it hides waiting: while a server stalls, the requests that would have waited are not sent. In an **open loop** requests
//! are due at fixed times whatever the server does, and latency counts from when a request was due, so a stall is
//! seen by all who would have met it (Gil Tene calls the other *coordinated omission*).
//!
//! The generator must cost little, for it usually shares its cores with what it measures: a few threads, each with a
//! runtime of its own, so that no two clients share a lock; what was heard goes in batches to the [`super::recorder`].

mod clients;
mod diagnosis;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use tokio_util::sync::CancellationToken;

use clients::ClientThread;
use diagnosis::{ThreadIdleTime, diagnose};

use super::client::ClientError;
use super::plan::LoadPlan;
use super::recorder::HeardOperation;
use super::results::Generator;

/// Threads at most: more would only take the cores from the server.
const THREADS_MAX: usize = 4;

/// Why there was no load at all.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A client could not even connect.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A thread did not start.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// A thread or a client died.
    #[error("a client died: {0}")]
    Died(String),
}

/// What the threads of one load share.
struct LoadShared {
    plan: LoadPlan,
    /// The next request's number.
    next: AtomicU64,
    /// Answers so far, for the progress bar.
    answered: Arc<AtomicU64>,
    /// Told to end early.
    stop: CancellationToken,
    /// Told to wait for no answer any more.
    leave: CancellationToken,
    heard: Option<SyncSender<Vec<HeardOperation>>>,
}

/// Sends a plan's requests and hands over what was heard, until all are answered, the time is up, or `stop` is cancelled. Blocks its
/// thread. Without `heard` nothing is recorded, as for a warm-up. Tells how the generator itself did.
///
/// # Errors
/// [`LoadError`]: a client that cannot connect before the start.
pub fn run(
    plan: LoadPlan,
    answered: Arc<AtomicU64>,
    stop: &CancellationToken,
    heard: Option<SyncSender<Vec<HeardOperation>>>,
) -> Result<Generator, LoadError> {
    let clients = (plan.conditions.concurrency as usize)
        .min(usize::try_from(plan.conditions.requests.unwrap_or(u64::MAX)).unwrap_or(usize::MAX))
        .max(1);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = THREADS_MAX.min(cores).min(clients);
    let (stop, leave) = (stop.clone(), CancellationToken::new());
    let shared = Arc::new(LoadShared { plan, next: AtomicU64::new(0), answered, stop, leave, heard });
    let start = Arc::new(StartLine {
        connected: Barrier::new(threads),
        failed: AtomicBool::new(false),
        at: std::sync::OnceLock::new(),
    });
    let cpu = cpu_time();
    let handles: Vec<_> = (0..threads)
        .map(|thread| {
            let (shared, start) = (Arc::clone(&shared), Arc::clone(&start));
            let clients = (thread..clients).step_by(threads).collect();
            std::thread::Builder::new()
                .name(format!("load-{thread}"))
                .spawn(move || ClientThread::run(shared, &start, clients))
        })
        .collect();
    for _ in handles.iter().filter(|handle| handle.is_err()) {
        // In its place, or the others would wait for ever.
        start.failed.store(true, Ordering::SeqCst);
        start.connected.wait();
    }
    let mut rests: Vec<ThreadIdleTime> = Vec::new();
    let mut failed = None;
    for handle in handles {
        match handle.map(std::thread::JoinHandle::join) {
            Ok(Ok(Ok(rest))) => rests.push(rest),
            Ok(Ok(Err(error))) => failed = Some(error),
            Ok(Err(_panic)) => failed = Some(LoadError::Died("its thread panicked".to_owned())),
            Err(error) => failed = Some(error.into()),
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    let elapsed = start.at.get().map_or(Duration::ZERO, Instant::elapsed);
    let cpu_share = (cpu_time().saturating_sub(cpu)).as_secs_f64() / elapsed.as_secs_f64().max(1e-9);
    Ok(diagnose(&rests, cpu_share / f64::from(u32::try_from(cores).unwrap_or(1))))
}

/// CPU time of this process so far.
fn cpu_time() -> Duration {
    getrusage(UsageWho::RUSAGE_SELF).map_or(Duration::ZERO, |usage| {
        let us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        Duration::from_micros(us.unsigned_abs())
    })
}

/// Where all threads start together.
struct StartLine {
    connected: Barrier,
    /// A thread has no clients: then none sends.
    failed: AtomicBool,
    at: std::sync::OnceLock<Instant>,
}

/// Microseconds.
pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
