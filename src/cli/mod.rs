//! The command line. Every option can also be set by an environment variable, and in a file `.env`.

mod check;
mod compare;
mod dot_env;
mod explore;
mod feed;
mod logging;
mod options;
mod output;
mod psql;
mod run;
mod serve;
mod signals;

use std::borrow::Cow;
use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::database::DatabaseError;
use crate::report::printable::shown;
use output::tell;
use private_postgres::PostgresError;

/// Compare locking strategies on a real PostgreSQL: which are correct, why the others fail, what each costs.
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
    /// Send concurrent requests to the approaches, and judge each by its answers.
    Run(Box<run::RunArgs>),
    /// Run every interleaving of a few clients' statements, and prove each approach or find its anomaly.
    Explore(Box<explore::ExploreArgs>),
    /// Compare two runs.
    Compare(compare::CompareArgs),
    /// Judge a history file: of a run, or of another program.
    Check(check::CheckArgs),
    /// Open psql on the database of a running `serve`, for example to read `pg_locks`.
    Psql(psql::PsqlArgs),
}

/// Longest line of the help, in bytes; a refusal with a longer line repeats a long value.
const HELP_LINE_MAX: usize = 1_000;

/// The commands that need an async runtime.
enum AsyncCommand {
    Serve(Box<serve::ServeArgs>),
    Run(Box<run::RunArgs>),
    Explore(Box<explore::ExploreArgs>),
}

/// Why a command failed. Each variant has an exit code.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// 1: an approach that is claimed to be safe is broken.
    #[error("{0}")]
    ClaimFailed(String),
    /// 2: the arguments are invalid or contradict each other.
    #[error("{0}")]
    Usage(String),
    /// 3: no database, a target that does not answer, a port in use.
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

/// The definition of the command line. Tests compare it with the documentation.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    if let Err(refused) = dot_env::load() {
        return finish(Err(refused));
    }
    let parsed = Cli::command().try_get_matches().and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return exit(&error),
    };
    let wanted = std::env::var("LAB_LOG").unwrap_or_else(|_| "warn".to_owned());
    // Dropping it at the end writes the rest of the access log.
    let _log = match logging::start(&wanted) {
        Ok(log) => log,
        Err(error) => return finish(Err(CliError::Usage(format!("LAB_LOG: {wanted:?} is not a log filter: {error}")))),
    };
    finish(execute(cli.command, matches.subcommand().map(|(_, matches)| matches)))
}

/// Prints what clap says: a refusal, the help or the version. It repeats values of variables, so it is printable, and then without colours.
fn exit(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    match shown(&text) {
        Cow::Borrowed(_) if text.lines().all(|line| line.len() <= HELP_LINE_MAX) => error.exit(),
        _ if error.use_stderr() => tell(&text),
        // Without a reader there is nothing to report.
        _ => drop(output::print(&text)),
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
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
        .map_err(|error| CliError::Environment(format!("cannot start the async runtime: {error}")))?;
    let result = match command {
        AsyncCommand::Serve(arguments) => runtime.block_on(serve::serve(*arguments)),
        AsyncCommand::Run(arguments) => runtime.block_on(run::run(*arguments, matches)),
        AsyncCommand::Explore(arguments) => runtime.block_on(explore::explore(*arguments, matches)),
    };
    // Does not wait: a read of standard input cannot be interrupted, and all other tasks have ended.
    runtime.shutdown_background();
    result
}

fn finish(result: Result<(), CliError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("concurrency-lab: {error}"));
            error.exit_code()
        }
    }
}

/// Raises the soft limit of open files to the hard one. Each connection is an open file, and the soft limit is often 1024.
pub fn raise_open_files_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(soft, hard)| if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) });
    if let Err(error) = raised {
        tracing::warn!(%error, "cannot raise the limit of open files: many connections may fail; raise `ulimit -n`");
    }
}
