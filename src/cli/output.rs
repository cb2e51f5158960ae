//! Standard output, and the folders that experiments leave.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::CliError;

/// Writes to standard output; a reader that closes it early (`| head`) is no error.
///
/// # Errors
/// As writing does otherwise.
pub fn print(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    match write!(out, "{text}{end}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(CliError::Environment(format!("cannot write to standard output: {error}"))),
        Ok(()) => Ok(()),
    }
}

/// A folder of an experiment's own: the time, and the process, in case two start in one second.
///
/// # Errors
/// As making it does.
pub fn make_folder(out: &Path) -> Result<PathBuf, CliError> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
    let folder = out.join(format!("{seconds}-{}", std::process::id()));
    fs::create_dir_all(&folder)
        .map_err(|error| CliError::Environment(format!("cannot create {}: {error}", folder.display())))?;
    Ok(folder)
}

/// Writes a file of such a folder.
///
/// # Errors
/// As writing does.
pub fn write(path: &Path, text: &str) -> Result<(), CliError> {
    fs::write(path, text).map_err(|error| CliError::Environment(format!("cannot write {}: {error}", path.display())))
}
