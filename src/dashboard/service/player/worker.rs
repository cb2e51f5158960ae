//! The player's thread: executes one command after the other, and continues the searches for a violation in between.

use std::collections::VecDeque;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use tokio::sync::{mpsc, oneshot};

use super::violation_search::{ViolationSearch, ViolationSearchResult};
use super::{PlayerBlocked, PlayerError};
use crate::explore::execution::{ApproachExecution, TestCase};
use crate::explore::explorer_database::ExplorerDatabase;
use crate::explore::position::{self, AfterSchedule, Position, PositionError};
use crate::explore::schedule::Schedule;

/// How long the explorer's database stays open without a request.
const IDLE: Duration = Duration::from_mins(1);

/// A task, and what it needs.
pub struct PlayerCommand {
    pub task: PlayerTask,
    pub options: PgConnectOptions,
    pub blocked: PlayerBlocked,
}

/// What the thread is asked to do.
pub enum PlayerTask {
    Position { test_case: TestCase, schedule: Schedule, rest: AfterSchedule, reply: PlayerReply<Position> },
    FindViolation { test_case: TestCase, reply: PlayerReply<ViolationSearchResult> },
    Leave { reply: oneshot::Sender<()> },
}

/// Where the answer goes.
pub type PlayerReply<T> = oneshot::Sender<Result<T, PlayerError>>;

/// Executes commands until every sender is gone.
pub async fn run(mut commands: mpsc::Receiver<PlayerCommand>) {
    let mut open: Option<ExplorerDatabase> = None;
    let mut searches: VecDeque<ViolationSearch> = VecDeque::new();
    loop {
        let command = if searches.is_empty() {
            match tokio::time::timeout(IDLE, commands.recv()).await {
                Ok(command) => command,
                Err(_elapsed) => {
                    close(open.take()).await;
                    commands.recv().await
                }
            }
        } else {
            match commands.try_recv() {
                Ok(command) => Some(command),
                Err(mpsc::error::TryRecvError::Disconnected) => None,
                Err(mpsc::error::TryRecvError::Empty) => {
                    if let Some(search) = searches.pop_front() {
                        searches.extend(search.advance(&mut open).await);
                    }
                    continue;
                }
            }
        };
        let Some(PlayerCommand { task, options, blocked }) = command else { break };
        match task {
            // The client has disconnected.
            PlayerTask::Position { reply, .. } if reply.is_closed() => {}
            PlayerTask::Position { test_case, schedule, rest, reply } => {
                let position = play(&mut open, &options, &test_case, &schedule, rest, &blocked).await;
                let _ = reply.send(position);
            }
            PlayerTask::FindViolation { test_case, reply } => {
                searches.push_back(ViolationSearch::new(test_case, options, blocked, reply));
            }
            PlayerTask::Leave { reply } => {
                for search in searches.drain(..) {
                    search.fail(PlayerError::Blocked("an experiment now uses the player's database".to_owned()));
                }
                close(open.take()).await;
                let _ = reply.send(());
            }
        }
    }
    close(open).await;
}

async fn play(
    open: &mut Option<ExplorerDatabase>,
    options: &PgConnectOptions,
    test_case: &TestCase,
    schedule: &Schedule,
    rest: AfterSchedule,
    blocked: &PlayerBlocked,
) -> Result<Position, PlayerError> {
    if let Some(error) = blocked() {
        return Err(error);
    }
    let mut database = opened(open, options).await?;
    let reached = position::reach(&mut ApproachExecution::new(&mut database, test_case.clone()), schedule, rest).await;
    // A database on which playing has failed is not used again.
    if !matches!(reached, Err(PositionError::Failed(_))) {
        *open = Some(database);
    }
    Ok(reached?)
}

/// Takes the open database, or opens one.
pub async fn opened(
    open: &mut Option<ExplorerDatabase>,
    options: &PgConnectOptions,
) -> Result<ExplorerDatabase, PlayerError> {
    match open.take() {
        Some(database) => Ok(database),
        None => Ok(ExplorerDatabase::open(options).await?),
    }
}

async fn close(database: Option<ExplorerDatabase>) {
    if let Some(database) = database
        && let Err(error) = database.close().await
    {
        tracing::info!(%error, "the player's schema was not removed");
    }
}
