//! The plan of a round: its conditions, its approach, its servers.

use std::sync::Arc;
use std::time::Duration;

use super::routes::ServiceRoutes;
use super::scenario::ScenarioWork;
use super::target::Target;
use referee::history::ClaimedSafety;

/// The conditions of every round.
#[derive(Debug, Clone)]
pub struct RunConditions {
    /// The requests.
    pub work: Arc<ScenarioWork>,
    /// The number of requests in a round; `None` if the duration decides.
    pub requests: Option<u64>,
    /// The duration of a round; `None` if the number decides.
    pub duration: Option<Duration>,
    /// How long load is sent before each round, without being recorded.
    pub warmup: Duration,
    /// Rounds of each approach.
    pub repeat: u32,
    /// The number of clients.
    pub concurrency: u32,
    /// In an open loop: requests due per second.
    pub rate_per_s: Option<f64>,
    /// The think time that each request asks for.
    pub think_time: Option<Duration>,
}

/// An approach, or a service with a routes file, that takes part in a run.
#[derive(Debug, Clone)]
pub struct Contestant {
    /// Its name.
    pub name: String,
    /// The claim about it.
    pub claim: ClaimedSafety,
    /// The part of its paths between the base of the target and its routes.
    pub base: String,
    /// Its routes.
    pub routes: Arc<ServiceRoutes>,
    /// Whether some requests ask for the times of their statements.
    pub trace: bool,
}

impl RunConditions {
    /// The conditions of the warm-up.
    #[must_use]
    pub fn for_warmup(&self) -> Self {
        Self { requests: None, duration: Some(self.warmup), ..self.clone() }
    }
}

/// One load.
#[derive(Debug, Clone)]
pub struct LoadPlan {
    /// The servers; the clients are spread over them.
    pub targets: Vec<Target>,
    /// The approach under load.
    pub contestant: Contestant,
    /// The requests and the clients.
    pub conditions: RunConditions,
}
