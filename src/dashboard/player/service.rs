//! Where interleavings are played: one world on the laboratory's database, and one after the other on it.
//!
//! Nothing is kept of a viewer: every position is played from its beginning, which takes milliseconds. So one world does for all; it is
//! opened when the first one wants it, and closed when nobody has wanted it for a while. It lives on a thread of its own with a runtime of
//! its own, as the explorer's workers do ([`crate::explore::worker_pool`]): clients and controller hand over at every step.
//!
//! A hunt for a violation runs many interleavings. It takes turns with those who want a position, an interleaving at a time, so nobody
//! waits long for it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::dashboard::experiment_databases::{DatabasePurpose, ExperimentDatabaseError, ExperimentDatabases};
use crate::explore::ExploreError;
use crate::explore::execution::ApproachExecution;
use crate::explore::exploration::readability;
use crate::explore::explorer_database::ExplorerDatabase;
use crate::explore::position::{self, AfterSchedule, Position, PositionError};
use crate::explore::schedule::Schedule;
use crate::explore::search::{JudgedInterleaving, Search, SearchPlan, SearchStep};
use crate::explore::test_case::TestCase;

/// Requests that may be on their way at once. Each takes some 20 ms, so the last of them is answered within a second.
const QUEUE: usize = 32;

/// Hunts that may be under way at once: each slows down all others.
const HUNTS: usize = 2;

/// How long the world stays open when nobody plays: its sessions are kept from somebody else by then.
const IDLE: Duration = Duration::from_mins(1);

/// Interleavings of one hunt: all of most approaches with two clients, and of others as many as somebody waits for …
const HUNT_INTERLEAVINGS: u64 = 3_000;

/// … and how long it may take, whatever it has found.
const HUNT_TIME: Duration = Duration::from_secs(20);

/// Interleavings of a hunt that could not be decided: each takes seconds, and more of them tell nothing.
const UNDECIDED_MAX: u64 = 3;

/// How long the end of the server waits for the one that is being played.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// Says why nothing can be played now, if so.
pub type PlayerBlocked = Arc<dyn Fn() -> Option<PlayerError> + Send + Sync>;

