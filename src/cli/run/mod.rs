//! `concurrency-lab run`.

mod arguments;
mod progress;
mod provenance;
mod sweep;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use clap::ArgMatches;
use clap::parser::ValueSource;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub use arguments::RunArgs;

use super::CliError;
use super::feed::{EventWriter, RunEvents};
use super::output::{make_folder, print, tell, write};
use crate::lab::experiment::{Experiment, RunError, RunObserver};
use crate::lab::plan::{Contestant, RunConditions};
use crate::lab::reports::threshold::{Threshold, Thresholds};
use crate::lab::reports::{self, RunFormat};
use crate::lab::results::{self, ApproachResult, FORMAT, Run, RunVerdict, ServerEnvironment};
use crate::lab::routes::ServiceRoutes;
use crate::lab::scenario::{Scenario, ScenarioWork};
use crate::lab::target::{OwnServer, Target, TargetApproach, TargetError, own_program};
use crate::strategy::Approach;
use progress::RunProgress;
use referee::history::ClaimedSafety;
use sweep::{SweepParameter, SweepPlan};

impl From<TargetError> for CliError {
    fn from(error: TargetError) -> Self {
        match error {
            TargetError::Url { .. } => Self::Usage(error.to_string()),
            other => Self::Environment(other.to_string()),
        }
    }
}

impl From<RunError> for CliError {
    fn from(error: RunError) -> Self {
        Self::Environment(error.to_string())
    }
}

/// Runs the approaches, judges them, and writes the folder of the run.
///
/// # Errors
/// [`CliError::ClaimFailed`] if a safe approach broke, [`CliError::Threshold`] if an approach missed a threshold.
pub async fn run(arguments: RunArgs, matches: Option<&ArgMatches>) -> Result<(), CliError> {
    arguments.check(matches)?;
    let scenario = arguments.scenario;
    let targets = arguments.target.iter().map(|url| Target::parse(url)).collect::<Result<Vec<_>, _>>()?;
    let routes = arguments.routes.as_deref().map(ServiceRoutes::read).transpose();
    let routes = routes.map_err(|error| CliError::Usage(error.to_string()))?.map(Arc::new);
    let began = (Instant::now(), SystemTime::now());
    let mut raced = RaceResults { results: Vec::new(), server: None, not_offered: Vec::new(), folder: PathBuf::new() };
    let stop = CancellationToken::new();
    let _listening =
        AbortOnDropHandle::new(tokio::spawn(super::signals::stop_on_signals(stop.clone(), arguments.events)));

    let rows_given = matches.is_some_and(|matches| {
        matches.value_source("row_sessions").is_some_and(|source| source != ValueSource::DefaultValue)
    });
    let ended = race_points(&arguments, rows_given, &targets, routes.as_ref(), &stop, &mut raced).await;
    if raced.results.is_empty() {
        return ended.and_then(|()| {
            Err(CliError::Environment("interrupted before the first round ended; there is no result".to_owned()))
        });
    }
    let run = Run {
        format: FORMAT,
        scenario: scenario.to_string(),
        started: humantime::format_rfc3339_seconds(began.1).to_string(),
        elapsed_s: began.0.elapsed().as_secs_f64(),
        interrupted: stop.is_cancelled() || ended.is_err(),
        environment: provenance::environment(&arguments, raced.server.clone()),
        settings: provenance::settings(&arguments, scenario),
        sweep: arguments
            .sweep
            .as_ref()
            .map(|sweep| results::Sweep { parameter: sweep.parameter.to_string(), values: sweep.values() }),
        not_offered: raced.not_offered,
        results: raced.results,
    };
    save(&raced.folder, &run)?;
    if arguments.events {
        EventWriter::saved(&raced.folder);
    } else {
        let text = reports::render(arguments.format, &run).map_err(|error| CliError::Environment(error.to_string()))?;
        print(&text)?;
        tell(&format!("report: {}", raced.folder.join("report.html").display()));
    }
    // A failed claim is reported before an error that ended the run.
    verdict(&run)?;
    ended?;
    meets(&arguments.threshold, &run)
}

/// The results of all points of a sweep, or of the one run.
struct RaceResults {
    results: Vec<ApproachResult>,
    server: Option<ServerEnvironment>,
    not_offered: Vec<String>,
    folder: PathBuf,
}

