//! The dashboard: what the lab knows, for people who would rather look than read. Pages under `/` and `/lab`.
//!
//! Every page is made on the server ([`page`]); what is live comes by server-sent events as pieces of such pages, and a few
//! scripts of ours ([`assets`]) put them in place. Nothing here is needed by a client of an approach.
//!
//! - [`overview`]: the matrix of approaches and workloads: claim, evidence, cost
//! - [`approach`], [`chapter`]: one approach: its text, its SQL, what was found, and a request to try
//! - [`evidence`]: claim beside evidence, in the few lines of a cell
//! - [`archive`]: what earlier experiments found, read from the run folder
//! - [`runs`]: the history of runs, one of them, two of them side by side
//! - [`experiment`]: the one experiment that may be under way: started, watched, stopped
//! - [`player`]: one interleaving, step by step, on the real database
//! - [`locks`]: who waits for whom, now
//! - [`experiment_databases`]: the database of experiments
//! - [`permission`]: who may start and stop them

pub mod approach;
pub mod archive;
pub mod assets;
pub mod chapter;
pub mod evidence;
pub mod experiment;
pub mod experiment_databases;
mod json_body;
pub mod locks;
pub mod overview;
pub mod page;
pub mod permission;
pub mod player;
pub mod runs;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use tokio_util::sync::CancellationToken;

use crate::http::AppState;
use archive::Archive;
use experiment::ExperimentSlot;
use experiment_databases::ExperimentDatabases;
use locks::LockWatch;
use permission::ExperimentPermission;
use player::PlayerService;

/// Where the dashboard's routes are, but for the overview, which is at the root.
pub const PREFIX: &str = "/lab";

/// What an operator decides about the dashboard.
#[derive(Debug)]
pub struct DashboardSettings {
    /// The run folder: where experiments leave what they found, and where it is looked for.
    pub runs: PathBuf,
    /// Who may start and stop experiments.
    pub permission: ExperimentPermission,
    /// The database of experiments.
    pub laboratory: ExperimentDatabases,
}

/// What the pages share.
#[derive(Debug)]
pub struct Dashboard {
    /// The server whose dashboard it is.
    pub app: Arc<AppState>,
    /// Who may start and stop experiments.
    pub permission: ExperimentPermission,
    /// The database of experiments.
    pub laboratory: Arc<ExperimentDatabases>,
    /// What earlier experiments found.
    pub archive: Archive,
    /// Where the one experiment stands.
    pub bench: ExperimentSlot,
    /// Where interleavings are played.
    pub stage: PlayerService,
    /// Who looks at locks.
    pub watch: LockWatch,
    /// The server closes: streams end, which would else keep it waiting.
    pub closing: CancellationToken,
}

impl Dashboard {
    /// The dashboard of a server. When `closing` is cancelled, streams of events end.
    #[must_use]
    pub fn new(app: Arc<AppState>, settings: DashboardSettings, closing: CancellationToken) -> Arc<Self> {
        let laboratory = Arc::new(settings.laboratory);
        Arc::new(Self {
            bench: ExperimentSlot::new(Arc::clone(&laboratory), settings.runs.clone()),
            stage: PlayerService::new(Arc::clone(&laboratory)),
            watch: LockWatch::new(app.engine.server().database().connect_options().clone()),
            archive: Archive::new(settings.runs),
            permission: settings.permission,
            app,
            laboratory,
            closing,
        })
    }

    /// Its routes.
    pub fn routes(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/", get(overview::page))
            .route("/lab/assets/{name}", get(assets::asset))
            .route("/lab/{*unknown}", get(page::unknown))
            .merge(approach::routes())
            .merge(experiment::routes())
            .merge(runs::routes())
            .merge(player::routes())
            .merge(locks::routes())
            .with_state(Arc::clone(self))
    }

    /// Ends what is under way, and the database of experiments.
    pub async fn close(&self) {
        self.closing.cancel();
        self.bench.close().await;
        self.stage.close().await;
        self.laboratory.close().await;
    }
}
