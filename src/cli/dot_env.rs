//! The file `.env` of the working directory.
//!
//! A working directory may be a folder that another user made. So the program takes its own variables from the file, never one that other
//! programs obey (`LD_PRELOAD`, `PATH`, `PGSERVICEFILE`), and not `LAB_POSTGRES_BIN`, which names programs to run.

use std::env;
use std::path::Path;

use super::CliError;
use crate::report::input_file::{InputFileError, read_regular};
use crate::report::printable::beginning;

/// The name of the file. Only the working directory is searched: a file in a parent folder belongs to another project, and may name its
/// database.
const NAME: &str = ".env";

/// The longest file, in bytes; `.env.example`, which has every option, has 5 KB.
const BYTES_MAX: u64 = 64 << 10;

/// Characters of a faulty line that an error shows.
const SHOWN_MAX: usize = 200;

/// The variable of `--postgres-bin`.
const PROGRAMS: &str = "LAB_POSTGRES_BIN";

/// Sets the variables of the file that are not set. This must run before the first thread starts.
///
/// # Errors
/// [`CliError::Usage`], when the file cannot be read, or names a folder of programs.
pub fn load() -> Result<(), CliError> {
    let failed = |reason: &dyn std::fmt::Display| CliError::Usage(format!("cannot read the file {NAME}: {reason}"));
    let bytes = match read_regular(Path::new(NAME), BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(InputFileError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(&error)),
    };
    for (name, value) in variables(&bytes).map_err(|reason| failed(&reason))? {
        if env::var_os(&name).is_none() {
            // SAFETY: no other thread runs yet: `main` calls this before the log and the runtime start their threads.
            unsafe { env::set_var(name, value) };
        }
    }
    Ok(())
}

/// The variables that the program takes, in the order of the file.
fn variables(bytes: &[u8]) -> Result<Vec<(String, String)>, String> {
    let mut taken = Vec::new();
    for variable in dotenvy::from_read_iter(bytes) {
        let (name, value) = variable.map_err(|error| match error {
            dotenvy::Error::LineParse(line, at) => {
                format!("expected NAME=VALUE, found {:?} (error at byte {at})", beginning(&line, SHOWN_MAX))
            }
            other => other.to_string(),
        })?;
        match name.as_str() {
            PROGRAMS => {
                return Err(format!(
                    "{PROGRAMS} is not taken from it, because it names a folder of programs to run; set it in the environment, or use \
                     --postgres-bin"
                ));
            }
            // The environment cannot hold it.
            own if own.contains('\0') || value.contains('\0') => {
                return Err(format!("{:?} has a NUL byte in its name or value", beginning(own, SHOWN_MAX)));
            }
            own if own.starts_with("LAB_") || own == "DATABASE_URL" => taken.push((name, value)),
            _ => {}
        }
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_variables_are_taken_and_never_a_folder_of_programs() {
        let text = "LD_PRELOAD=/tmp/x.so\nLAB_SEED=booking\nPATH=/tmp\nexport DATABASE_URL='postgres://a'\nlab_log=x\nPGSERVICE=x\n";
        let own = [("LAB_SEED", "booking"), ("DATABASE_URL", "postgres://a")];
        assert_eq!(variables(text.as_bytes()).unwrap(), own.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let refused = variables(b"LAB_SEED=booking\nLAB_POSTGRES_BIN=/tmp/bin\n").unwrap_err();
        assert!(refused.starts_with("LAB_POSTGRES_BIN is not taken from it"), "{refused}");
    }

    #[test]
    fn a_value_that_no_environment_can_hold_is_refused() {
        let refused = variables(b"LAB_LISTEN=127.0.\0:3000\n").unwrap_err();
        assert_eq!(refused, "\"LAB_LISTEN\" has a NUL byte in its name or value");
    }

    #[test]
    fn a_faulty_line_is_shown_up_to_a_length() {
        let reason = variables("not a variable ".repeat(3_000).as_bytes()).unwrap_err();
        assert!(reason.starts_with("expected NAME=VALUE, found \"not a variable") && reason.len() < 400, "{reason}");
    }
}