/// Why nothing was played.
#[derive(Debug, thiserror::Error)]
pub enum PlayerError {
    /// Too many want it.
    #[error("{0} wait for the player already; try again in a moment")]
    Full(usize),
    /// Something else goes on.
    #[error("{0}")]
    Obstacle(String),
    /// There is no such position, or it could not be reached.
    #[error(transparent)]
    Position(#[from] PositionError),
    /// There is no database.
    #[error(transparent)]
    Laboratory(#[from] ExperimentDatabaseError),
    /// The world cannot be opened, or has failed.
    #[error(transparent)]
    Explore(#[from] ExploreError),
    /// The server closes.
    #[error("the server is closing")]
    Closing,
}

/// What a hunt has found.
#[derive(Debug)]
pub struct HuntResult {
    /// The shortest interleaving that no serial order explains.
    pub violation: Option<JudgedInterleaving>,
    /// Interleavings that were run.
    pub interleavings: u64,
    /// These are all there are.
    pub complete: bool,
    /// How many there seem to be.
    pub estimate: f64,
    /// Interleavings that could not be decided.
    pub undecided: u64,
}

/// Where interleavings are played, one after the other.
#[derive(Debug)]
pub struct PlayerService {
    laboratory: Arc<ExperimentDatabases>,
    places: Semaphore,
    hunts: Semaphore,
    player: Mutex<PlayerWorker>,
}

#[derive(Debug)]
enum PlayerWorker {
    /// Nobody has played yet.
    Absent,
    Works {
        wishes: mpsc::Sender<PlayerCommand>,
        /// Resolves when the thread has ended.
        ended: oneshot::Receiver<()>,
    },
    Closed,
}

struct PlayerCommand {
    what: PlayerTask,
    options: PgConnectOptions,
    obstacle: PlayerBlocked,
}

enum PlayerTask {
    Position { piece: TestCase, schedule: Schedule, rest: AfterSchedule, answer: PlayerReply<Position> },
    Hunt { piece: TestCase, answer: PlayerReply<HuntResult> },
    Leave { answer: oneshot::Sender<()> },
}

type PlayerReply<T> = oneshot::Sender<Result<T, PlayerError>>;

impl PlayerService {
    /// A stage that is opened when somebody plays.
    #[must_use]
    pub fn new(laboratory: Arc<ExperimentDatabases>) -> Self {
        let (places, hunts) = (Semaphore::new(QUEUE), Semaphore::new(HUNTS));
        Self { laboratory, places, hunts, player: Mutex::new(PlayerWorker::Absent) }
    }

    /// Plays a schedule, and what the rest asks for.
    ///
    /// # Errors
    /// [`PlayerError`].
    pub async fn position(
        &self,
        piece: TestCase,
        schedule: Schedule,
        rest: AfterSchedule,
        obstacle: PlayerBlocked,
    ) -> Result<Position, PlayerError> {
        let _place = self.places.try_acquire().map_err(|_| PlayerError::Full(QUEUE))?;
        self.ask(obstacle, |answer| PlayerTask::Position { piece, schedule, rest, answer }).await
    }

    /// Looks for the shortest interleaving that breaks a piece.
    ///
    /// # Errors
    /// [`PlayerError`].
    pub async fn hunt(&self, piece: TestCase, obstacle: PlayerBlocked) -> Result<HuntResult, PlayerError> {
        let _place = self.hunts.try_acquire().map_err(|_| PlayerError::Full(HUNTS))?;
        self.ask(obstacle, |answer| PlayerTask::Hunt { piece, answer }).await
    }

    async fn ask<T>(
        &self,
        obstacle: PlayerBlocked,
        what: impl FnOnce(PlayerReply<T>) -> PlayerTask,
    ) -> Result<T, PlayerError> {
        if let Some(obstacle) = obstacle() {
            return Err(obstacle);
        }
        // Here, and not on the player's thread: what starts a PostgreSQL lives as long as the server.
        let options = self.laboratory.database(DatabasePurpose::Player).await?;
        let (answer, answered) = oneshot::channel();
        self.wishes()?
            .try_send(PlayerCommand { what: what(answer), options, obstacle })
            .map_err(|_full_or_closed| PlayerError::Full(QUEUE))?;
        answered.await.unwrap_or(Err(PlayerError::Closing))
    }

    /// Where wishes go.
    fn wishes(&self) -> Result<mpsc::Sender<PlayerCommand>, PlayerError> {
        let mut player = self.player.lock().unwrap_or_else(PoisonError::into_inner);
        match &*player {
            PlayerWorker::Works { wishes, .. } if !wishes.is_closed() => Ok(wishes.clone()),
            PlayerWorker::Closed => Err(PlayerError::Closing),
            PlayerWorker::Absent | PlayerWorker::Works { .. } => {
                // With a place for each of those who may be on their way, and one for whoever wants the stage to be left.
                let (wishes, wished) = mpsc::channel(QUEUE + HUNTS + 1);
                let (end, ended) = oneshot::channel();
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.map_err(ExploreError::Worker)?;
                let work = move || {
                    runtime.block_on(work(wished));
                    // Nobody may wait for it.
                    let _ = end.send(());
                };
                std::thread::Builder::new().name("player".to_owned()).spawn(work).map_err(ExploreError::Worker)?;
                *player = PlayerWorker::Works { wishes: wishes.clone(), ended };
                Ok(wishes)
            }
        }
    }

    /// Leaves the database to somebody else, until the next one plays. Hunts end.
    pub async fn leave(&self) {
        let wishes = match &*self.player.lock().unwrap_or_else(PoisonError::into_inner) {
            PlayerWorker::Works { wishes, .. } => wishes.clone(),
            PlayerWorker::Absent | PlayerWorker::Closed => return,
        };
        let (answer, answered) = oneshot::channel();
        let options = PgConnectOptions::new_without_pgpass();
        let wish = PlayerCommand { what: PlayerTask::Leave { answer }, options, obstacle: Arc::new(|| None) };
        if wishes.send(wish).await.is_ok() {
            // An error: it has ended, and so left.
            let _ = answered.await;
        }
    }

    /// Ends it: nobody plays any more.
    pub async fn close(&self) {
        let player =
            std::mem::replace(&mut *self.player.lock().unwrap_or_else(PoisonError::into_inner), PlayerWorker::Closed);
        if let PlayerWorker::Works { wishes, ended } = player {
            drop(wishes);
            if tokio::time::timeout(CLOSE_MAX, ended).await.is_err() {
                tracing::warn!("the player did not end within {} s", CLOSE_MAX.as_secs());
            }
        }
    }
}

/// Grants wishes until nobody can have any more.
async fn work(mut wishes: mpsc::Receiver<PlayerCommand>) {
    let mut open: Option<ExplorerDatabase> = None;
    let mut hunts: VecDeque<Hunt> = VecDeque::new();
    loop {
        let wish = if hunts.is_empty() {
            match tokio::time::timeout(IDLE, wishes.recv()).await {
                Ok(wish) => wish,
                Err(_elapsed) => {
                    close(open.take()).await;
                    wishes.recv().await
                }
            }
        } else {
            match wishes.try_recv() {
                Ok(wish) => Some(wish),
                Err(mpsc::error::TryRecvError::Disconnected) => None,
                Err(mpsc::error::TryRecvError::Empty) => {
                    if let Some(hunt) = hunts.pop_front() {
                        hunts.extend(hunt.go_on(&mut open).await);
                    }
                    continue;
                }
            }
        };
        let Some(PlayerCommand { what, options, obstacle }) = wish else { break };
        match what {
            // Nobody waits for it any more.
            PlayerTask::Position { answer, .. } if answer.is_closed() => {}
            PlayerTask::Position { piece, schedule, rest, answer } => {
                let position = play(&mut open, &options, &piece, &schedule, rest, &obstacle).await;
                let _ = answer.send(position);
            }
            PlayerTask::Hunt { piece, answer } => hunts.push_back(Hunt::new(piece, options, obstacle, answer)),
            PlayerTask::Leave { answer } => {
                for hunt in hunts.drain(..) {
                    hunt.fail(PlayerError::Obstacle("an experiment has taken the database".to_owned()));
                }
                close(open.take()).await;
                let _ = answer.send(());
            }
        }
    }
    close(open).await;
}

async fn play(
    open: &mut Option<ExplorerDatabase>,
    options: &PgConnectOptions,
    piece: &TestCase,
    schedule: &Schedule,
    rest: AfterSchedule,
    obstacle: &PlayerBlocked,
) -> Result<Position, PlayerError> {
    if let Some(obstacle) = obstacle() {
        return Err(obstacle);
    }
    let mut world = opened(open, options).await?;
    let reached = position::reach(&mut ApproachExecution::new(&mut world, piece.clone()), schedule, rest).await;
    // A world that has failed is not used again.
    if !matches!(reached, Err(PositionError::Failed(_))) {
        *open = Some(world);
    }
    Ok(reached?)
}

async fn opened(
    open: &mut Option<ExplorerDatabase>,
    options: &PgConnectOptions,
) -> Result<ExplorerDatabase, PlayerError> {
    match open.take() {
        Some(world) => Ok(world),
        None => Ok(ExplorerDatabase::open(options).await?),
    }
}

async fn close(world: Option<ExplorerDatabase>) {
    if let Some(world) = world
        && let Err(error) = world.close().await
    {
        tracing::info!(%error, "the player's schema was not removed");
    }
}

/// A hunt that is under way.
struct Hunt {
    piece: TestCase,
    options: PgConnectOptions,
    obstacle: PlayerBlocked,
    answer: PlayerReply<HuntResult>,
    begun: Instant,
    search: Search,
    violation: Option<JudgedInterleaving>,
    undecided: u64,
}

impl Hunt {
    fn new(
        piece: TestCase,
        options: PgConnectOptions,
        obstacle: PlayerBlocked,
        answer: PlayerReply<HuntResult>,
    ) -> Self {
        let search = Search::new(SearchPlan { limit: Some(HUNT_INTERLEAVINGS), ..SearchPlan::default() });
        Self { piece, options, obstacle, answer, begun: Instant::now(), search, violation: None, undecided: 0 }
    }

    fn fail(self, error: PlayerError) {
        // Nobody may wait for it any more.
        let _ = self.answer.send(Err(error));
    }

    /// One interleaving more; `None` when that was the last one.
    async fn go_on(mut self, open: &mut Option<ExplorerDatabase>) -> Option<Self> {
        if self.answer.is_closed() {
            return None;
        }
        if let Some(obstacle) = (self.obstacle)() {
            self.fail(obstacle);
            return None;
        }
        match self.step(open).await {
            Err(error) => self.fail(error),
            Ok(true) if self.begun.elapsed() < HUNT_TIME && self.undecided < UNDECIDED_MAX => return Some(self),
            Ok(_) => self.end(),
        }
        None
    }

    /// Runs one interleaving; `false` if there is none.
    async fn step(&mut self, open: &mut Option<ExplorerDatabase>) -> Result<bool, PlayerError> {
        let mut world = opened(open, &self.options).await?;
        let mut play = ApproachExecution::new(&mut world, self.piece.clone());
        let found = self.search.next(&mut play).await?;
        play.leave().await?;
        *open = Some(world);
        match found {
            None => return Ok(false),
            Some(SearchStep::Undecided(..)) => self.undecided += 1,
            Some(SearchStep::Interleaving(judged)) => {
                let shorter = |known: &JudgedInterleaving| readability(&judged) < readability(known);
                if !judged.anomalies.is_empty() && self.violation.as_ref().is_none_or(shorter) {
                    self.violation = Some(*judged);
                }
            }
        }
        Ok(!self.search.finished())
    }

    fn end(self) {
        let progress = self.search.progress();
        let hunted = HuntResult {
            violation: self.violation,
            interleavings: progress.interleavings,
            complete: self.search.finished() && self.undecided == 0,
            estimate: progress.estimate(),
            undecided: self.undecided,
        };
        let _ = self.answer.send(Ok(hunted));
    }
}
