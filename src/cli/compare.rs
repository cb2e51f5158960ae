//! `concurrency-lab compare`: the differences between two runs.

use std::path::PathBuf;

use clap::Args;

use super::CliError;
use super::output::print;
use crate::lab::reports::{compare, read};

/// Options of `compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The earlier run: its folder, or its run.json.
    #[arg(value_name = "RUN")]
    before: PathBuf,

    /// The later run: its folder, or its run.json.
    #[arg(value_name = "RUN")]
    after: PathBuf,
}

/// Compares two runs that were made under the same conditions.
///
/// # Errors
/// [`CliError::Usage`] when their conditions differ, [`CliError::Environment`] when a run cannot be read.
pub fn compare(arguments: &CompareArgs) -> Result<(), CliError> {
    let read = |path| read::read(path).map_err(|error| CliError::Environment(error.to_string()));
    let (before, after) = (read(&arguments.before)?, read(&arguments.after)?);
    let comparison = compare::compare(&before, &after).map_err(|differ| CliError::Usage(differ.to_string()))?;
    print(&comparison.to_string())
}
