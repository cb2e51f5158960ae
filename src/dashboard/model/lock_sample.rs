//! The sessions of one PostgreSQL server at one moment.

use std::collections::BTreeMap;
use std::time::Duration;

/// A session of the server, other than the sampler's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct ObservedSession {
    /// The id of its server process.
    pub pid: i32,
    /// Its `application_name`.
    pub application: String,
    /// Its database.
    pub database: Option<String>,
    /// `active`, `idle in transaction` …; `None` if PostgreSQL hides it from this role.
    pub state: Option<String>,
    /// The statement that it runs or ran last, cut at `track_activity_query_size`.
    pub query: String,
    /// What it waits for, such as `Lock: transactionid`.
    pub event: Option<String>,
    /// How long it has been in its state, in ms.
    pub state_ms: Option<i64>,
    /// How long its transaction has been open, in ms.
    pub transaction_ms: Option<i64>,
    /// The processes for which it waits.
    pub blockers: Vec<i32>,
    /// The kind of the lock for which it waits …
    pub lock: Option<String>,
    /// … and the object that the lock is on.
    pub of: Option<String>,
}

/// The state of a session without a statement or a transaction.
const IDLE: &str = "idle";

impl ObservedSession {
    /// Whether it runs a statement or has a transaction open.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.state.as_deref() != Some(IDLE)
    }

    /// Whether it waits for a lock.
    #[must_use]
    pub fn waits(&self) -> bool {
        !self.blockers.is_empty()
    }

    /// Whether it has a transaction open and runs no statement in it.
    #[must_use]
    pub fn is_idle_in_transaction(&self) -> bool {
        self.state.as_deref().is_some_and(|state| state.starts_with("idle in transaction"))
    }
}

/// The processes for which each session waits.
#[must_use]
pub fn waits(sessions: &[ObservedSession]) -> BTreeMap<i32, Vec<i32>> {
    sessions.iter().map(|session| (session.pid, session.blockers.clone())).collect()
}

/// What one query of the sampler returned.
#[derive(Debug, Clone)]
pub struct LockSample {
    /// When, in UTC (RFC 3339).
    pub at: String,
    /// How long the query took.
    pub took: Duration,
    /// The sessions, or why the query failed.
    pub sessions: Result<Vec<ObservedSession>, String>,
}

/// The newest sample of one server, and what is needed to read it.
#[derive(Debug, Clone, Default)]
pub struct LockReading {
    /// Counts the samples of this server; 0 before the first.
    pub number: u64,
    /// The sample; `None` while the server does not run.
    pub sample: Option<LockSample>,
    /// The approach of the run that is under way on this server.
    pub approach: Option<String>,
}

/// Which PostgreSQL server is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumIter, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum SampledServer {
    /// The one whose data the lab serves.
    Served,
    /// The one on which experiments work.
    Experiments,
}
