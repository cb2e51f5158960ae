//! One interleaving, step by step, on the real database.

use std::sync::Arc;

use axum::Router;

use super::Dashboard;
use super::laboratory::Laboratory;

/// Where interleavings are played, one after the other.
#[derive(Debug)]
pub struct Stage {
    laboratory: Arc<Laboratory>,
}

impl Stage {
    /// A stage that is opened when somebody plays.
    #[must_use]
    pub fn new(laboratory: Arc<Laboratory>) -> Self {
        Self { laboratory }
    }

    /// Leaves the database to somebody else, until the next one plays.
    pub async fn leave(&self) {}

    /// Ends it: nobody plays any more.
    pub async fn close(&self) {}
}

/// The routes.
pub fn routes() -> Router<Arc<Dashboard>> {
    Router::new()
}
