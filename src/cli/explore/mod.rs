//! `concurrency-lab explore`: makes the jobs of its arguments, runs them, prints the report, and determines the exit code.

mod app_options;
mod arguments;
mod dry_run;
mod explored_file;
mod jobs;
mod progress;
mod replay;
mod replay_from;
mod specs;
mod trust;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use clap::ArgMatches;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub use arguments::ExploreArgs;

use super::CliError;
use super::feed::{EventWriter, ExploreEvents};
use super::output::{make_folder, print, tell, terminal, write};
use super::signals::stop_on_signals;
use crate::database::Database;
use crate::explore::ExploreError;
use crate::explore::file_role::{WorkerDatabase, rights_on};
use crate::explore::findings::{Exploration, ExplorationVerdict, ExploreReport, ExploreVersions, FORMAT, FailureKind};
use crate::explore::report::timeline::timeline_on;
use crate::explore::report::view::{contradiction, title};
use crate::explore::report::{self, ExploreFormat};
use crate::explore::transcript::Transcript;
use crate::explore::worker_pool::{self, ExploreJob, JobSubject};
use crate::http::environment::COMMIT;
use crate::report::RenderError;
use crate::report::figures::counted;
use crate::report::terminal::Terminal;
use private_postgres::Cluster;
use progress::ExploreProgress;

/// With at most this number of explorations the timeline of each violation is printed. With more, the table and the page have to do.
const TIMELINES_MAX: usize = 4;

/// Connections of a worker: the 8 sessions of a file, as many for their conditions, the monitor, and those that reset and read the
/// rows.
const CONNECTIONS_PER_WORKER: u32 = 24;

impl From<ExploreError> for CliError {
    fn from(error: ExploreError) -> Self {
        match error {
            ExploreError::Script(_) | ExploreError::Schedule(_) => Self::Usage(error.to_string()),
            ExploreError::Prepare(error) => error.into(),
            other => Self::Environment(other.to_string()),
        }
    }
}

impl From<RenderError> for CliError {
    fn from(error: RenderError) -> Self {
        Self::Environment(error.to_string())
    }
}

/// Explores, and prints the report.
///
/// # Errors
/// [`CliError::ClaimFailed`] if a result contradicts a claim, or an expectation of a file is not met.
pub async fn explore(arguments: ExploreArgs, matches: Option<&ArgMatches>) -> Result<(), CliError> {
    if let Some(specs) = arguments.specs(matches)? {
        return specs::run(&arguments, specs).await;
    }
    if let Some(path) = &arguments.replay_from {
        return replay_from::run(&arguments, matches, path).await;
    }
    let jobs = arguments.jobs(matches)?;
    // What the command line names needs no question.
    trust::confirm(&jobs, arguments.trust_file || arguments.app.is_some())?;
    let began = (Instant::now(), SystemTime::now());
    // The file is opened before anything is explored, because that may take hours.
    let page =
        arguments.html.as_ref().map(|path| File::create(path).map_err(|error| no_page(path, &error))).transpose()?;
    let folder = arguments.out.as_deref().map(make_folder).transpose()?;
    let databases = WorkerDatabases::prepare(&arguments, jobs.len()).await?;
    if jobs.iter().any(|job| matches!(job.what, JobSubject::File(..))) {
        databases.tell_rights().await?;
    }
    let stop = CancellationToken::new();
    let _listening = AbortOnDropHandle::new(tokio::spawn(stop_on_signals(stop.clone(), arguments.events)));
    let result = match (&arguments.replay, jobs.first()) {
        _ if arguments.dry_run => dry_run::run(&databases.workers, &jobs, &stop).await,
        (Some(schedule), Some(job)) => replay::run(&arguments, &databases.workers, job, schedule, &stop).await,
        _ => explore_all(&arguments, &databases.workers, jobs, began, (page, folder.as_deref()), &stop).await,
    };
    // It fails if the folder has a report in it, and then the folder stays.
    let _ = folder.map(std::fs::remove_dir);
    databases.close().await?;
    result
}