/// Makes the run at each point of the sweep, or once.
async fn race_points(
    arguments: &RunArgs,
    rows_given: bool,
    targets: &[Target],
    routes: Option<&Arc<ServiceRoutes>>,
    stop: &CancellationToken,
    raced: &mut RaceResults,
) -> Result<(), CliError> {
    let points = match &arguments.sweep {
        None => vec![(None, arguments.clone())],
        Some(sweep) => {
            sweep.points(arguments, rows_given).into_iter().map(|(value, options)| (Some(value), options)).collect()
        }
    };
    let restarts = arguments.sweep.as_ref().is_some_and(|sweep| sweep.parameter == SweepParameter::PoolSize);
    let parameter = arguments.sweep.as_ref().map(|sweep: &SweepPlan| sweep.parameter.to_string());
    let mut experiment = None;
    let mut own: Option<OwnServer> = None;
    let mut ended = Ok(());
    for (value, options) in &points {
        let point = parameter.as_deref().zip(value.as_deref());
        if targets.is_empty() && (own.is_none() || restarts) {
            if let Some(server) = own.take() {
                server.stop().await?;
            }
            own = Some(tokio::select! {
                started = OwnServer::start(server_command(options)?) => started?,
                () = stop.cancelled() => break,
            });
        }
        let here = own.as_ref().map_or(targets, |server| std::slice::from_ref(&server.target));
        ended = race(options, here, routes, point, stop, &mut experiment, raced).await;
        if ended.is_err() || stop.is_cancelled() {
            break;
        }
    }
    // An error of the run is reported before one of its server.
    let stopped = match own {
        Some(server) => server.stop().await.map_err(CliError::from),
        None => Ok(()),
    };
    ended.and(stopped)
}

async fn race(
    options: &RunArgs,
    targets: &[Target],
    routes: Option<&Arc<ServiceRoutes>>,
    point: Option<(&str, &str)>,
    stop: &CancellationToken,
    experiment: &mut Option<Experiment>,
    raced: &mut RaceResults,
) -> Result<(), CliError> {
    let conditions = conditions(options);
    let contestants = if let Some(routes) = routes {
        vec![foreign_contestant(options, &conditions, routes)?]
    } else {
        let offered = targets[0].approaches().await?;
        raced.server = targets[0].environment().await;
        if options.think_time.is_some() && raced.server.as_ref().is_some_and(|server| !server.lab_headers) {
            return Err(CliError::Usage(
                "--think-time: the target ignores the header for it; start the target with serve --lab-headers"
                    .to_owned(),
            ));
        }
        raced.not_offered = not_offered(&options.approach, &offered, conditions.work.scenario());
        contestants(&options.approach, offered, conditions.work.scenario())?
    };
    let experiment = if let Some(experiment) = experiment {
        experiment
    } else {
        // Only now, so that a run that cannot begin leaves no folder.
        raced.folder = make_folder(&options.out)?;
        let observer: Arc<dyn RunObserver> = if options.events {
            Arc::new(RunEvents::new(&targets[0], &contestants, conditions.repeat, &raced.not_offered))
        } else {
            Arc::new(RunProgress::new())
        };
        experiment.insert(Experiment::new(&raced.folder, stop.clone(), observer)?)
    };
    Ok(experiment.race(&conditions, targets, &contestants, point, &mut raced.results).await?)
}

fn conditions(options: &RunArgs) -> RunConditions {
    let scenario = options.scenario;
    let work = ScenarioWork::new(
        scenario,
        options.amount(),
        options.hot_rows(scenario),
        options.zipf.filter(|_| scenario.hot_rows().is_some()),
        options.random_seed,
    );
    RunConditions {
        work: Arc::new(work),
        requests: options.requests(scenario),
        duration: options.duration,
        warmup: options.warmup.unwrap_or_default(),
        repeat: options.repeat,
        concurrency: options.concurrency,
        rate_per_s: options.rate,
        think_time: options.think_time,
    }
}

/// The approaches that do not offer a scenario, with `--approach all`.
fn not_offered(wanted: &[String], offered: &[TargetApproach], scenario: Scenario) -> Vec<String> {
    let lacks = |entry: &&TargetApproach| entry.claims.of(scenario.workload()) == ClaimedSafety::Unsupported;
    let all = wanted.iter().any(|name| name == "all");
    offered.iter().filter(lacks).filter(|_| all).map(|entry| entry.name.clone()).collect()
}

