//! `concurrency-lab run`.

use std::fs::{self, File};
use std::io::{BufWriter, ErrorKind, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args};
use hyper::Method;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use strum::VariantNames as _;
use tokio::process::Command;

use super::CliError;
use super::options::{DatabaseArgs, LimitArgs};
use crate::config::THINK_TIME_MAX;
use crate::lab::load::{self, Load, Plan};
use crate::lab::referee::{History, State, judge};
use crate::lab::report::{self, Row, Verdict};
use crate::lab::responses_log;
use crate::lab::scenario::Scenario;
use crate::lab::target::{ClaimFound, Entry, OwnServer, Target, TargetError};

/// The user that the scenario withdraws from.
const USER: i64 = 1;

/// How often the progress bar moves.
const PROGRESS_TICK: Duration = Duration::from_millis(100);

/// Options of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// What to send.
    #[arg(default_value = "withdrawal", value_parser = clap::builder::PossibleValuesParser::new(Scenario::VARIANTS))]
    scenario: String,

    /// Which approaches, by name or alias.
    #[arg(long, env = "LAB_APPROACH", default_value = "all", value_delimiter = ',', value_name = "NAME,…")]
    approach: Vec<String>,

    /// How many requests to each approach.
    #[arg(long, env = "LAB_REQUESTS", default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    requests: u64,

    /// What each request adds to the balance: 0 or less.
    #[arg(long, env = "LAB_AMOUNT", default_value_t = -2, allow_negative_numbers = true, value_name = "N", value_parser = clap::value_parser!(i64).range(..=0))]
    amount: i64,

    /// How many clients, each with one connection and one request in flight.
    #[arg(long, env = "LAB_CONCURRENCY", default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=50_000))]
    concurrency: u32,

    /// A pause before each statement that writes, to widen the race; at most 1s.
    #[arg(long, env = "LAB_THINK_TIME", value_name = "TIME")]
    think_time: Option<humantime::Duration>,

    /// Where the run's folder is made.
    #[arg(long, env = "LAB_OUT", default_value = "runs", value_name = "DIR")]
    out: PathBuf,

    /// A server to race instead of one of our own; several are raced as replicas of one.
    #[arg(long, env = "LAB_TARGET", value_name = "URL", value_delimiter = ',')]
    target: Vec<String>,

    #[command(flatten)]
    database: DatabaseArgs,

    #[command(flatten)]
    limits: LimitArgs,
}

impl From<TargetError> for CliError {
    fn from(error: TargetError) -> Self {
        match error {
            TargetError::Url { .. } => Self::Usage(error.to_string()),
            other => Self::Environment(other.to_string()),
        }
    }
}

/// Races the approaches and prints the verdicts.
///
/// # Errors
/// [`CliError::ClaimFailed`] when a safe approach broke.
pub async fn run(arguments: RunArgs, matches: Option<&ArgMatches>) -> Result<(), CliError> {
    arguments.limits.limits()?;
    check(&arguments, matches)?;
    let targets = arguments.target.iter().map(|url| Target::parse(url)).collect::<Result<Vec<_>, _>>()?;
    if !targets.is_empty() {
        return race_all(&arguments, &targets).await;
    }
    let server = OwnServer::start(server_command(&arguments)?).await?;
    let raced = tokio::select! {
        raced = race_all(&arguments, std::slice::from_ref(&server.target)) => raced,
        _ = tokio::signal::ctrl_c() => Err(CliError::Environment("interrupted; the server is stopped".to_owned())),
    };
    // What the race found matters more than how its server went.
    let stopped = server.stop().await;
    raced.and(stopped.map_err(CliError::from))
}

fn check(arguments: &RunArgs, matches: Option<&ArgMatches>) -> Result<(), CliError> {
    let think_time = arguments.think_time.map(Duration::from);
    if think_time.is_some_and(|pause| pause > THINK_TIME_MAX || pause.subsec_nanos() % 1_000_000 != 0) {
        return Err(CliError::Usage(format!(
            "--think-time: expected whole milliseconds up to {} ms, found {think_time:?}",
            THINK_TIME_MAX.as_millis()
        )));
    }
    // From the environment they may be meant for `serve`; on the command line they can only be a mistake.
    let given = |id: &str| matches.is_some_and(|matches| matches.value_source(id) == Some(ValueSource::CommandLine));
    if !arguments.target.is_empty()
        && let Some(id) = LimitArgs::IDS.iter().chain(&["database_url", "postgres_bin"]).find(|id| given(id))
    {
        let option = id.replace('_', "-");
        return Err(CliError::Usage(format!("--{option} shapes a server of our own; it cannot go with --target")));
    }
    Ok(())
}

/// Our own server runs on the given database, or on one that is gone afterwards. The URL goes by the environment:
/// everybody on the machine may read a command line.
fn server_command(arguments: &RunArgs) -> Result<Command, CliError> {
    let program = std::env::current_exe().map_err(|error| CliError::Environment(error.to_string()))?;
    let mut server = Command::new(program);
    server.arg("serve").arg("--listen=127.0.0.1:0").args(arguments.limits.to_arguments());
    match arguments.database.url() {
        Some(url) => server.env("DATABASE_URL", url),
        None => server.arg("--temporary").env_remove("DATABASE_URL").env_remove("LAB_DATA_DIR"),
    };
    if let Some(bin) = &arguments.database.postgres_bin {
        server.arg("--postgres-bin").arg(bin);
    }
    Ok(server)
}

