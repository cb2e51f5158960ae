//! `concurrency-lab explore FILE.spec`: runs the permutations of specs, and prints what isolationtester prints.

use std::path::PathBuf;

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::{ExploreArgs, WorkerDatabases};
use crate::cli::CliError;
use crate::cli::output::print;
use crate::cli::signals::stop_on_signals;
use crate::explore::file_role::FileRights;
use crate::explore::spec::grammar::IsolationSpec;
use crate::explore::spec::spec_run::{self, SpecRunError};
use crate::report::printable::printable;

/// Runs specs, one after the other.
///
/// # Errors
/// [`CliError`], which names the spec whose permutations did not end.
pub async fn run(arguments: &ExploreArgs, specs: Vec<(PathBuf, IsolationSpec)>) -> Result<(), CliError> {
    let databases = WorkerDatabases::prepare(arguments, 1).await?;
    databases.tell_rights().await?;
    let rights = if arguments.trust_file { FileRights::Superuser } else { FileRights::OwnDatabase };
    let stop = CancellationToken::new();
    let _listening = AbortOnDropHandle::new(tokio::spawn(stop_on_signals(stop.clone(), false)));
    let result = run_all((&databases, rights), specs, &stop).await;
    databases.close().await?;
    result
}

async fn run_all(
    (databases, rights): (&WorkerDatabases, FileRights),
    specs: Vec<(PathBuf, IsolationSpec)>,
    stop: &CancellationToken,
) -> Result<(), CliError> {
    let Some(server) = databases.workers.first() else { return Ok(()) };
    for (path, spec) in specs {
        let mut printed = Ok(());
        let mut show = |text: &str| {
            if printed.is_ok() {
                printed = print(&shown(text));
            }
        };
        let name = spec_run::name_of(&path);
        let result = spec_run::run(&spec, &name, (server, rights), stop, &mut show).await;
        printed?;
        result.map_err(|error| match error {
            SpecRunError::TooMany | SpecRunError::Copy(_) => CliError::Usage(format!("{}: {error}", path.display())),
            other => CliError::Environment(format!("{}: {other}", path.display())),
        })?;
    }
    Ok(())
}

/// The output with all control characters made visible but those of a text in lines: the spec may come from another person, and its rows
/// from anywhere.
fn shown(text: &str) -> String {
    let line = |line: &str| line.split('\t').map(printable).collect::<Vec<_>>().join("\t");
    let lines = text.split('\n').map(|text| match text.strip_suffix('\r') {
        Some(text) => line(text) + "\r",
        None => line(text),
    });
    lines.collect::<Vec<_>>().join("\n")
}
