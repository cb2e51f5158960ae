//! Who waits for whom, now.

use std::sync::Arc;

use axum::Router;
use sqlx::postgres::PgConnectOptions;

use super::Dashboard;
use super::laboratory::Laboratory;

/// Looks at the locks for as long as somebody looks at it.
#[derive(Debug)]
pub struct Watch {
    laboratory: Arc<Laboratory>,
    served: PgConnectOptions,
}

impl Watch {
    /// Of the database of experiments, and of the one that is served.
    #[must_use]
    pub fn new(laboratory: Arc<Laboratory>, served: PgConnectOptions) -> Self {
        Self { laboratory, served }
    }
}

/// The routes.
pub fn routes() -> Router<Arc<Dashboard>> {
    Router::new()
}