async fn explore_all(
    arguments: &ExploreArgs,
    databases: &[WorkerDatabase],
    jobs: Vec<ExploreJob>,
    (began, started): (Instant, SystemTime),
    (page, folder): (Option<File>, Option<&Path>),
    stop: &CancellationToken,
) -> Result<(), CliError> {
    let wanted = jobs.len();
    let found = if arguments.events {
        worker_pool::explore_all(databases.to_vec(), jobs, Arc::new(ExploreEvents::new(wanted)), stop.clone()).await?
    } else {
        let progress = Arc::new(ExploreProgress::new(wanted, arguments.limit));
        let observer = Arc::<ExploreProgress>::clone(&progress);
        let found = worker_pool::explore_all(databases.to_vec(), jobs, observer, stop.clone()).await;
        progress.end();
        found?
    };
    let report = ExploreReport {
        format: FORMAT,
        started: humantime::format_rfc3339_seconds(started).to_string(),
        elapsed_s: began.elapsed().as_secs_f64(),
        versions: ExploreVersions { lab: version(), postgresql: found.postgresql },
        interrupted: stop.is_cancelled(),
        explorations: found.explorations,
    };
    if let Some(folder) = folder.filter(|_| !report.explorations.is_empty()) {
        save(folder, &report)?;
    }
    if !arguments.events {
        print(&report::render(arguments.format, &report, terminal())?)?;
    }
    if arguments.format == ExploreFormat::Table && !arguments.events {
        for exploration in &report.explorations {
            print_witness(exploration, report.explorations.len())?;
        }
    }
    if let (Some(path), Some(mut page)) = (&arguments.html, page) {
        page.write_all(report::html::page(&report).as_bytes()).map_err(|error| no_page(path, &error))?;
    }
    verdict(&report, wanted)?;
    match failures(&report, &arguments.fail_on)[..] {
        [] => Ok(()),
        ref found => Err(CliError::ClaimFailed(found.join("\n"))),
    }
}

/// Writes the report into its folder.
fn save(folder: &Path, report: &ExploreReport) -> Result<(), CliError> {
    let json = report::render(ExploreFormat::Json, report, Terminal::default())?;
    write(&folder.join("explore.json"), &json)?;
    EventWriter::saved(folder);
    Ok(())
}

fn no_page(path: &Path, error: &std::io::Error) -> CliError {
    CliError::Environment(format!("--html {}: {error}", path.display()))
}

fn version() -> String {
    let commit = COMMIT.map(|commit| format!(" ({commit})")).unwrap_or_default();
    format!("{}{commit}", env!("CARGO_PKG_VERSION"))
}

/// Prints the timeline of the shortest violation, and of an explore file that of the shortest deadlock.
fn print_witness(exploration: &Exploration, of: usize) -> Result<(), CliError> {
    if of > TIMELINES_MAX && !exploration.contradicts_claim() {
        return Ok(());
    }
    if let Some(witness) = &exploration.witness {
        let text = timeline_on(&witness.transcript, Some((&witness.anomalies, &witness.explanation)), terminal());
        print(&format!("\n{}\n\n{text}", title(&exploration.subject)))?;
    }
    let deadlock = exploration.examples.iter().find(|example| example.failure == FailureKind::Deadlock);
    let shown =
        |transcript: &Transcript| exploration.witness.as_ref().is_some_and(|witness| witness.transcript == *transcript);
    if let Some(example) = deadlock.filter(|example| !shown(&example.transcript)) {
        let text = timeline_on(&example.transcript, None, terminal());
        print(&format!("\n{}: the shortest interleaving with a deadlock\n\n{text}", title(&exploration.subject)))?;
    }
    Ok(())
}

/// The failures of `--fail-on` that occur.
fn failures(report: &ExploreReport, fail_on: &[FailureKind]) -> Vec<String> {
    let of = |exploration: &Exploration| {
        let occurring = fail_on.iter().filter(|kind| exploration.failures(**kind) > 0);
        occurring
            .map(|kind| {
                let count = counted(exploration.failures(*kind), "interleaving");
                format!("{}: --fail-on {kind}: {count} with {}", title(&exploration.subject), kind.in_words())
            })
            .collect::<Vec<_>>()
    };
    report.explorations.iter().flat_map(of).collect()
}

