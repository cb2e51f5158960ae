//! Options that several commands share: those that choose a database and shape a server.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use strum::VariantNames;

use super::CliError;
use crate::config::{Limits, RetryPolicy};
use crate::database::seed::Seed;
use crate::strategy::Approach;

/// Which database.
#[derive(Debug, Clone, Args)]
pub struct DatabaseArgs {
    /// A PostgreSQL to use, in a schema of our own; without it, a private one is run.
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,

    /// Where PostgreSQL's programs are; without it, the usual places are searched.
    #[arg(long, env = "LAB_POSTGRES_BIN", value_name = "DIR")]
    pub postgres_bin: Option<PathBuf>,
}

/// Where the private database is kept.
#[derive(Debug, Clone, Args)]
pub struct DataDirArgs {
    /// Where the private PostgreSQL keeps its data [default: /var/lib/concurrency-lab as root, else
    /// ~/.local/share/concurrency-lab].
    #[arg(long, env = "LAB_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// Limits of a server; see [`Limits`] for their reasons.
#[derive(Debug, Clone, Args)]
pub struct LimitArgs {
    /// Database connections.
    #[arg(long, env = "LAB_POOL_SIZE", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub pool_size: Option<u32>,

    /// Sessions that may work on one row at once; the others wait in the server. As many as --pool-size: no limit.
    #[arg(long, env = "LAB_ROW_SESSIONS", value_name = "N", value_parser = clap::value_parser!(u32).range(2..=1_000))]
    pub row_sessions: Option<u32>,

    /// Requests that may wait for a row or a connection.
    #[arg(long, env = "LAB_QUEUE", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub queue: Option<u32>,

    /// How long a request may wait for its row and its connection.
    #[arg(long, env = "LAB_QUEUE_WAIT", value_name = "TIME")]
    pub queue_wait: Option<humantime::Duration>,

    /// When a request is answered 504 although its operation still runs.
    #[arg(long, env = "LAB_REQUEST_TIMEOUT", value_name = "TIME")]
    pub request_timeout: Option<humantime::Duration>,

    /// PostgreSQL's `statement_timeout`.
    #[arg(long, env = "LAB_STATEMENT_TIMEOUT", value_name = "TIME")]
    pub statement_timeout: Option<humantime::Duration>,

    /// PostgreSQL's `lock_timeout`.
    #[arg(long, env = "LAB_LOCK_TIMEOUT", value_name = "TIME")]
    pub lock_timeout: Option<humantime::Duration>,

    /// How long an operation that loses races is repeated.
    #[arg(long, env = "LAB_RETRY_DEADLINE", value_name = "TIME")]
    pub retry_deadline: Option<humantime::Duration>,
}

impl LimitArgs {
    /// The options by clap's ids.
    pub const IDS: [&str; 8] = [
        "pool_size",
        "row_sessions",
        "queue",
        "queue_wait",
        "request_timeout",
        "statement_timeout",
        "lock_timeout",
        "retry_deadline",
    ];

    /// The defaults, with what was given instead.
    ///
    /// # Errors
    /// A time of 0, which would not mean "no limit" but "at once".
    pub fn limits(&self) -> Result<Limits, CliError> {
        let default = Limits::default();
        let time = |name: &str, given: Option<humantime::Duration>, default: Duration| match given.map(Duration::from) {
            Some(given) if given < Duration::from_millis(1) || given > Duration::from_hours(24) => {
                Err(CliError::Usage(format!("--{name}: expected a time from 1ms to 24h, found {given:?}")))
            }
            given => Ok(given.unwrap_or(default)),
        };
        let count = |given: Option<u32>, default: usize| given.map_or(default, |given| given as usize);
        let pool_size = count(self.pool_size, default.pool_size);
        Ok(Limits {
            pool_size,
            row_sessions: count(self.row_sessions, default.row_sessions),
            queue: count(self.queue, default.queue),
            queue_wait: time("queue-wait", self.queue_wait, default.queue_wait)?,
            request_timeout: time("request-timeout", self.request_timeout, default.request_timeout)?,
            statement_timeout: time("statement-timeout", self.statement_timeout, default.statement_timeout)?,
            lock_timeout: time("lock-timeout", self.lock_timeout, default.lock_timeout)?,
            retry: RetryPolicy {
                deadline: time("retry-deadline", self.retry_deadline, default.retry.deadline)?,
                ..default.retry
            },
            ..default
        })
    }

    /// The options as given, for a server of one's own in another process.
    pub fn to_arguments(&self) -> Vec<String> {
        let numbers = [("pool-size", self.pool_size), ("row-sessions", self.row_sessions), ("queue", self.queue)];
        let times = [
            ("queue-wait", self.queue_wait),
            ("request-timeout", self.request_timeout),
            ("statement-timeout", self.statement_timeout),
            ("lock-timeout", self.lock_timeout),
            ("retry-deadline", self.retry_deadline),
        ];
        let numbers = numbers.into_iter().filter_map(|(name, value)| Some(format!("--{name}={}", value?)));
        numbers.chain(times.into_iter().filter_map(|(name, value)| Some(format!("--{name}={}", value?)))).collect()
    }
}

/// Parses a seed, naming those that exist.
pub fn seed_parser() -> impl TypedValueParser<Value = Seed> {
    PossibleValuesParser::new(Seed::VARIANTS).map(|name| name.parse().unwrap_or_default())
}

/// Parses an approach by name or alias, naming those that exist.
///
/// # Errors
/// The message for the user.
pub fn approach(name: &str) -> Result<Approach, String> {
    Approach::find(name).ok_or_else(|| format!("there are {}", Approach::VARIANTS.join(", ")))
}
