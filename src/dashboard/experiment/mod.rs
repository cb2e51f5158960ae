//! The one experiment that may be under way: started, watched, stopped.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;

use super::Dashboard;
use super::laboratory::Laboratory;

/// Where the one experiment stands.
#[derive(Debug)]
pub struct Bench {
    laboratory: Arc<Laboratory>,
    runs: PathBuf,
}

impl Bench {
    /// An empty one; experiments leave what they found in the folder `runs`.
    #[must_use]
    pub fn new(laboratory: Arc<Laboratory>, runs: PathBuf) -> Self {
        Self { laboratory, runs }
    }

    /// What is under way: its address (such as `/lab/experiment`) and what it is called; `None` if nothing is.
    #[must_use]
    pub fn under_way(&self) -> Option<String> {
        None
    }

    /// The approach that the experiment under way is on, if there is one.
    #[must_use]
    pub fn approach(&self) -> Option<String> {
        None
    }

    /// Ends what is under way, and lets nothing begin any more.
    pub async fn close(&self) {}
}

/// The routes.
pub fn routes() -> Router<Arc<Dashboard>> {
    Router::new()
}
