//! Plays interleavings, one after the other, on one explorer database.
//!
//! The service keeps nothing of a viewer. Every position is played from its beginning, which takes milliseconds, so one database serves all
//! viewers. It is opened when it is first needed, and closed when it has not been used for a while. Playing has a thread and a runtime of its own, as the
//! explorer's workers have ([`crate::explore::worker_pool`]), because clients and scheduler hand over at every step.
//!
//! - [`worker`]: the thread
//! - [`violation_search`]: the search for the shortest violation. It takes turns with requests for a position, one interleaving at a time, so no
//!   request waits long for it.

mod violation_search;
mod worker;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::experiment_databases::{DatabasePurpose, ExperimentDatabaseError, ExperimentDatabases};
use crate::explore::ExploreError;
use crate::explore::execution::TestCase;
use crate::explore::position::{AfterSchedule, Position, PositionError};
use crate::explore::schedule::Schedule;
pub use violation_search::ViolationSearchResult;
use worker::{PlayerCommand, PlayerReply, PlayerTask};

/// Requests for a position that may be pending at once. Each takes about 20 ms, so the last one is answered within a second.
const POSITIONS_MAX: usize = 32;

/// Searches for a violation that may be under way at once: each slows down all other requests.
const SEARCHES_MAX: usize = 2;

/// How long the end of the server waits for the interleaving that is being played.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// Returns why the player may not play now, if so.
pub type PlayerBlocked = Arc<dyn Fn() -> Option<PlayerError> + Send + Sync>;

/// Why nothing was played.
#[derive(Debug, thiserror::Error)]
pub enum PlayerError {
    /// Too many requests are pending.
    #[error("the player already has {0} pending requests of this kind; try again in a moment")]
    Full(usize),
    /// Playing is not allowed now.
    #[error("{0}")]
    Blocked(String),
    /// There is no such position, or it was not reached.
    #[error(transparent)]
    Position(#[from] PositionError),
    /// There is no database.
    #[error(transparent)]
    Database(#[from] ExperimentDatabaseError),
    /// The explorer's database cannot be opened, or has failed.
    #[error(transparent)]
    Explore(#[from] ExploreError),
    /// The server closes.
    #[error("the server is closing")]
    Closing,
}

/// Plays interleavings, one after the other. Clones share the player.
#[derive(Debug, Clone)]
pub struct PlayerService {
    shared: Arc<SharedPlayer>,
}

#[derive(Debug)]
struct SharedPlayer {
    databases: Arc<ExperimentDatabases>,
    positions: Semaphore,
    searches: Semaphore,
    worker: Mutex<PlayerWorker>,
}

#[derive(Debug)]
enum PlayerWorker {
    /// Not started yet.
    Absent,
    Running {
        commands: mpsc::Sender<PlayerCommand>,
        /// Resolves when the thread has ended.
        ended: oneshot::Receiver<()>,
    },
    Closed,
}

impl PlayerService {
    /// A player that starts with its first request.
    #[must_use]
    pub fn new(databases: Arc<ExperimentDatabases>) -> Self {
        let (positions, searches) = (Semaphore::new(POSITIONS_MAX), Semaphore::new(SEARCHES_MAX));
        let worker = Mutex::new(PlayerWorker::Absent);
        Self { shared: Arc::new(SharedPlayer { databases, positions, searches, worker }) }
    }

    /// Plays a schedule, and continues after it as `rest` says.
    ///
    /// # Errors
    /// [`PlayerError`].
    pub async fn position(
        &self,
        test_case: TestCase,
        schedule: Schedule,
        rest: AfterSchedule,
        blocked: PlayerBlocked,
    ) -> Result<Position, PlayerError> {
        let _permit = self.shared.positions.try_acquire().map_err(|_| PlayerError::Full(POSITIONS_MAX))?;
        self.run(blocked, |reply| PlayerTask::Position { test_case, schedule, rest, reply }).await
    }

    /// Searches for the shortest interleaving that violates the sequential rule.
    ///
    /// # Errors
    /// [`PlayerError`].
    pub async fn find_violation(
        &self,
        test_case: TestCase,
        blocked: PlayerBlocked,
    ) -> Result<ViolationSearchResult, PlayerError> {
        let _permit = self.shared.searches.try_acquire().map_err(|_| PlayerError::Full(SEARCHES_MAX))?;
        self.run(blocked, |reply| PlayerTask::FindViolation { test_case, reply }).await
    }

    async fn run<T>(
        &self,
        blocked: PlayerBlocked,
        task: impl FnOnce(PlayerReply<T>) -> PlayerTask,
    ) -> Result<T, PlayerError> {
        if let Some(error) = blocked() {
            return Err(error);
        }
        // Here and not on the player's thread: the task that starts a PostgreSQL must live as long as the server.
        let options = self.shared.databases.database(DatabasePurpose::Player).await?;
        let (reply, answer) = oneshot::channel();
        self.shared
            .commands()?
            .try_send(PlayerCommand { task: task(reply), options, blocked })
            .map_err(|_full_or_closed| PlayerError::Full(POSITIONS_MAX))?;
        answer.await.unwrap_or(Err(PlayerError::Closing))
    }

    /// Closes the explorer's database until the next request, so that an experiment can use the database. Searches end.
    pub async fn leave(&self) {
        let commands = match &*self.shared.worker.lock().unwrap_or_else(PoisonError::into_inner) {
            PlayerWorker::Running { commands, .. } => commands.clone(),
            PlayerWorker::Absent | PlayerWorker::Closed => return,
        };
        let (reply, answer) = oneshot::channel();
        let options = PgConnectOptions::new_without_pgpass();
        let command = PlayerCommand { task: PlayerTask::Leave { reply }, options, blocked: Arc::new(|| None) };
        if commands.send(command).await.is_ok() {
            // On an error the thread has ended, and with it the use of the database.
            let _ = answer.await;
        }
    }

    /// Ends the player: later requests are refused.
    pub async fn close(&self) {
        let worker = std::mem::replace(
            &mut *self.shared.worker.lock().unwrap_or_else(PoisonError::into_inner),
            PlayerWorker::Closed,
        );
        if let PlayerWorker::Running { commands, ended } = worker {
            drop(commands);
            if tokio::time::timeout(CLOSE_MAX, ended).await.is_err() {
                tracing::warn!("the player did not end within {} s", CLOSE_MAX.as_secs());
            }
        }
    }
}

impl SharedPlayer {
    /// The channel to the thread, which is started if it does not run.
    fn commands(&self) -> Result<mpsc::Sender<PlayerCommand>, PlayerError> {
        let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        match &*worker {
            PlayerWorker::Running { commands, .. } if !commands.is_closed() => Ok(commands.clone()),
            PlayerWorker::Closed => Err(PlayerError::Closing),
            PlayerWorker::Absent | PlayerWorker::Running { .. } => {
                // Room for each request that may be pending, and one for `leave`.
                let (commands, received) = mpsc::channel(POSITIONS_MAX + SEARCHES_MAX + 1);
                let (end, ended) = oneshot::channel();
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.map_err(ExploreError::Worker)?;
                let work = move || {
                    runtime.block_on(worker::run(received));
                    // There may be no receiver.
                    let _ = end.send(());
                };
                std::thread::Builder::new().name("player".to_owned()).spawn(work).map_err(ExploreError::Worker)?;
                *worker = PlayerWorker::Running { commands: commands.clone(), ended };
                Ok(commands)
            }
        }
    }
}
