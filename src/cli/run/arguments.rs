//! The options of `run`, and the check that they fit together.

use std::num::ParseFloatError;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{ArgMatches, Args};
use strum::VariantNames as _;

use super::sweep::{SweepParameter, SweepPlan};
use crate::cli::CliError;
use crate::cli::options::{DatabaseArgs, LimitArgs, given, usage};
use crate::config::THINK_TIME_MAX;
use crate::lab::reports::RunFormat;
use crate::lab::reports::threshold::Threshold;
use crate::lab::scenario::Scenario;

/// The default of `--amount`.
const AMOUNT: i64 = -2;

/// The most clients.
pub const CONCURRENCY_MAX: u32 = 50_000;

/// Options of `run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// The scenario: which requests to send.
    #[arg(default_value = "withdrawal", value_parser = PossibleValuesParser::new(Scenario::VARIANTS).try_map(|name| name.parse::<Scenario>()))]
    pub scenario: Scenario,

    /// The approaches to run, by name or alias.
    #[arg(long, env = "LAB_APPROACH", default_value = "all", value_delimiter = ',', value_name = "NAME,…")]
    pub approach: Vec<String>,

    /// The number of requests in a round [default: 10000; scenario mixed: 600; with --duration: no limit].
    #[arg(long, env = "LAB_REQUESTS", value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub requests: Option<u64>,

    /// How long to send requests, instead of how many; at most 24h.
    #[arg(long, env = "LAB_DURATION", value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,

    /// Send load this long before each round without recording it; the data are reset after it.
    #[arg(long, env = "LAB_WARMUP", value_name = "TIME", value_parser = duration)]
    pub warmup: Option<Duration>,

    /// The number of rounds of each approach; the order of the approaches rotates.
    #[arg(long, env = "LAB_REPEAT", default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub repeat: u32,

    /// The amount that each request of the scenario withdrawal adds to the balance: 0 or less [default: -2].
    #[arg(long, env = "LAB_AMOUNT", allow_negative_numbers = true, value_name = "N", value_parser = clap::value_parser!(i64).range(..=0))]
    pub amount: Option<i64>,

    /// The number of clients, each with one connection and one request in flight.
    #[arg(long, env = "LAB_CONCURRENCY", default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(CONCURRENCY_MAX)))]
    pub concurrency: u32,

    /// Open loop: this many requests are due per second; latency counts from the time when a request was due.
    #[arg(long, env = "LAB_RATE", value_name = "N", value_parser = rate)]
    pub rate: Option<f64>,

    /// The number of rows that the requests are spread over: 1 to 1000 for withdrawal (more than 1: seed bench), 2 to 100 for transfer.
    #[arg(long, env = "LAB_HOT_ROWS", value_name = "N")]
    pub hot_rows: Option<u64>,

    /// Spread the requests by Zipf's law with this exponent instead of evenly; row 1 is the hottest.
    #[arg(long, env = "LAB_ZIPF", value_name = "EXPONENT", value_parser = exponent)]
    pub zipf: Option<f64>,

    /// A pause before each statement that writes, which widens the race; at most 1s.
    #[arg(long, env = "LAB_THINK_TIME", value_name = "TIME", value_parser = think_time)]
    pub think_time: Option<Duration>,

    /// Make the whole run for each value of one parameter: pool-size, concurrency, hot-rows or think-time.
    #[arg(long, env = "LAB_SWEEP", value_name = "PARAMETER=VALUE,…")]
    pub sweep: Option<SweepPlan>,

    /// A condition that every approach that is claimed safe and did not break must meet, such as "p99<50ms", "rate>1000" or "attempts<1.5"; otherwise exit code 4.
    #[arg(long, env = "LAB_THRESHOLD", value_name = "CONDITION", value_delimiter = ',')]
    pub threshold: Vec<Threshold>,

    /// The format of the printed report.
    #[arg(long, env = "LAB_FORMAT", default_value = "table", value_parser = PossibleValuesParser::new(RunFormat::VARIANTS).try_map(|name| name.parse::<RunFormat>()))]
    pub format: RunFormat,

    /// The seed of everything that is chosen at random; the same seed sends the same requests.
    #[arg(long, env = "LAB_RANDOM_SEED", default_value_t = 1, value_name = "N")]
    pub random_seed: u64,

    /// The directory in which the folder of the run is made.
    #[arg(long, env = "LAB_OUT", default_value = "runs", value_name = "DIR")]
    pub out: PathBuf,

    /// A server that runs already, to use instead of starting one; several must be replicas on one database.
    #[arg(long, env = "LAB_TARGET", value_name = "URL", value_delimiter = ',')]
    pub target: Vec<String>,

    /// A routes file, for a --target that is not a concurrency-lab server; see docs/ROUTES.md.
    #[arg(long, env = "LAB_ROUTES", value_name = "FILE", requires = "target")]
    pub routes: Option<PathBuf>,

    /// Print events in JSON instead of the report, as long as standard input is open. For the dashboard.
    #[arg(long, hide = true, conflicts_with_all = ["sweep", "target"])]
    pub events: bool,

    #[command(flatten)]
    pub database: DatabaseArgs,

    #[command(flatten)]
    pub limits: LimitArgs,
}

fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if (Duration::from_millis(1)..=Duration::from_hours(24)).contains(&time) => Ok(time),
        Ok(_) => Err("expected a time from 1ms to 24h".to_owned()),
        Err(error) => Err(format!("expected a time such as 500ms or 10s: {error}")),
    }
}

/// Parses a think time that the header can express.
pub fn think_time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time <= THINK_TIME_MAX && time.subsec_nanos() % 1_000_000 == 0 => Ok(time),
        _ => Err(format!("expected whole milliseconds up to {} ms, such as 5ms", THINK_TIME_MAX.as_millis())),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let expected = |_: ParseFloatError| "expected requests per second, from 0.1 to 1000000".to_owned();
    let rate: f64 = text.parse().map_err(expected)?;
    if (0.1..=1e6).contains(&rate) {
        Ok(rate)
    } else {
        Err("expected requests per second, from 0.1 to 1000000".to_owned())
    }
}

fn exponent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(exponent) if (0.0..=5.0).contains(&exponent) => Ok(exponent),
        _ => Err("expected an exponent from 0 to 5".to_owned()),
    }
}

impl RunArgs {
    /// Refuses options that contradict each other.
    ///
    /// # Errors
    /// [`CliError::Usage`], which names the option.
    pub fn check(&self, matches: Option<&ArgMatches>) -> Result<(), CliError> {
        self.limits.limits()?;
        // In the environment the options may be meant for `serve`; on the command line they can only be a mistake.
        let given = |id: &str| given(matches, id);
        if !self.target.is_empty() {
            if let Some(id) = LimitArgs::IDS.iter().chain(&["database_url", "postgres_bin"]).find(|id| given(id)) {
                let option = id.replace('_', "-");
                return usage(format!("--{option} configures the server that run starts; leave it out with --target"));
            }
            if self.sweep.as_ref().is_some_and(|sweep| sweep.parameter == SweepParameter::PoolSize) {
                return usage(
                    "--sweep pool-size configures the server that run starts; leave it out with --target".to_owned(),
                );
            }
        }
        if self.routes.is_some() && given("approach") {
            return usage(
                "--approach: a service with a routes file has no approaches; leave it out with --routes".to_owned(),
            );
        }
        let scenario = self.scenario;
        if self.amount.is_some() && scenario != Scenario::Withdrawal && given("amount") {
            return usage(format!(
                "--amount: the scenario {scenario} has fixed amounts; only withdrawal takes --amount"
            ));
        }
        let hot_rows = [self.hot_rows.filter(|_| given("hot_rows"))].into_iter().flatten();
        let swept = self.sweep.iter().flat_map(SweepPlan::hot_rows);
        for rows in hot_rows.chain(swept) {
            match scenario.hot_rows() {
                None => {
                    return usage(format!(
                        "--hot-rows: the scenario {scenario} has fixed rows; only withdrawal and transfer take --hot-rows"
                    ));
                }
                Some(range) if !range.contains(&rows) => {
                    let (from, to) = range.into_inner();
                    return usage(format!("--hot-rows: expected {from} to {to} for {scenario}, found {rows}"));
                }
                Some(_) => {}
            }
        }
        if self.zipf.is_some() && scenario.hot_rows().is_none() && given("zipf") {
            return usage(format!(
                "--zipf: the scenario {scenario} has fixed rows; only withdrawal and transfer take --zipf"
            ));
        }
        Ok(())
    }

    /// The amount that a withdrawal adds.
    pub fn amount(&self) -> i64 {
        self.amount.unwrap_or(AMOUNT)
    }

    /// The number of requests in a round; `None` if only a duration is given.
    pub fn requests(&self, scenario: Scenario) -> Option<u64> {
        self.requests.or_else(|| self.duration.is_none().then(|| scenario.default_requests()))
    }

    /// The number of rows that the requests are spread over.
    pub fn hot_rows(&self, scenario: Scenario) -> u64 {
        let asked = self.hot_rows.filter(|rows| scenario.hot_rows().is_some_and(|range| range.contains(rows)));
        asked.unwrap_or_else(|| scenario.default_hot_rows())
    }
}