/// The chosen approaches that offer this scenario, in the order of the target.
fn contestants(
    wanted: &[String],
    offered: Vec<TargetApproach>,
    scenario: Scenario,
) -> Result<Vec<Contestant>, CliError> {
    let workload = scenario.workload();
    let supports = |entry: &TargetApproach| entry.claims.of(workload) != ClaimedSafety::Unsupported;
    let matches = |entry: &TargetApproach, name: &String| entry.name == *name || entry.aliases.contains(name);
    let all = wanted.iter().any(|name| name == "all");
    let names = |entries: &mut dyn Iterator<Item = &TargetApproach>| {
        entries.map(|entry| entry.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    for name in wanted.iter().filter(|name| *name != "all") {
        match offered.iter().find(|entry| matches(entry, name)) {
            None => {
                let there = names(&mut offered.iter());
                return Err(CliError::Usage(format!("--approach: unknown approach {name:?}; expected all, {there}")));
            }
            Some(entry) if !supports(entry) => {
                let there = names(&mut offered.iter().filter(|entry| supports(entry)));
                return Err(CliError::Usage(format!(
                    "--approach: {} does not offer {scenario}; those that do are {there}",
                    entry.name
                )));
            }
            Some(_) => {}
        }
    }
    let routes = Arc::new(ServiceRoutes::ours());
    let chosen = offered
        .into_iter()
        .filter(|entry| supports(entry) && (all || wanted.iter().any(|name| matches(entry, name))))
        .map(|entry| Contestant {
            claim: entry.claims.of(workload),
            base: format!("/approach/{}", entry.name),
            routes: Arc::clone(&routes),
            // A traced request of such an approach would be a batch of its own.
            trace: Approach::find(&entry.name).is_some_and(|approach| !approach.info().batches),
            name: entry.name,
        });
    Ok(chosen.collect())
}

/// A service with a routes file.
fn foreign_contestant(
    options: &RunArgs,
    conditions: &RunConditions,
    routes: &Arc<ServiceRoutes>,
) -> Result<Contestant, CliError> {
    let scenario = conditions.work.scenario();
    if conditions.work.examples().iter().any(|request| routes.of(request).is_none()) {
        return Err(CliError::Usage(format!("--routes: {} has no route for the scenario {scenario}", routes.name)));
    }
    if routes.reset.is_none() && (options.repeat > 1 || options.warmup.is_some() || options.sweep.is_some()) {
        return Err(CliError::Usage(
            "--routes: the file has no [reset], so only one round is possible; leave out --repeat, --warmup and --sweep".to_owned(),
        ));
    }
    if options.think_time.is_some() {
        return Err(CliError::Usage(
            "--think-time: a service with a routes file does not know the header for it".to_owned(),
        ));
    }
    Ok(Contestant {
        name: routes.name.clone(),
        claim: routes.claim,
        base: String::new(),
        routes: Arc::clone(routes),
        trace: false,
    })
}

/// The server of this run uses the given database, or a temporary one. It gets the URL by the environment, because every
/// user of the machine can read a command line.
fn server_command(arguments: &RunArgs) -> Result<Command, CliError> {
    let program = own_program().map_err(|error| CliError::Environment(error.to_string()))?;
    let mut server = Command::new(program);
    server.arg("serve").arg("--listen=127.0.0.1:0").args(arguments.limits.to_arguments());
    match arguments.database.url() {
        Some(url) => server.arg("--attached").env("DATABASE_URL", url),
        None => server.arg("--temporary").env_remove("DATABASE_URL").env_remove("LAB_DATA_DIR"),
    };
    if let Some(bin) = &arguments.database.postgres_bin {
        server.arg("--postgres-bin").arg(bin);
    }
    Ok(server)
}

/// Writes run.json and report.html.
fn save(folder: &Path, run: &Run) -> Result<(), CliError> {
    let json = reports::render(RunFormat::Json, run).map_err(|error| CliError::Environment(error.to_string()))?;
    for (name, text) in [("run.json", json), ("report.html", reports::html::page(run))] {
        write(&folder.join(name), &text)?;
    }
    Ok(())
}

fn verdict(run: &Run) -> Result<(), CliError> {
    let with = |verdict| {
        let names = run.results.iter().filter(|result| result.verdict == verdict).map(|result| match &result.value {
            Some(value) => format!("{} ({value})", result.approach),
            None => result.approach.clone(),
        });
        names.collect::<Vec<_>>().join(", ")
    };
    let (failed, without_evidence) = (with(RunVerdict::ClaimFailed), with(RunVerdict::NoEvidence));
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

fn meets(thresholds: &[Threshold], run: &Run) -> Result<(), CliError> {
    let misses = Thresholds(thresholds.to_vec()).misses(run);
    if misses.is_empty() {
        return Ok(());
    }
    Err(CliError::Threshold(misses.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))
}
