//! Options of several commands: the database, and the limits of a server.

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
use private_postgres::PostgresError;

/// The database.
#[derive(Debug, Clone, Args)]
pub struct DatabaseArgs {
    /// The PostgreSQL to use; the lab works in a schema of its own there. Without it, a private PostgreSQL is started.
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,

    /// The directory of PostgreSQL's programs. Without it, the usual places are searched.
    #[arg(long, env = "LAB_POSTGRES_BIN", value_name = "DIR")]
    pub postgres_bin: Option<PathBuf>,
}

impl DatabaseArgs {
    /// The URL of the database, if there is one. An empty variable, as in compose files, counts as none.
    pub fn url(&self) -> Option<&str> {
        self.database_url.as_deref().filter(|url| !url.is_empty())
    }
}

/// The data directory of the private PostgreSQL.
#[derive(Debug, Clone, Args)]
pub struct DataDirArgs {
    /// The directory for the data of the private PostgreSQL [default: /var/lib/concurrency-lab as root, else
    /// ~/.local/share/concurrency-lab].
    #[arg(long, env = "LAB_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

impl DataDirArgs {
    /// The directory that is given, or the default.
    pub fn path(&self) -> Result<PathBuf, PostgresError> {
        self.data_dir.clone().map_or_else(private_postgres::default_data_dir, Ok)
    }
}

/// The limits of a server; [`Limits`] has their reasons.
#[derive(Debug, Clone, Args)]
pub struct LimitArgs {
    /// Database connections. At least 2: with one, no two sessions run at the same time.
    #[arg(long, env = "LAB_POOL_SIZE", default_value = "32", value_name = "N", value_parser = count(2, 1_000))]
    pub pool_size: u64,

    /// Sessions that may work on one row at the same time; the others wait in the server. The value of --pool-size is no
    /// limit.
    #[arg(long, env = "LAB_ROW_SESSIONS", default_value = "4", value_name = "N", value_parser = count(2, 1_000))]
    pub row_sessions: u64,

    /// Requests that may wait for a row or a connection. Further ones are answered 503.
    #[arg(long, env = "LAB_QUEUE", default_value = "20000", value_name = "N", value_parser = count(1, 1_000_000))]
    pub queue: u64,

    /// How long a request may wait for its row and its connection. After that it is answered 503.
    #[arg(long, env = "LAB_QUEUE_WAIT", default_value = "2m", value_name = "TIME", value_parser = time)]
    pub queue_wait: Duration,

    /// How long a request may take. After that it is answered 504; its operation runs on.
    #[arg(long, env = "LAB_REQUEST_TIMEOUT", default_value = "3m", value_name = "TIME", value_parser = time)]
    pub request_timeout: Duration,

    /// PostgreSQL's `statement_timeout`.
    #[arg(long, env = "LAB_STATEMENT_TIMEOUT", default_value = "10s", value_name = "TIME", value_parser = time)]
    pub statement_timeout: Duration,

    /// PostgreSQL's `lock_timeout`.
    #[arg(long, env = "LAB_LOCK_TIMEOUT", default_value = "8s", value_name = "TIME", value_parser = time)]
    pub lock_timeout: Duration,

    /// How long an operation is retried after conflicts. After that it is answered 503.
    #[arg(long, env = "LAB_RETRY_DEADLINE", default_value = "10s", value_name = "TIME", value_parser = time)]
    pub retry_deadline: Duration,

    /// How long the server stores the answer of an Idempotency-Key.
    #[arg(long, env = "LAB_IDEMPOTENCY_TTL", default_value = "24h", value_name = "TIME", value_parser = time)]
    pub idempotency_ttl: Duration,
}

impl LimitArgs {
    /// The ids of the options in clap.
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

    /// The limits of these options; the other limits have their defaults.
    ///
    /// # Errors
    /// When the request timeout is so short that a request which only waits gets a 504.
    pub fn limits(&self) -> Result<Limits, CliError> {
        if self.request_timeout <= self.queue_wait + self.retry_deadline {
            return Err(CliError::Usage(format!(
                "--request-timeout must be longer than --queue-wait and --retry-deadline together ({:?}), but is {:?}",
                self.queue_wait + self.retry_deadline,
                self.request_timeout
            )));
        }
        // The parser has checked the bounds.
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

    /// The same options as arguments, for a server in another process.
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

/// Parses a time such as `5s`. 0 is refused: PostgreSQL takes it as "no limit", and the lab as "at once".
fn time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if (Duration::from_millis(1)..=Duration::from_hours(24)).contains(&time) => Ok(time),
        Ok(_) => Err("expected a time from 1ms to 24h".to_owned()),
        Err(error) => Err(format!("expected a time such as 500ms or 10s: {error}")),
    }
}

/// Parses the name of a seed; the error lists the names.
pub fn seed_parser() -> impl TypedValueParser<Value = Seed> {
    PossibleValuesParser::new(Seed::VARIANTS).map(|name| name.parse().unwrap_or_default())
}

/// Whether an option is on the command line itself, and not only in the environment.
#[must_use]
pub fn given(matches: Option<&ArgMatches>, id: &str) -> bool {
    matches.is_some_and(|matches| matches.value_source(id) == Some(ValueSource::CommandLine))
}

/// Refuses arguments that make no sense.
///
/// # Errors
/// Always: [`CliError::Usage`].
pub fn usage<T>(message: String) -> Result<T, CliError> {
    Err(CliError::Usage(message))
}

/// Parses the name or an alias of an approach; the error lists the names.
///
/// # Errors
/// The message for the user.
pub fn approach(name: &str) -> Result<Approach, String> {
    Approach::find(name)
        .ok_or_else(|| format!("no approach has this name; the approaches are {}", Approach::VARIANTS.join(", ")))
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
    fn the_defaults_of_the_options_are_the_default_limits() {
        let given = OnlyLimits::parse_from(["test"]).limits;
        assert_eq!(given.limits().unwrap(), Limits::default());
    }

    #[test]
    fn a_request_timeout_shorter_than_the_queue_wait_is_refused() {
        let given = OnlyLimits::parse_from(["test", "--queue-wait=175s"]).limits;
        assert!(matches!(given.limits(), Err(CliError::Usage(_))));
    }

    #[test]
    fn options_passed_to_another_process_stay_the_same() {
        let given =
            OnlyLimits::parse_from(["test", "--pool-size=7", "--queue-wait=1500ms", "--lock-timeout=90s"]).limits;
        let passed_on = std::iter::once("test".to_owned()).chain(given.to_arguments());
        assert_eq!(OnlyLimits::parse_from(passed_on).limits.limits().unwrap(), given.limits().unwrap());
    }
}
