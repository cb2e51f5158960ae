//! Load: clients that send a scenario's requests at once, in a closed or an open loop.
//!
//! In a **closed loop** each client sends its next request when the last one was answered. Such a load cannot overload a server,
//! and it hides waiting: while the server stalls, the requests that would have waited are not sent (Gil Tene calls this
//! *coordinated omission*). In an **open loop** requests are due at fixed times, and latency counts from the time when a request
//! was due, so every request that a stall delays shows the delay.
//!
//! The generator must cost little, because it usually shares its cores with the server. It has a few threads, each with a
//! runtime of its own, so that clients of different threads share no lock. Answers go in batches to the [`super::recorder`].

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

/// The most threads. More would take the cores from the server.
const THREADS_MAX: usize = 4;

/// The reason why there was no load at all.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A client could not connect.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A thread did not start.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// A thread or a client panicked.
    #[error("a client of the load generator failed: {0}")]
    Died(String),
}

/// The state that the threads of one load share.
struct LoadShared {
    plan: LoadPlan,
    /// The next request's number.
    next: AtomicU64,
    /// Answers so far, for the progress bar.
    answered: Arc<AtomicU64>,
    /// Cancelled to end the load early.
    stop: CancellationToken,
    /// Cancelled when the clients no longer wait for answers.
    leave: CancellationToken,
    heard: Option<SyncSender<Vec<HeardOperation>>>,
}

/// Sends the requests of a plan, until all are answered, the time is up, or `stop` is cancelled. Blocks its thread. Sends batches of
/// answers to `heard`; without it nothing is recorded, as for a warm-up. Returns figures of the generator itself.
///
/// # Errors
/// [`LoadError`], such as a client that cannot connect before the start.
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
        // In place of a thread that did not start. Otherwise the others would wait for ever.
        start.failed.store(true, Ordering::SeqCst);
        start.connected.wait();
    }
    let mut times: Vec<ThreadIdleTime> = Vec::new();
    let mut failed = None;
    for handle in handles {
        match handle.map(std::thread::JoinHandle::join) {
            Ok(Ok(Ok(time))) => times.push(time),
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
    Ok(diagnose(&times, cpu_share / f64::from(u32::try_from(cores).unwrap_or(1))))
}

/// CPU time of this process so far.
fn cpu_time() -> Duration {
    getrusage(UsageWho::RUSAGE_SELF).map_or(Duration::ZERO, |usage| {
        let us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        Duration::from_micros(us.unsigned_abs())
    })
}

/// All threads wait here until every client is connected.
struct StartLine {
    connected: Barrier,
    /// Whether a thread has no clients. Then no thread sends.
    failed: AtomicBool,
    at: std::sync::OnceLock<Instant>,
}

/// Microseconds.
pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
