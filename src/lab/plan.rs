//! What a round is to be: under which conditions, of whom, on which servers.

use std::sync::Arc;
use std::time::Duration;

use super::routes::ServiceRoutes;
use super::scenario::ScenarioWork;
use super::target::Target;
use referee::history::ClaimedSafety;

/// What every round is made under.
#[derive(Debug, Clone)]
pub struct RunConditions {
    /// The requests.
    pub work: Arc<ScenarioWork>,
    /// How many a round; `None` if the duration decides.
    pub requests: Option<u64>,
    /// For how long; `None` if the number decides.
    pub duration: Option<Duration>,
    /// Load before each round that is not in its history.
    pub warmup: Duration,
    /// Rounds of each approach.
    pub repeat: u32,
    /// Clients.
    pub concurrency: u32,
    /// Of the open loop: requests due a second.
    pub rate_per_s: Option<f64>,
    /// The think time that each request asks for.
    pub think_time: Option<Duration>,
}

/// Who is raced.
#[derive(Debug, Clone)]
pub struct Contestant {
    /// Its name.
    pub name: String,
    /// What is claimed of it.
    pub claim: ClaimedSafety,
    /// What stands before its routes, behind the target's base.
    pub base: String,
    /// Its routes.
    pub routes: Arc<ServiceRoutes>,
    /// Whether some requests may ask for the times of their statements.
    pub trace: bool,
}

impl RunConditions {
    /// The same for the load before a round.
    #[must_use]
    pub fn for_warmup(&self) -> Self {
        Self { requests: None, duration: Some(self.warmup), ..self.clone() }
    }
}

/// One load.
#[derive(Debug, Clone)]
pub struct LoadPlan {
    /// Who takes the requests; clients are spread over several.
    pub targets: Vec<Target>,
    /// Whose routes are asked.
    pub contestant: Contestant,
    /// What is asked, how often, by how many.
    pub conditions: RunConditions,
}
