//! The files that `explore` is given.

use std::path::Path;

use crate::config::SCRIPT_FILE_BYTES;
use crate::explore::app::AppFile;
use crate::explore::file::Script;
use crate::explore::file_role::FileRights;
use crate::explore::spec::grammar::IsolationSpec;
use crate::explore::spec::{as_script, spec_run};
use crate::report::input_file::read_text;

/// Whether a file has this extension.
#[must_use]
pub fn has_extension(name: &str, wanted: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == wanted)
}

/// A file that can be explored.
#[derive(Debug)]
pub enum ExploredFile {
    /// Sessions with their statements: an explore file, or the steps of a spec.
    Script(Script),
    /// Requests to an application, or programs.
    App(Box<AppFile>),
}

impl ExploredFile {
    /// Reads a file. `trusted` says that its statements may do all that a superuser may.
    ///
    /// # Errors
    /// What is wrong with it, or that it asks for more rights than it has.
    pub fn read(path: &Path, trusted: bool) -> Result<Self, String> {
        let name = path.display().to_string();
        if has_extension(&name, "spec") {
            let spec = IsolationSpec::read(path).map_err(|error| error.to_string())?;
            let mut script =
                as_script::script(&spec, &spec_run::name_of(path)).map_err(|reason| format!("{name}: {reason}"))?;
            // A spec has no place to say it.
            if trusted {
                script.rights = FileRights::Superuser;
            }
            return Ok(Self::Script(script));
        }
        let text = read_text(path, SCRIPT_FILE_BYTES).map_err(|error| format!("{name}: {error}"))?;
        if AppFile::is_one(&text) {
            let file = AppFile::parse(&text, path).map_err(|error| format!("{name}: {error}"))?;
            return Ok(Self::App(Box::new(file)));
        }
        let script = Script::parse(&text).map_err(|error| format!("{name}: {error}"))?;
        if script.rights == FileRights::Superuser && !trusted {
            return Err(format!(
                "{name}: superuser = true: its statements could run programs on this machine, so it is explored only with --trust-file; \
                 read the file before you add that"
            ));
        }
        Ok(Self::Script(script))
    }
}
