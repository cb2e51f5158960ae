//! TODO.

use std::sync::Arc;

use axum::Router;

use super::Dashboard;

/// The routes.
pub fn routes() -> Router<Arc<Dashboard>> {
    Router::new()
}
