//! The command line: every option is an environment variable as well, and `.env` is read.

mod check;
mod compare;
mod explore;
mod feed;
mod logging;
mod options;
mod output;
mod psql;
mod run;
mod serve;
mod signals;

use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::database::DatabaseError;
use private_postgres::PostgresError;

/// Race every way of guarding a read-decide-write on a real PostgreSQL.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve every approach over HTTP, on a private PostgreSQL or on yours.
    Serve(Box<serve::ServeArgs>),
    /// Race the approaches over HTTP and judge them by what they answered.
    Run(Box<run::RunArgs>),
    /// Run every interleaving of a few clients' statements, and prove or break each approach.
    Explore(Box<explore::ExploreArgs>),
    /// Say what changed from one run to another.
    Compare(compare::CompareArgs),
    /// Judge a history again: a run's, or one that somebody else wrote.
    Check(check::CheckArgs),
    /// Open psql on the database that serve uses, to look at `pg_locks` while it runs.
    Psql(psql::PsqlArgs),
}

/// The commands that need a runtime.
enum AsyncCommand {
    Serve(Box<serve::ServeArgs>),
    Run(Box<run::RunArgs>),
    Explore(Box<explore::ExploreArgs>),
}

/// Why a command ended without doing what it was asked to. The variants are the exit codes.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// 1: a safe approach broke.
    #[error("{0}")]
    ClaimFailed(String),
    /// 2: the command cannot be meant.
    #[error("{0}")]
    Usage(String),
    /// 3: no database, target down, port taken.
    #[error("{0}")]
    Environment(String),
    /// 4: a threshold was missed.
    #[error("{0}")]
    Threshold(String),
}

impl CliError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::ClaimFailed(_) => 1,
            Self::Usage(_) => 2,
            Self::Environment(_) => 3,
            Self::Threshold(_) => 4,
        })
    }
}

impl From<PostgresError> for CliError {
    fn from(error: PostgresError) -> Self {
        Self::Environment(error.to_string())
    }
}

impl From<DatabaseError> for CliError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Url(_) => Self::Usage(error.to_string()),
            other => Self::Environment(other.to_string()),
        }
    }
}

/// The command line's definition, for tests of its documentation.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    // Here only: a .env of a folder above is another project's, and may name its database.
    match dotenvy::from_path(".env") {
        Ok(()) => {}
        Err(error) if error.not_found() => {}
        Err(error) => return finish(Err(CliError::Usage(format!(".env: {error}")))),
    }
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let wanted = std::env::var("LAB_LOG").unwrap_or_else(|_| "warn".to_owned());
    // Dropped at the end, which writes what is still in the access log's buffer.
    let _log = match logging::start(&wanted) {
        Ok(log) => log,
        Err(error) => return finish(Err(CliError::Usage(format!("LAB_LOG: {wanted:?}: {error}")))),
    };
    finish(execute(cli.command, matches.subcommand().map(|(_, matches)| matches)))
}

fn execute(command: Command, matches: Option<&ArgMatches>) -> Result<(), CliError> {
    let command = match command {
        Command::Psql(arguments) => return psql::psql(&arguments),
        Command::Check(arguments) => return check::check(&arguments),
        Command::Compare(arguments) => return compare::compare(&arguments),
        Command::Serve(arguments) => AsyncCommand::Serve(arguments),
        Command::Run(arguments) => AsyncCommand::Run(arguments),
        Command::Explore(arguments) => AsyncCommand::Explore(arguments),
    };
    raise_open_files_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::Environment(format!("cannot start the runtime: {error}")))?;
    let result = match command {
        AsyncCommand::Serve(arguments) => runtime.block_on(serve::serve(*arguments)),
        AsyncCommand::Run(arguments) => runtime.block_on(run::run(*arguments, matches)),
        AsyncCommand::Explore(arguments) => runtime.block_on(explore::explore(*arguments, matches)),
    };
    // Waiting for nothing: a read of standard input cannot be interrupted, and everything else has ended.
    runtime.shutdown_background();
    result
}

fn finish(result: Result<(), CliError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("concurrency-lab: {error}");
            error.exit_code()
        }
    }
}

/// Raises the soft limit of open files to the hard one: each connection is an open file, and soft limits are often 1024.
pub fn raise_open_files_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(soft, hard)| if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) });
    if let Err(error) = raised {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}
