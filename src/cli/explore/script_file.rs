//! The files that `explore` is given.

use std::path::Path;

use crate::explore::file::Script;
use crate::explore::file_role::FileRights;
use crate::explore::spec::grammar::IsolationSpec;
use crate::explore::spec::{as_script, spec_run};

/// Whether a file has this extension.
#[must_use]
pub fn has_extension(name: &str, wanted: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == wanted)
}

/// An explore file, or the steps of a spec as one. `trusted` says that its statements may do all that a superuser may.
///
/// # Errors
/// What is wrong with it, or that it asks for more rights than it has.
pub fn read_script(path: &Path, trusted: bool) -> Result<Script, String> {
    let name = path.display().to_string();
    if has_extension(&name, "spec") {
        let spec = IsolationSpec::read(path).map_err(|error| error.to_string())?;
        let mut script =
            as_script::script(&spec, &spec_run::name_of(path)).map_err(|reason| format!("{name}: {reason}"))?;
        // A spec has no place to say it.
        if trusted {
            script.rights = FileRights::Superuser;
        }
        return Ok(script);
    }
    let script = Script::read(path).map_err(|error| error.to_string())?;
    if script.rights == FileRights::Superuser && !trusted {
        return Err(format!(
            "{name}: superuser = true: its statements could run programs on this machine, so it is explored only with --trust-file; read the \
             file before you add that"
        ));
    }
    Ok(script)
}
