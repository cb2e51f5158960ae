//! Files that run programs: which ones is said before any of them starts.

use std::io::{IsTerminal as _, Write as _, stderr, stdin};

use crate::cli::CliError;
use crate::cli::output::tell;
use crate::explore::worker_pool::{ExploreJob, JobSubject};
use crate::report::printable::printable;

/// Prints the programs that these jobs run, and asks on a terminal whether to run them. `trusted` is the answer in advance.
///
/// # Errors
/// [`CliError::Usage`] if the answer is not yes, or no terminal can be asked.
pub fn confirm(jobs: &[ExploreJob], trusted: bool) -> Result<(), CliError> {
    let mut told = String::new();
    for job in jobs {
        let JobSubject::App(file) = &job.what else { continue };
        let path = job.subject.file.as_deref().unwrap_or_default();
        let folder = file.folder.display().to_string();
        told.extend([printable(path), " runs these programs in ".to_owned(), printable(&folder), ":\n".to_owned()]);
        for program in file.programs() {
            let lines = program.lines().map(|line| format!("  {}\n", printable(line)));
            told.extend(lines);
        }
    }
    if told.is_empty() {
        return Ok(());
    }
    tell(&told);
    if trusted {
        return Ok(());
    }
    if !stdin().is_terminal() || !stderr().is_terminal() {
        return Err(CliError::Usage(
            "such a file runs programs with your rights, and no terminal can be asked whether to run them; \
             read the file, and add --trust-file"
                .to_owned(),
        ));
    }
    let _ = stderr().write_all(b"Run them? [y/N] ");
    let mut answer = String::new();
    let read = stdin().read_line(&mut answer);
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" if read.is_ok() => Ok(()),
        _ => Err(CliError::Usage("the programs were not run, because the answer was not yes".to_owned())),
    }
}
