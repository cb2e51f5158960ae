//! Standard output, and the folders that experiments leave.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use console::Term;

use super::CliError;
use crate::report::terminal::Terminal;

/// The widths of a terminal for which a report is made. In a narrower one, lines are broken by the terminal; in a wider one, nothing would
/// become clearer.
const WIDTHS: std::ops::RangeInclusive<usize> = 60..=240;

/// The terminal that standard output is. A pipe or a file has the default width and no colours; `NO_COLOR` turns them off.
#[must_use]
pub fn terminal() -> Terminal {
    let out = Term::stdout();
    if !out.is_term() {
        return Terminal::default();
    }
    let width = out.size_checked().map(|(_, columns)| usize::from(columns).clamp(*WIDTHS.start(), *WIDTHS.end()));
    Terminal { width: width.unwrap_or(Terminal::default().width), colour: out.features().colors_supported() }
}

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
