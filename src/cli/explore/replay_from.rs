//! `explore --replay-from REPORT.json`: replays the witnesses of an earlier report, and says which are still broken.

use std::path::Path;

use clap::ArgMatches;
use strum::IntoEnumIterator as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::explored_file::{ExploredFile, has_extension};
use super::jobs::{WHAT_AND_HOW, scenario};
use super::replay::{ReplayedSchedule, replay_job};
use super::{ExploreArgs, TIMELINES_MAX, WorkerDatabases, version};
use crate::cli::CliError;
use crate::cli::options::{approach, given, usage};
use crate::cli::output::{print, terminal};
use crate::cli::signals::stop_on_signals;
use crate::explore::ExploreError;
use crate::explore::catalog::test_cases;
use crate::explore::explorer_database::ExplorerDatabase;
use crate::explore::file::execution;
use crate::explore::findings::{ExploreReport, ExploreVersions, FORMAT, Subject, ViolationWitness};
use crate::explore::mutation::Mutation;
use crate::explore::report::view::title;
use crate::explore::report::witnesses;
use crate::explore::search::SearchPlan;
use crate::explore::test_case::{Crash, TestCase};
use crate::explore::witness_check::{self, WitnessReplay, WitnessReport};
use crate::explore::worker_pool::{ExploreJob, JobSubject};
use crate::report::read;
use crate::session::statement::Isolation;

/// A witness of the report, and how it is run again.
type WitnessJob = (ExploreJob, ViolationWitness);

/// Replays the witnesses of a report.
///
/// # Errors
/// [`CliError::ClaimFailed`] if one is still broken; [`CliError::Usage`] if the report has none of what is asked for.
pub async fn run(arguments: &ExploreArgs, matches: Option<&ArgMatches>, path: &Path) -> Result<(), CliError> {
    if let Some(option) = WHAT_AND_HOW.iter().find(|id| given(matches, id)) {
        let option = option.replace('_', "-");
        return usage(format!(
            "--{option} is not for --replay-from: the report says what was explored; leave --{option} out"
        ));
    }
    let jobs = jobs(path, &arguments.what, arguments.trust_file)?;
    let databases = WorkerDatabases::prepare(arguments, 1).await?;
    if jobs.iter().any(|(job, _)| matches!(job.what, JobSubject::File(..))) {
        databases.tell_rights().await?;
    }
    let stop = CancellationToken::new();
    let _listening = AbortOnDropHandle::new(tokio::spawn(stop_on_signals(stop.clone(), false)));
    let replayed = replay_all(&databases, jobs, &stop).await;
    databases.close().await?;
    let (witnesses, postgresql) = replayed?;
    let versions = ExploreVersions { lab: version(), postgresql };
    let report =
        WitnessReport { format: witness_check::FORMAT, report: path.display().to_string(), versions, witnesses };
    print(&witnesses::render(arguments.format, &report, terminal(), TIMELINES_MAX)?)?;
    let broken: Vec<String> = (report.witnesses.iter().filter(|replay| replay.verdict.is_broken()))
        .map(|replay| format!("{}: {}: {}", title(&replay.subject), replay.verdict, replay.why))
        .collect();
    if broken.is_empty() { Ok(()) } else { Err(CliError::ClaimFailed(broken.join("\n"))) }
}

async fn replay_all(
    databases: &WorkerDatabases,
    jobs: Vec<WitnessJob>,
    stop: &CancellationToken,
) -> Result<(Vec<WitnessReplay>, String), CliError> {
    let Some(worker) = databases.workers.first() else { return Ok((Vec::new(), String::new())) };
    let mut database = ExplorerDatabase::open_worker(worker).await?;
    let postgresql = database.version().to_owned();
    let replayed = tokio::select! {
        replayed = replay_each(&mut database, jobs) => replayed.map_err(CliError::from),
        () = stop.cancelled() => Err(CliError::Environment("interrupted before all witnesses were replayed".to_owned())),
    };
    database.close().await?;
    Ok((replayed?, postgresql))
}

async fn replay_each(
    database: &mut ExplorerDatabase,
    jobs: Vec<WitnessJob>,
) -> Result<Vec<WitnessReplay>, ExploreError> {
    let mut replays = Vec::new();
    for (job, witness) in jobs {
        let schedule = &witness.transcript.schedule;
        replays.push(match replay_job(database, &job, schedule, Some(&witness)).await {
            Ok(ReplayedSchedule { judged, silence, .. }) => WitnessReplay::of(job.subject, &witness, judged, silence),
            Err(ExploreError::Schedule(why)) => WitnessReplay::not_followed(job.subject, &witness, &why),
            Err(error) => return Err(error),
        });
    }
    Ok(replays)
}