async fn race_all(arguments: &RunArgs, targets: &[Target]) -> Result<(), CliError> {
    let scenario: Scenario = arguments.scenario.parse().map_err(|_| CliError::Usage("unknown scenario".to_owned()))?;
    let first = &targets[0];
    let entries = choose(&arguments.approach, first.approaches().await?)?;
    let folder = make_folder(&arguments.out)?;
    let path = folder.join("responses.log");
    let cannot_write =
        |error: std::io::Error| CliError::Environment(format!("cannot write {}: {error}", path.display()));
    let mut log = BufWriter::new(File::create(&path).map_err(cannot_write)?);

    let mut rows = Vec::with_capacity(entries.len());
    for entry in &entries {
        let row = race(arguments, scenario, targets, entry).await?;
        responses_log::write(&mut log, &row.approach, &row.load.answers).map_err(cannot_write)?;
        rows.push(row);
    }
    log.flush().map_err(cannot_write)?;

    print_lines(
        std::iter::once(report::table(&rows))
            .chain(report::findings(&rows))
            .chain([format!("distinct answers: {}", path.display())]),
    )?;
    verdict(&rows)
}

/// Writes to standard output; whoever reads only the first lines of it (`| head`) is no error.
fn print_lines(lines: impl Iterator<Item = String>) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    for line in lines {
        match writeln!(out, "{line}") {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(CliError::Environment(format!("cannot write to standard output: {error}"))),
            Ok(()) => {}
        }
    }
    Ok(())
}

fn verdict(rows: &[Row]) -> Result<(), CliError> {
    let with = |verdict| {
        let names = rows.iter().filter(|row| row.verdict == verdict).map(|row| row.approach.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    let (failed, without_evidence) = (with(Verdict::ClaimFailed), with(Verdict::NoEvidence));
    if !failed.is_empty() {
        return Err(CliError::ClaimFailed(format!("claimed safe, but broken: {failed}")));
    }
    if !without_evidence.is_empty() {
        return Err(CliError::Environment(format!(
            "no request was accepted or refused, so nothing is proved: {without_evidence}"
        )));
    }
    Ok(())
}

/// The approaches asked for, in the order of the target.
fn choose(wanted: &[String], offered: Vec<Entry>) -> Result<Vec<Entry>, CliError> {
    let supported: Vec<Entry> =
        offered.into_iter().filter(|entry| entry.claims.balance != ClaimFound::Unsupported).collect();
    if wanted.iter().any(|name| name == "all") {
        return Ok(supported);
    }
    let matches = |entry: &Entry, name: &String| entry.name == *name || entry.aliases.contains(name);
    if let Some(unknown) = wanted.iter().find(|name| !supported.iter().any(|entry| matches(entry, name))) {
        let names: Vec<&str> = supported.iter().map(|entry| entry.name.as_str()).collect();
        return Err(CliError::Usage(format!(
            "--approach: {unknown:?} is unknown; there are all, {}",
            names.join(", ")
        )));
    }
    Ok(supported.into_iter().filter(|entry| wanted.iter().any(|name| matches(entry, name))).collect())
}

async fn race(arguments: &RunArgs, scenario: Scenario, targets: &[Target], entry: &Entry) -> Result<Row, CliError> {
    let target = &targets[0];
    let seed: &str = scenario.seed().into();
    target.ask(Method::POST, &format!("/approach/{}/reset", entry.name), &format!(r#"{{"seed":"{seed}"}}"#)).await?;
    let before = read_state(target, entry).await?;
    let plan = Plan {
        targets: targets.iter().map(|target| (target.address, target.host.clone())).collect(),
        method: Method::PATCH,
        path: format!("{}/approach/{}/balance", target.base, entry.name),
        body: Bytes::from(format!(r#"{{"userId":{USER},"amount":{}}}"#, arguments.amount)),
        requests: arguments.requests,
        concurrency: arguments.concurrency as usize,
        think_time: arguments.think_time.map(Into::into),
    };
    let load = with_progress(&entry.name, plan).await?;
    let after = read_state(target, entry).await?;
    let history = History { before, amount: arguments.amount, heard: load.heard.clone(), after };
    let judgement = judge(&history);
    Ok(Row {
        approach: entry.name.clone(),
        verdict: Verdict::of(&judgement, entry.claims.balance, targets.len()),
        judgement,
        final_balance: after.balance,
        load,
    })
}

async fn read_state(target: &Target, entry: &Entry) -> Result<State, TargetError> {
    #[derive(Deserialize)]
    struct Balance {
        balance: i64,
    }
    let (Balance { balance }, answer) = target.read(&format!("/approach/{}/balance/{USER}", entry.name)).await?;
    Ok(State { balance, version: answer.number("etag") })
}

/// A bar on a terminal, nothing elsewhere.
async fn with_progress(name: &str, plan: Plan) -> Result<Load, CliError> {
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new(plan.requests) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{msg:>20} {bar:40} {pos}/{len} {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message(name.to_owned());
    let answered = Arc::new(AtomicU64::new(0));
    let mut load = std::pin::pin!(load::run(plan, Arc::clone(&answered)));
    let mut tick = tokio::time::interval(PROGRESS_TICK);
    let load = loop {
        tokio::select! {
            load = &mut load => break load,
            _ = tick.tick() => bar.set_position(answered.load(Ordering::Relaxed)),
        }
    };
    bar.finish_and_clear();
    load.map_err(|error| CliError::Environment(error.to_string()))
}

/// A folder of this run's own: the time it started, and the process, in case two start in one second.
fn make_folder(out: &Path) -> Result<PathBuf, CliError> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
    let folder = out.join(format!("{seconds}-{}", std::process::id()));
    fs::create_dir_all(&folder)
        .map_err(|error| CliError::Environment(format!("cannot create {}: {error}", folder.display())))?;
    Ok(folder)
}
