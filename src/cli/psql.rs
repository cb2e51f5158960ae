//! `concurrency-lab psql`: psql on the database of the lab.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use clap::Args;

use super::CliError;
use super::options::{DataDirArgs, DatabaseArgs};
use crate::database::SCHEMA;

/// Options of `psql`.
#[derive(Debug, Args)]
pub struct PsqlArgs {
    #[command(flatten)]
    database: DatabaseArgs,

    #[command(flatten)]
    data_dir: DataDirArgs,

    /// Arguments for psql, as in `concurrency-lab psql -c 'select * from pg_locks'`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

/// Replaces this process by psql.
///
/// # Errors
/// When psql is not installed, or when no database is running.
pub fn psql(arguments: &PsqlArgs) -> Result<(), CliError> {
    let mut command = Command::new(private_postgres::find_program("psql", arguments.database.postgres_bin.as_deref())?);
    command.env("PGOPTIONS", format!("-c search_path={SCHEMA}"));
    if let Some(url) = arguments.database.url() {
        with_url(&mut command, url)?;
    } else {
        let data_dir = arguments.data_dir.path()?;
        let endpoint = private_postgres::running_endpoint(&data_dir)?;
        command
            .env("PGHOST", endpoint.socket_dir)
            .env("PGPORT", endpoint.port.to_string())
            .env("PGUSER", endpoint.user)
            .env("PGPASSWORD", endpoint.password)
            .env("PGDATABASE", endpoint.database);
    }
    let error = command.args(&arguments.arguments).exec();
    Err(CliError::Environment(format!("cannot run psql: {error}")))
}

/// The password goes into the environment, because every user of the machine can read a command line.
fn with_url(command: &mut Command, url: &str) -> Result<(), CliError> {
    let invalid = |error: &dyn std::fmt::Display| CliError::Usage(format!("--database-url (DATABASE_URL): {error}"));
    let mut url = url::Url::parse(url).map_err(|error| invalid(&error))?;
    if let Some(password) = url.password() {
        let password = percent_encoding::percent_decode_str(password).decode_utf8().map_err(|error| invalid(&error))?;
        command.env("PGPASSWORD", password.as_ref());
        // This fails only for a URL without a host, and such a URL has no password.
        let _ = url.set_password(None);
    }
    command.arg("--dbname").arg(url.as_str());
    Ok(())
}
