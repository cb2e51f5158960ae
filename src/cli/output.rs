//! Standard output, and the folders that experiments leave.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use console::Term;

use super::CliError;
use crate::report::printable::{beginning, shown, shown_with_colours};
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

/// Characters of a line that standard error shows. A message repeats what it found, and a file or a service may have sent megabytes.
const LINE_MAX: usize = 2_000;

/// Lines of a message that standard error shows.
const LINES_MAX: usize = 500;

/// Writes to standard output; a reader that closes it early (`| head`) is no error. Text from outside is printable.
///
/// # Errors
/// As writing does otherwise.
pub fn print(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    // Reports have colours only where standard output is such a terminal.
    let safe = if terminal().colour { shown_with_colours(text) } else { shown(text).into_owned() };
    match write!(out, "{safe}{end}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(CliError::Environment(format!("cannot write to standard output: {error}"))),
        Ok(()) => Ok(()),
    }
}

/// Writes a message to standard error. Text from outside is printable, and long lines are cut. A reader that is gone is no error: `eprintln!`
/// would panic, and end a worker.
pub fn tell(message: &str) {
    let mut text = String::new();
    for (number, line) in shown(message).lines().enumerate() {
        if number == LINES_MAX {
            text.push_str("…\n");
            break;
        }
        text.push_str(&beginning(line, LINE_MAX));
        text.push('\n');
    }
    // One write, so that lines of two threads do not mix.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// A folder of an experiment's own: the time, and the process, in case two start in one second.
///
/// # Errors
/// As making it does.
pub fn make_folder(out: &Path) -> Result<PathBuf, CliError> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
    let folder = out.join(format!("{seconds}-{}", std::process::id()));
    let failed = |path: &Path, error| CliError::Environment(format!("cannot create {}: {error}", path.display()));
    fs::create_dir_all(out).map_err(|error| failed(out, error))?;
    // A folder or a link that is already there is not this experiment's.
    fs::create_dir(&folder).map_err(|error| failed(&folder, error))?;
    Ok(folder)
}

/// Writes a file of such a folder.
///
/// # Errors
/// As writing does.
pub fn write(path: &Path, text: &str) -> Result<(), CliError> {
    fs::write(path, text).map_err(|error| CliError::Environment(format!("cannot write {}: {error}", path.display())))
}
