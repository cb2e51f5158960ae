//! The search for the shortest interleaving that violates the sequential rule, one interleaving at a time.

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;

use super::worker::{PlayerReply, opened};
use super::{PlayerBlocked, PlayerError};
use crate::explore::execution::ApproachExecution;
use crate::explore::exploration::readability;
use crate::explore::explorer_database::ExplorerDatabase;
use crate::explore::search::{JudgedInterleaving, Search, SearchPlan, SearchStep};
use crate::explore::test_case::TestCase;

/// Interleavings of one search: all of most approaches with two clients, and of others as many as a viewer waits for …
const INTERLEAVINGS_MAX: u64 = 3_000;

/// … and how long it may take.
const TIME_MAX: Duration = Duration::from_secs(20);

/// Undecided interleavings of one search: each takes seconds, and the search ends after so many.
const UNDECIDED_MAX: u64 = 3;

/// The result of a search.
#[derive(Debug)]
pub struct ViolationSearchResult {
    /// The shortest interleaving that no serial order explains.
    pub violation: Option<JudgedInterleaving>,
    /// Interleavings that were run.
    pub interleavings: u64,
    /// Whether these are all there are.
    pub complete: bool,
    /// The estimated number of interleavings.
    pub estimate: f64,
    /// Interleavings that could not be decided.
    pub undecided: u64,
}

/// A search under way.
pub struct ViolationSearch {
    test_case: TestCase,
    options: PgConnectOptions,
    blocked: PlayerBlocked,
    reply: PlayerReply<ViolationSearchResult>,
    begun: Instant,
    search: Search,
    violation: Option<JudgedInterleaving>,
    undecided: u64,
}

impl ViolationSearch {
    pub fn new(
        test_case: TestCase,
        options: PgConnectOptions,
        blocked: PlayerBlocked,
        reply: PlayerReply<ViolationSearchResult>,
    ) -> Self {
        let search = Search::new(SearchPlan { limit: Some(INTERLEAVINGS_MAX), ..SearchPlan::default() });
        Self { test_case, options, blocked, reply, begun: Instant::now(), search, violation: None, undecided: 0 }
    }

    /// Ends the search with an error.
    pub fn fail(self, error: PlayerError) {
        // The client may have disconnected.
        let _ = self.reply.send(Err(error));
    }

    /// Runs one more interleaving; `None` when the search has ended.
    pub async fn advance(mut self, open: &mut Option<ExplorerDatabase>) -> Option<Self> {
        if self.reply.is_closed() {
            return None;
        }
        if let Some(error) = (self.blocked)() {
            self.fail(error);
            return None;
        }
        match self.step(open).await {
            Err(error) => self.fail(error),
            Ok(true) if self.begun.elapsed() < TIME_MAX && self.undecided < UNDECIDED_MAX => return Some(self),
            Ok(_) => self.end(),
        }
        None
    }

    /// Runs one interleaving. Returns whether there may be more.
    async fn step(&mut self, open: &mut Option<ExplorerDatabase>) -> Result<bool, PlayerError> {
        let mut database = opened(open, &self.options).await?;
        let mut execution = ApproachExecution::new(&mut database, self.test_case.clone());
        let found = self.search.next(&mut execution).await?;
        execution.leave().await?;
        *open = Some(database);
        match found {
            None => return Ok(false),
            Some(SearchStep::Undecided(..)) => self.undecided += 1,
            Some(SearchStep::Interleaving(judged)) => {
                let shorter =
                    |known: &JudgedInterleaving| readability(&judged.transcript) < readability(&known.transcript);
                if !judged.anomalies.is_empty() && self.violation.as_ref().is_none_or(shorter) {
                    self.violation = Some(*judged);
                }
            }
        }
        Ok(!self.search.finished())
    }

    fn end(self) {
        let progress = self.search.progress();
        let result = ViolationSearchResult {
            violation: self.violation,
            interleavings: progress.interleavings,
            complete: self.search.finished() && self.undecided == 0,
            estimate: progress.estimate(),
            undecided: self.undecided,
        };
        let _ = self.reply.send(Ok(result));
    }
}