fn verdict(report: &ExploreReport, wanted: usize) -> Result<(), CliError> {
    let failed: Vec<String> = (report.explorations.iter())
        .filter_map(|exploration| Some(format!("{}: {}", title(&exploration.subject), contradiction(exploration)?)))
        .collect();
    if !failed.is_empty() {
        return Err(CliError::ClaimFailed(format!("not as claimed: {}", failed.join("\n"))));
    }
    let undecided = |exploration: &&Exploration| {
        matches!(exploration.verdict, ExplorationVerdict::Undecided | ExplorationVerdict::DependsOnTime)
    };
    let undecided: Vec<String> =
        report.explorations.iter().filter(undecided).map(|exploration| title(&exploration.subject)).collect();
    if !undecided.is_empty() {
        return Err(CliError::Environment(format!(
            "undecided: {}; the table gives the reason for each",
            undecided.join(", ")
        )));
    }
    if report.interrupted {
        let whole = report.explorations.iter().filter(|exploration| exploration.complete).count();
        return Err(CliError::Environment(format!("interrupted: {whole} of {wanted} explorations are complete")));
    }
    if report.explorations.len() < wanted {
        let (explored, missing) = (report.explorations.len(), wanted - report.explorations.len());
        return Err(CliError::Environment(format!(
            "{missing} of {wanted} explorations have no result, although nothing interrupted them ({explored} have one); this \
             is a bug in concurrency-lab, so please report it"
        )));
    }
    Ok(())
}

/// The databases: one for each worker on a temporary PostgreSQL, or the one that --database-url names.
struct WorkerDatabases {
    cluster: Option<Cluster>,
    workers: Vec<WorkerDatabase>,
}

impl WorkerDatabases {
    async fn prepare(arguments: &ExploreArgs, jobs: usize) -> Result<Self, CliError> {
        if let Some(url) = arguments.database.url() {
            if arguments.workers.is_some_and(|workers| workers > 1) {
                return Err(CliError::Usage(
                    "--workers: with --database-url there is only one worker, because advisory locks belong to a whole \
                     database; leave --workers out"
                        .to_owned(),
                ));
            }
            return Ok(Self { cluster: None, workers: vec![Database::parse_url(url)?.into()] });
        }
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let workers = arguments.workers.map_or(cores, usize::from).min(jobs).max(1);
        let connections = CONNECTIONS_PER_WORKER * u32::try_from(workers).unwrap_or(1) + 10;
        let cluster = Cluster::start_scratch(arguments.database.postgres_bin.as_deref(), connections).await?;
        match WorkerDatabase::create(&cluster.connect_options(), workers).await {
            Ok(workers) => Ok(Self { cluster: Some(cluster), workers }),
            Err(error) => {
                cluster.stop().await?;
                Err(ExploreError::Database(error).into())
            }
        }
    }

    /// Says which rights the statements of files have on a database of the user's.
    async fn tell_rights(&self) -> Result<(), CliError> {
        if let (None, Some(worker)) = (&self.cluster, self.workers.first()) {
            let rights = rights_on(&worker.explorer).await.map_err(ExploreError::Database)?;
            tell(&format!("concurrency-lab: {rights}"));
        }
        Ok(())
    }

    async fn close(self) -> Result<(), CliError> {
        match self.cluster {
            Some(cluster) => Ok(cluster.stop().await?),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::report::sample;

    #[test]
    fn a_worker_that_panics_ends_the_command_with_an_environment_error_that_names_the_subject() {
        let activity = "exploring \"last-money, naive\"".to_owned();
        let error = CliError::from(ExploreError::Panicked { activity, message: "index out of bounds".to_owned() });
        let CliError::Environment(text) = &error else { panic!("not exit code 3: {error:?}") };
        assert!(
            text.starts_with(
                "a worker of the explorer panicked while exploring \"last-money, naive\": index out of bounds"
            ),
            "{text}"
        );
    }

    #[test]
    fn a_missing_exploration_is_an_error() {
        let mut report = sample::report();
        report.interrupted = false;
        report.explorations.retain(|exploration| exploration.verdict == ExplorationVerdict::Proved);
        report.explorations.retain(|exploration| !exploration.contradicts_claim());
        let found = report.explorations.len();
        assert!(found > 0 && verdict(&report, found).is_ok());
        let error = verdict(&report, found + 1).expect_err("one exploration is missing");
        let CliError::Environment(text) = &error else { panic!("not exit code 3: {error:?}") };
        assert!(text.starts_with(&format!("1 of {} explorations have no result", found + 1)), "{text}");
    }
}