/// The witnesses of a report, of these scenarios and files; of all if none is named.
fn jobs(path: &Path, what: &[String], trusted: bool) -> Result<Vec<WitnessJob>, CliError> {
    let wrong = |why: String| CliError::Usage(format!("--replay-from {}: {why}", path.display()));
    let report: ExploreReport = read::file(path, "a report of explore --format json", FORMAT)
        .map_err(|error| CliError::Usage(format!("--replay-from: {error}")))?;
    for name in what {
        let is_of = |subject: &Subject| is_called(subject, name);
        if !report.explorations.iter().any(|exploration| is_of(&exploration.subject)) {
            let mut known: Vec<String> =
                report.explorations.iter().map(|exploration| name_of(&exploration.subject).to_owned()).collect();
            known.dedup();
            return Err(wrong(format!(
                "the report has no exploration of {name:?}; it has those of {}",
                known.join(", ")
            )));
        }
    }
    let wanted = |subject: &Subject| what.is_empty() || what.iter().any(|name| is_called(subject, name));
    let mut jobs = Vec::new();
    for exploration in report.explorations.into_iter().filter(|exploration| wanted(&exploration.subject)) {
        let (subject, Some(witness)) = (exploration.subject, exploration.witness) else { continue };
        let job = job(&subject, &witness, trusted).map_err(|why| wrong(format!("{}: {why}", title(&subject))))?;
        jobs.push((job, witness));
    }
    if jobs.is_empty() {
        let of = if what.is_empty() { String::new() } else { format!(" of {}", what.join(", ")) };
        return Err(wrong(format!("no exploration{of} in the report is broken, so there is no witness to replay")));
    }
    Ok(jobs)
}

/// The file or the scenario of an exploration.
fn name_of(subject: &Subject) -> &str {
    subject.file.as_ref().unwrap_or(&subject.scenario)
}

/// Whether an exploration is one of this scenario or file.
fn is_called(subject: &Subject, name: &str) -> bool {
    let is_file = has_extension(name, "toml") || has_extension(name, "spec");
    let same_file = |file: &String| {
        file == name
            || std::fs::canonicalize(file)
                .is_ok_and(|path| std::fs::canonicalize(name).is_ok_and(|other| path == other))
    };
    match &subject.file {
        Some(file) => is_file && same_file(file),
        None => subject.scenario == name,
    }
}

/// How a witness is run again. The error says what is missing here.
fn job(subject: &Subject, witness: &ViolationWitness, trusted: bool) -> Result<ExploreJob, String> {
    let Some(file) = &subject.file else { return of_approach(subject, witness) };
    let script = match ExploredFile::read(Path::new(file), trusted)? {
        ExploredFile::Script(script) => std::sync::Arc::new(script),
        ExploredFile::App(_) => {
            let schedule = &witness.transcript.schedule;
            return Err(format!(
                "{file} is a file of an application; run a witness of it again with --replay {schedule}"
            ));
        }
    };
    let Some(variant) = script.variants.iter().find(|variant| variant.to_string() == subject.approach) else {
        let known: Vec<String> = script.variants.iter().map(|variant| format!("{:?}", variant.to_string())).collect();
        return Err(format!("{file} has no variant {:?}; its variants are {}", subject.approach, known.join(", ")));
    };
    let subject = execution::subject(&script, variant, file);
    let what = JobSubject::File(std::sync::Arc::clone(&script), variant.clone());
    Ok(ExploreJob { subject, what, plan: SearchPlan::default() })
}

fn of_approach(subject: &Subject, witness: &ViolationWitness) -> Result<ExploreJob, String> {
    let name = &subject.approach;
    let approach = approach(name).map_err(|known| format!("{name:?} is unknown; {known}"))?;
    let scenario = scenario(&subject.scenario).map_err(|error| error.to_string())?;
    let clients = u8::try_from(subject.clients).ok().filter(|clients| (2..=4).contains(clients));
    let clients = clients.ok_or_else(|| format!("clients: expected 2 to 4, found {}", subject.clients))?;
    let mut cases = test_cases(approach, scenario, clients).into_iter();
    let case = cases.find(|case| subject.servers.is_none_or(|servers| case.servers == servers));
    let case = case.ok_or_else(|| format!("{name} does not support {scenario}"))?;
    let isolation = match &subject.isolation {
        None => None,
        Some(level) => {
            let known = Isolation::iter().find(|known| known.sql() == level);
            Some(known.ok_or_else(|| format!("isolation: {level:?} is unknown"))?)
        }
    };
    let mutation = subject.without.as_ref().map(|text| Mutation::new(approach.strategy(), text, ""));
    let mutation = mutation.transpose().map_err(|error| error.to_string())?.map(std::sync::Arc::new);
    let crash = subject.crash.map(|kind| Crash { kind, after: witness.crash_after });
    let what = JobSubject::Approach(TestCase { isolation, mutation, crash, ..case });
    Ok(ExploreJob { subject: subject.clone(), what, plan: SearchPlan::default() })
}
