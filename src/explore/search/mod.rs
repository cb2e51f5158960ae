//! The search: which interleavings are run, and in which order.
//!
//! - [`execution`]: what can be run again and again from its beginning, and what one interleaving came to
//! - [`choices`]: which actors can go at a step
//! - [`access`]: what a step reads, changes and locks; [`independence`]: which steps commute; [`branch`]: a branching point of the search, and what sleeps there
//! - [`progress`]: how to search, and how far a search is
//! - [`depth_first`]: all schedules, depth first
//! - [`scheduler`]: the orders of a sample: random walks, or random priorities; [`sampling`]: the sample
//! - [`replay`](mod@replay): one schedule that is given

pub mod access;
mod branch;
pub mod choices;
pub mod depth_first;
pub mod execution;
pub mod independence;
pub mod progress;
pub mod replay;
pub mod sampling;
pub mod scheduler;

pub use depth_first::DepthFirst;
pub use execution::{Execution, JudgedInterleaving, REPLAYS_MAX, STEPS_MAX};
pub use progress::{SearchPlan, SearchProgress, SearchStep};
pub use replay::{StepsAfterEnd, replay, replay_with};
pub use sampling::Sampling;

use super::error::ExploreError;
use super::search_order::SearchOrder;

/// A search that is under way, in one of the orders.
#[derive(Debug)]
pub enum Search {
    /// All interleavings, depth first.
    DepthFirst(DepthFirst),
    /// A sample.
    Sampling(Sampling),
}

impl Search {
    /// A search that has not begun.
    #[must_use]
    pub fn new(plan: SearchPlan) -> Self {
        match plan.order {
            SearchOrder::DepthFirst => Self::DepthFirst(DepthFirst::new(plan)),
            SearchOrder::Walks | SearchOrder::Priorities => Self::Sampling(Sampling::new(plan)),
        }
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> SearchProgress {
        match self {
            Self::DepthFirst(search) => search.progress(),
            Self::Sampling(search) => search.progress(),
        }
    }

    /// Whether everything has been explored. A sample is never everything.
    #[must_use]
    pub fn finished(&self) -> bool {
        matches!(self, Self::DepthFirst(search) if search.finished())
    }

    /// Runs the next interleaving; `None` if there is none left, or the limit is reached.
    ///
    /// # Errors
    /// [`ExploreError`].
    pub async fn next(&mut self, execution: &mut dyn Execution) -> Result<Option<SearchStep>, ExploreError> {
        match self {
            Self::DepthFirst(search) => search.next(execution).await,
            Self::Sampling(search) => search.next(execution).await,
        }
    }
}
