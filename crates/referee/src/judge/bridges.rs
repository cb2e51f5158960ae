//! Values that a search must not leave yet.
//!
//! Where answers tell values, the writes of a row are edges between values, and their order is a path that uses each
//! once. Fleury's rule for such paths: do not cross a bridge while edges are left behind it. Without it, a search among hundreds
//! of concurrent deposits and withdrawals strands some of them early, and finds out late.

use std::collections::VecDeque;

use rustc_hash::{FxHashMap, FxHashSet};

/// Values at most that are walked to see whether one can be come back to. Beyond that it is taken for granted.
const WALK_MAX: usize = 1024;

/// The edges of one row that are left.
#[derive(Debug, Default)]
pub struct Bridges {
    /// From each value, where to and how often.
    edges: FxHashMap<i64, Vec<(i64, u32)>>,
}

impl Bridges {
    /// Adds an edge.
    pub fn add(&mut self, from: i64, to: i64) {
        let edges = self.edges.entry(from).or_default();
        match edges.iter_mut().find(|edge| edge.0 == to) {
            Some(edge) => edge.1 += 1,
            None => edges.push((to, 1)),
        }
    }

    /// Uses an edge, or gives it back.
    pub fn change(&mut self, from: i64, to: i64, used: bool) {
        let edge = self.edges.get_mut(&from).and_then(|edges| edges.iter_mut().find(|edge| edge.0 == to));
        if let Some((_, left)) = edge {
            *left = if used { left.saturating_sub(1) } else { *left + 1 };
        }
    }

    /// Whether this edge can be used now: nothing is left behind, or there is a way back. And how far was walked for it.
    pub fn may_cross(&self, from: i64, to: i64) -> (bool, usize) {
        let left = |edges: &Vec<(i64, u32)>| edges.iter().map(|edge| edge.1).sum::<u32>();
        // This one is among them.
        if from == to || self.edges.get(&from).map_or(0, left) <= 1 {
            return (true, 0);
        }
        let mut walked = FxHashSet::from_iter([to]);
        let mut ahead = VecDeque::from([to]);
        while let Some(value) = ahead.pop_front() {
            for &(next, left) in self.edges.get(&value).into_iter().flatten() {
                if left > 0 && next == from {
                    return (true, walked.len());
                }
                if left > 0 && walked.insert(next) {
                    ahead.push_back(next);
                }
            }
            if walked.len() > WALK_MAX {
                return (true, walked.len());
            }
        }
        (false, walked.len())
    }
}
