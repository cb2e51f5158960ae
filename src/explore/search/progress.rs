//! How to search, what each run finds, and how far the search is.

use super::execution::JudgedInterleaving;
use crate::explore::schedule::Schedule;
use crate::explore::search_order::SearchOrder;

/// How to search.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchPlan {
    /// The order.
    pub order: SearchOrder,
    /// Leave out interleavings that are equivalent to one that is run.
    pub reduce: bool,
    /// Run identical clients in every order as well.
    pub permute: bool,
    /// The largest number of interleavings.
    pub limit: Option<u64>,
    /// Determines a sample, or the order of the branches. Without it, depth first, an actor continues for as long as possible.
    pub seed: Option<u64>,
    /// End with the first violation.
    pub stop_at_first: bool,
    /// Continue after this schedule, which an earlier search has reported as its last one.
    pub after: Option<Schedule>,
}

/// What one run of the search found.
#[derive(Debug)]
pub enum SearchStep {
    /// An interleaving.
    Interleaving(Box<JudgedInterleaving>),
    /// An interleaving that could not be decided, and why.
    Undecided(Schedule, String),
}

/// How far a search is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SearchProgress {
    /// Interleavings that were run and judged.
    pub interleavings: u64,
    /// Interleavings that were left out as equivalent to others: a lower bound.
    pub pruned: u64,
    /// The part of the tree that is explored, from 0 to 1.
    pub explored: f64,
    /// The part of it that an earlier search has explored.
    pub before: f64,
    /// Of a sample.
    pub sample: Option<SampleProgress>,
}

/// What a sample says of all interleavings.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SampleProgress {
    /// The mean of the inverse probabilities: an estimate of the number of all interleavings. `None` if they are not known.
    pub mean_weight: Option<f64>,
    /// The number of all interleavings if nothing ever waits. `None` if something did, or an actor retried.
    pub without_waits: Option<f64>,
}

impl SearchProgress {
    /// The estimated number of all interleavings; of a sample that estimates nothing, those that were run.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn estimate(&self) -> f64 {
        if let Some(sample) = self.sample {
            return sample.without_waits.or(sample.mean_weight).unwrap_or(self.interleavings as f64);
        }
        let explored = self.explored - self.before;
        if explored > 0.0 { self.interleavings as f64 / explored } else { 0.0 }
    }
}
