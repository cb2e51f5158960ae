//! The dashboard: pages under `/` and `/lab` that show what the lab knows, start experiments and play interleavings.
//!
//! The server renders every page. Live updates are parts of such pages, sent as server-sent events, and a few scripts ([`page::assets`]) put them in
//! place. Clients of an approach need nothing of the dashboard.
//!
//! # Order
//!
//! From the lowest floor to the highest. A file imports only from its own floor and from lower ones:
//!
//! 1. [`model`]: data: the archive of results, the snapshot of an experiment, lock samples, the player's choice, permission
//! 2. [`service`]: what runs: experiments, the player, the lock sampler, and their databases
//! 3. [`view`]: markup, made from models
//! 4. [`page`]: handlers, which extract the services that they need
//! 5. this file: builds the services, and lists the routes

pub mod model;
mod page;
pub mod service;
mod view;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRef, State};
use axum::http::Uri;
use axum::response::Response;
use axum::routing::{get, post};
use tokio_util::sync::CancellationToken;

use crate::http::AppState;
use model::archive::Archive;
use model::permission::ExperimentPermission;
use page::approach::LabHeadersHonoured;
use page::{approach, assets, experiment, experiment_stream, locks, overview, player, player_page, runs};
use service::experiment_databases::ExperimentDatabases;
use service::experiment_slot::ExperimentSlot;
use service::lock_sampler::LockWatch;
use service::player::PlayerService;
use view::frame;
use view::lock_view::LockMarkup;
use view::snapshot_parts::SnapshotMarkup;

/// What the operator decides about the dashboard.
#[derive(Debug)]
pub struct DashboardSettings {
    /// The run folder: experiments write their results there, and the pages read them.
    pub runs: PathBuf,
    /// Which requests may start and stop experiments.
    pub permission: ExperimentPermission,
    /// The databases of experiments.
    pub databases: ExperimentDatabases,
}

/// The dashboard of a server.
#[derive(Debug)]
pub struct Dashboard {
    state: DashboardState,
    databases: Arc<ExperimentDatabases>,
    closing: CancellationToken,
}

/// The state of the router. A handler extracts the part that it needs, such as `State<Archive>`. Every part is a cheap handle.
#[derive(Debug, Clone)]
struct DashboardState {
    permission: ExperimentPermission,
    lab_headers: LabHeadersHonoured,
    archive: Archive,
    slot: ExperimentSlot,
    player: PlayerService,
    locks: LockWatch,
    snapshot_markup: SnapshotMarkup,
    lock_markup: LockMarkup,
}

/// Lets handlers extract `State<$part>`.
macro_rules! parts_of_state {
    ($($field:ident: $part:ty),+ $(,)?) => {
        $(impl FromRef<DashboardState> for $part {
            fn from_ref(state: &DashboardState) -> Self {
                state.$field.clone()
            }
        })+
    };
}

parts_of_state! {
    permission: ExperimentPermission,
    lab_headers: LabHeadersHonoured,
    archive: Archive,
    slot: ExperimentSlot,
    player: PlayerService,
    locks: LockWatch,
    snapshot_markup: SnapshotMarkup,
    lock_markup: LockMarkup,
}

impl Dashboard {
    /// The dashboard of a server. When `closing` is cancelled, its streams of events end.
    #[must_use]
    pub fn new(app: &AppState, settings: DashboardSettings, closing: CancellationToken) -> Self {
        let databases = Arc::new(settings.databases);
        let served = app.engine.server().database().connect_options();
        let player = PlayerService::new(Arc::clone(&databases));
        let slot = ExperimentSlot::new(
            Arc::clone(&databases),
            player.clone(),
            served.clone(),
            settings.runs.clone(),
            closing.clone(),
        );
        let state = DashboardState {
            permission: settings.permission,
            lab_headers: LabHeadersHonoured(app.lab_headers),
            archive: Archive::new(settings.runs),
            locks: LockWatch::new(served, &databases, &slot, closing.clone()),
            slot,
            player,
            snapshot_markup: SnapshotMarkup::default(),
            lock_markup: LockMarkup::default(),
        };
        Self { state, databases, closing }
    }

    /// Its routes.
    pub fn routes(&self) -> Router {
        Router::new()
            .route("/", get(overview::page))
            .route("/lab/approaches/{name}", get(approach::page))
            .route("/lab/experiment", get(experiment::page))
            .route("/lab/experiments", post(experiment::start))
            .route("/lab/experiment/stop", post(experiment::stop))
            .route("/lab/experiment/events", get(experiment_stream::events))
            .route("/lab/runs", get(runs::history))
            .route("/lab/runs/compare", get(runs::compared::page))
            .route("/lab/runs/{id}", get(runs::one::page))
            .route("/lab/runs/{id}/{file}", get(runs::file::download))
            .route("/lab/player", get(player_page::page))
            .route("/lab/player/positions", post(player::position))
            .route("/lab/player/violation", post(player::violation))
            .route("/lab/locks", get(locks::page))
            .route("/lab/locks/events", get(locks::events))
            .route("/lab/assets/{name}", get(assets::asset))
            .route("/lab/{*unknown}", get(unknown))
            .with_state(self.state.clone())
    }

    /// Ends the experiment under way, the player, and the database of experiments.
    pub async fn close(&self) {
        self.closing.cancel();
        self.state.slot.close().await;
        self.state.player.close().await;
        self.databases.close().await;
    }
}

/// Any other address under `/lab`.
async fn unknown(State(permission): State<ExperimentPermission>, uri: Uri) -> Response {
    frame::missing(&permission, &format!("There is no page {}.", uri.path()))
}
