//! `explore --replay`: runs one schedule, and prints what happens.

use tokio_util::sync::CancellationToken;

use super::ExploreArgs;
use crate::cli::CliError;
use crate::cli::output::{print, terminal};
use crate::explore::ExploreError;
use crate::explore::app::app_execution::AppExecution;
use crate::explore::execution::ApproachExecution;
use crate::explore::explorer_database::ExplorerDatabase;
use crate::explore::file::execution::ScriptExecution;
use crate::explore::file::script::SerialCheck;
use crate::explore::file_role::WorkerDatabase;
use crate::explore::findings::ViolationWitness;
use crate::explore::report::ExploreFormat;
use crate::explore::report::timeline::timeline_on;
use crate::explore::report::view::title;
use crate::explore::schedule::Schedule;
use crate::explore::search::{JudgedInterleaving, StepsAfterEnd, replay_with};
use crate::explore::worker_pool::{ExploreJob, JobSubject};
use crate::report;

/// Runs one schedule, and prints what happened.
///
/// # Errors
/// [`CliError`].
pub async fn run(
    arguments: &ExploreArgs,
    databases: &[WorkerDatabase],
    job: &ExploreJob,
    schedule: &Schedule,
    stop: &CancellationToken,
) -> Result<(), CliError> {
    let Some(worker) = databases.first() else { return Ok(()) };
    let mut database = ExplorerDatabase::open_worker(worker).await?;
    let replayed = tokio::select! {
        replayed = replay_job(&mut database, job, schedule, None) => Some(replayed),
        () = stop.cancelled() => None,
    };
    database.close().await?;
    let Some(replayed) = replayed else {
        return Err(CliError::Environment("interrupted before the schedule had ended".to_owned()));
    };
    let ReplayedSchedule { judged, good_end, .. } = replayed?;
    let JudgedInterleaving { transcript, anomalies, explanation, .. } = judged;
    if arguments.format == ExploreFormat::Json {
        return print(&report::json(&transcript)?);
    }
    let wrong = (!anomalies.is_empty()).then_some((&*anomalies, &*explanation));
    let explained = if wrong.is_some() { String::new() } else { format!("\n{good_end}\n") };
    print(&format!("{}\n\n{}{explained}", title(&job.subject), timeline_on(&transcript, wrong, terminal())))
}

/// One schedule, run to its end.
pub struct ReplayedSchedule {
    /// What happened.
    pub judged: JudgedInterleaving,
    /// What is known if nothing is wrong at its end, in a sentence.
    good_end: String,
    /// Why a good end would not say that the wanted anomalies are gone, if that is so.
    pub silence: Option<String>,
}

/// Runs one schedule of an exploration. `reported` is what an earlier run of it found, if it is of a report; then steps of a
/// session that has ended are left out.
///
/// # Errors
/// [`ExploreError`]; [`ExploreError::Schedule`] if the schedule cannot be followed.
pub async fn replay_job(
    database: &mut ExplorerDatabase,
    job: &ExploreJob,
    schedule: &Schedule,
    reported: Option<&ViolationWitness>,
) -> Result<ReplayedSchedule, ExploreError> {
    let after_end = if reported.is_some() { StepsAfterEnd::LeftOut } else { StepsAfterEnd::Refused };
    match &job.what {
        JobSubject::Approach(case) => {
            let mut execution = ApproachExecution::new(database, case.clone());
            let judged = replay_with(&mut execution, schedule, after_end).await;
            // A schedule that cannot be followed leaves operations that have not ended.
            execution.leave().await?;
            Ok(ReplayedSchedule { judged: judged?, good_end: EXPLAINED.to_owned(), silence: None })
        }
        JobSubject::File(script, variant) => {
            let file = job.subject.file.clone().unwrap_or_default();
            let mut execution =
                ScriptExecution::open(database, script, variant).await.map_err(|error| error.in_file(&file))?;
            let judged = match execution.run_serial_orders().await {
                Ok(()) => replay_with(&mut execution, schedule, after_end).await,
                Err(error) => Err(error),
            };
            let silence =
                reported.and_then(|witness| execution.silence_about(&witness.anomalies, &witness.explanation));
            let good_end = match execution.unjudged() {
                Some(why) => format!("Nothing says whether this end is right: {why}."),
                None if execution.compares_serial_orders() => EXPLAINED.to_owned(),
                None => "Every invariant holds.".to_owned(),
            };
            execution.close().await?;
            let judged = judged.map_err(|error| error.in_file(&file))?;
            Ok(ReplayedSchedule { judged, good_end, silence })
        }
        JobSubject::App(file) => {
            let mut execution = AppExecution::open(database, file).await?;
            let judged = match execution.run_serial_orders().await {
                Ok(Ok(())) => replay_with(&mut execution, schedule, after_end).await,
                Ok(Err(why)) => Err(ExploreError::Schedule(why)),
                Err(error) => Err(error),
            };
            execution.close().await?;
            let good_end = match (file.serial, file.invariants.is_empty()) {
                (SerialCheck::Off, true) => {
                    "Nothing says whether this end is right: the file has no invariant, and serial = false."
                }
                (SerialCheck::Off, false) => "Every invariant holds.",
                _ => EXPLAINED,
            };
            Ok(ReplayedSchedule { judged: judged?, good_end: good_end.to_owned(), silence: None })
        }
    }
}

/// What is known of an end at which the comparison with serial orders finds nothing wrong.
const EXPLAINED: &str = "A serial order explains it.";
