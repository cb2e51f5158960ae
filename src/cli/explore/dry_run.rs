//! `explore --dry-run`: what each request or command of an application sends alone.

use tokio_util::sync::CancellationToken;

use crate::cli::CliError;
use crate::cli::output::print;
use crate::explore::app::AppFile;
use crate::explore::app::app_execution::AppExecution;
use crate::explore::error::ExploreError;
use crate::explore::explorer_database::ExplorerDatabase;
use crate::explore::file_role::WorkerDatabase;
use crate::explore::report::view::title;
use crate::explore::worker_pool::{ExploreJob, JobSubject};
use crate::report::wrap::paragraph;

/// Runs the serial orders of each application, and prints what is known of it.
///
/// # Errors
/// [`CliError`].
pub async fn run(databases: &[WorkerDatabase], jobs: &[ExploreJob], stop: &CancellationToken) -> Result<(), CliError> {
    let Some(worker) = databases.first() else { return Ok(()) };
    let mut database = ExplorerDatabase::open_worker(worker).await?;
    let mut told = Ok(());
    for job in jobs {
        let JobSubject::App(file) = &job.what else { continue };
        let described = tokio::select! {
            described = describe(&mut database, file) => Some(described),
            () = stop.cancelled() => None,
        };
        told = match described {
            Some(Ok(lines)) => {
                let lines: Vec<String> = lines.iter().map(|line| paragraph(line)).collect();
                print(&format!("{}\n\n{}\n", title(&job.subject), lines.join("\n")))
            }
            Some(Err(error)) => Err(error.in_file(job.subject.file.as_deref().unwrap_or_default()).into()),
            None => Err(CliError::Environment("interrupted".to_owned())),
        };
        if told.is_err() {
            break;
        }
    }
    database.close().await?;
    told
}

async fn describe(database: &mut ExplorerDatabase, file: &AppFile) -> Result<Vec<String>, ExploreError> {
    let mut execution = AppExecution::open(database, file).await?;
    let run = execution.run_serial_orders().await;
    let lines = execution.known_of_each();
    execution.close().await?;
    match run? {
        Ok(()) => Ok(lines),
        Err(why) => Err(ExploreError::Schedule(why)),
    }
}
