//! Options that several commands share: those that choose a database and shape a server.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, RangedU64ValueParser, TypedValueParser};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args};
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

impl DatabaseArgs {
    /// The database given, if any. An empty variable, as compose files have them, is none.
    pub fn url(&self) -> Option<&str> {
        self.database_url.as_deref().filter(|url| !url.is_empty())
    }
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
    /// Database connections; at least 2, or no two sessions could race.
    #[arg(long, env = "LAB_POOL_SIZE", default_value = "32", value_name = "N", value_parser = count(2, 1_000))]
    pub pool_size: u64,

    /// Sessions that may work on one row at once; the others wait in the server. As many as --pool-size: no limit.
    #[arg(long, env = "LAB_ROW_SESSIONS", default_value = "4", value_name = "N", value_parser = count(2, 1_000))]
    pub row_sessions: u64,

    /// Requests that may wait for a row or a connection.
    #[arg(long, env = "LAB_QUEUE", default_value = "20000", value_name = "N", value_parser = count(1, 1_000_000))]
    pub queue: u64,

    /// How long a request may wait for its row and its connection.
    #[arg(long, env = "LAB_QUEUE_WAIT", default_value = "2m", value_name = "TIME", value_parser = time)]
    pub queue_wait: Duration,

    /// When a request is answered 504 although its operation still runs.
    #[arg(long, env = "LAB_REQUEST_TIMEOUT", default_value = "3m", value_name = "TIME", value_parser = time)]
    pub request_timeout: Duration,

    /// PostgreSQL's `statement_timeout`.
    #[arg(long, env = "LAB_STATEMENT_TIMEOUT", default_value = "10s", value_name = "TIME", value_parser = time)]
    pub statement_timeout: Duration,

    /// PostgreSQL's `lock_timeout`.
    #[arg(long, env = "LAB_LOCK_TIMEOUT", default_value = "8s", value_name = "TIME", value_parser = time)]
    pub lock_timeout: Duration,

    /// How long an operation that loses races is repeated.
    #[arg(long, env = "LAB_RETRY_DEADLINE", default_value = "10s", value_name = "TIME", value_parser = time)]
    pub retry_deadline: Duration,

    /// How long an Idempotency-Key is remembered.
    #[arg(long, env = "LAB_IDEMPOTENCY_TTL", default_value = "24h", value_name = "TIME", value_parser = time)]
    pub idempotency_ttl: Duration,
}

impl LimitArgs {
    /// The options by clap's ids.
    pub const IDS: [&str; 9] = [
        "pool_size",
        "row_sessions",
        "queue",
        "queue_wait",
        "request_timeout",
        "statement_timeout",
        "lock_timeout",
        "retry_deadline",
        "idempotency_ttl",
    ];

    /// The limits as given, and the others as they are by default.
    ///
    /// # Errors
    /// A request timeout that would answer 504 to a request that only waited.
    pub fn limits(&self) -> Result<Limits, CliError> {
        if self.request_timeout <= self.queue_wait + self.retry_deadline {
            return Err(CliError::Usage(format!(
                "--request-timeout: expected more than --queue-wait and --retry-deadline together ({:?}), found {:?}",
                self.queue_wait + self.retry_deadline,
                self.request_timeout
            )));
        }
        // Its bounds were checked when it was parsed.
        let count = |given: u64| usize::try_from(given).unwrap_or(usize::MAX);
        let default = Limits::default();
        Ok(Limits {
            pool_size: count(self.pool_size),
            row_sessions: count(self.row_sessions),
            queue: count(self.queue),
            queue_wait: self.queue_wait,
            request_timeout: self.request_timeout,
            statement_timeout: self.statement_timeout,
            lock_timeout: self.lock_timeout,
            retry: RetryPolicy { deadline: self.retry_deadline, ..default.retry },
            idempotency_ttl: self.idempotency_ttl,
            ..default
        })
    }

    /// The options, for a server of one's own in another process.
    pub fn to_arguments(&self) -> Vec<String> {
        let time = |time: Duration| humantime::format_duration(time).to_string();
        let values = [
            self.pool_size.to_string(),
            self.row_sessions.to_string(),
            self.queue.to_string(),
            time(self.queue_wait),
            time(self.request_timeout),
            time(self.statement_timeout),
            time(self.lock_timeout),
            time(self.retry_deadline),
            time(self.idempotency_ttl),
        ];
        Self::IDS.iter().zip(values).map(|(id, value)| format!("--{}={value}", id.replace('_', "-"))).collect()
    }
}

fn count(min: u64, max: u64) -> RangedU64ValueParser {
    RangedU64ValueParser::new().range(min..=max)
}

/// Parses a time such as `5s`. Not 0: for PostgreSQL that would mean "no limit", and for us "at once".
fn time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if (Duration::from_millis(1)..=Duration::from_hours(24)).contains(&time) => Ok(time),
        Ok(_) => Err("expected a time from 1ms to 24h".to_owned()),
        Err(error) => Err(format!("expected a time such as 500ms or 10s: {error}")),
    }
}

/// Parses a seed, naming those that exist.
pub fn seed_parser() -> impl TypedValueParser<Value = Seed> {
    PossibleValuesParser::new(Seed::VARIANTS).map(|name| name.parse().unwrap_or_default())
}

/// Whether an option stands on the command line itself, and not only in the environment.
#[must_use]
pub fn given(matches: Option<&ArgMatches>, id: &str) -> bool {
    matches.is_some_and(|matches| matches.value_source(id) == Some(ValueSource::CommandLine))
}

/// Refuses what cannot be meant.
///
/// # Errors
/// Always: [`CliError::Usage`].
pub fn usage<T>(message: String) -> Result<T, CliError> {
    Err(CliError::Usage(message))
}

/// Parses an approach by name or alias, naming those that exist.
///
/// # Errors
/// The message for the user.
pub fn approach(name: &str) -> Result<Approach, String> {
    Approach::find(name).ok_or_else(|| format!("there are {}", Approach::VARIANTS.join(", ")))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct OnlyLimits {
        #[command(flatten)]
        limits: LimitArgs,
    }

    #[test]
    fn the_options_default_to_the_limits_defaults() {
        let given = OnlyLimits::parse_from(["test"]).limits;
        assert_eq!(given.limits().unwrap(), Limits::default());
    }

    #[test]
    fn a_request_timeout_within_the_queues_wait_is_refused() {
        let given = OnlyLimits::parse_from(["test", "--queue-wait=175s"]).limits;
        assert!(matches!(given.limits(), Err(CliError::Usage(_))));
    }

    #[test]
    fn options_passed_on_to_another_process_come_out_the_same() {
        let given =
            OnlyLimits::parse_from(["test", "--pool-size=7", "--queue-wait=1500ms", "--lock-timeout=90s"]).limits;
        let passed_on = std::iter::once("test".to_owned()).chain(given.to_arguments());
        assert_eq!(OnlyLimits::parse_from(passed_on).limits.limits().unwrap(), given.limits().unwrap());
    }
}
