//! The search: which interleavings are run, and in which order.
//!
//! - [`execution`]: what can be run again and again from its beginning, and what one interleaving came to
//! - [`independence`]: which steps commute; [`branch`]: a branching point of the search, and what sleeps there
//! - [`progress`]: how to search, and how far a search is
//! - [`depth_first`]: all schedules, depth first
//! - [`replay`](mod@replay): one schedule that is given

mod branch;
pub mod depth_first;
pub mod execution;
pub mod independence;
pub mod progress;
pub mod replay;

pub use depth_first::Search;
pub use execution::{Execution, JudgedInterleaving, REPLAYS_MAX, STEPS_MAX};
pub use progress::{SearchPlan, SearchProgress, SearchStep};
pub use replay::replay;
