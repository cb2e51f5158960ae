//! Standard output.

use std::io::{ErrorKind, Write as _};

use super::CliError;

/// Writes to standard output; whoever reads only the first lines of it (`| head`) is no error.
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
