//! A run from its folder, or from its `run.json`; and an exploration from its JSON.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::explore::findings;
use crate::lab::results::{self, Run};

/// The file of a run's folder that holds the run.
pub const FILE: &str = "run.json";

/// Why there is nothing to be had.
#[derive(Debug, thiserror::Error)]
pub enum RunReadError {
    /// No such file, or no right to read it.
    #[error("cannot read {}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Not what it should be.
    #[error("{}: {why}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        why: ForeignFile,
    },
}

/// Why a text is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum ForeignFile {
    /// A version that this program does not know.
    #[error("expected {what} of format {expected}, found format {found}")]
    Format {
        /// What was expected.
        what: &'static str,
        /// In which version.
        expected: u32,
        /// Its version.
        found: u64,
    },
    /// Something else.
    #[error("not {what}: {error}")]
    Other {
        /// What was expected.
        what: &'static str,
        /// What is wrong, and where.
        error: serde_json::Error,
    },
}

/// Reads a run's folder or its file.
///
/// # Errors
/// [`RunReadError`], which names the file.
pub fn read(path: &Path) -> Result<Run, RunReadError> {
    let path = if path.is_dir() { path.join(FILE) } else { path.to_owned() };
    match fs::read(&path) {
        Ok(text) => run(&text).map_err(|why| RunReadError::Foreign { path, why }),
        Err(error) => Err(RunReadError::Io { path, error }),
    }
}

/// A run from the text of its file.
///
/// # Errors
/// [`ForeignFile`].
pub fn run(text: &[u8]) -> Result<Run, ForeignFile> {
    parsed(text, "a run", results::FORMAT)
}

/// An exploration from the text of its file.
///
/// # Errors
/// [`ForeignFile`].
pub fn exploration(text: &[u8]) -> Result<findings::ExploreReport, ForeignFile> {
    parsed(text, "an exploration", findings::FORMAT)
}

fn parsed<T: DeserializeOwned>(text: &[u8], what: &'static str, expected: u32) -> Result<T, ForeignFile> {
    #[derive(Deserialize)]
    struct SchemaVersion {
        format: u64,
    }
    // First only the version: what another one holds besides is not ours to judge.
    match serde_json::from_slice(text) {
        Ok(SchemaVersion { format }) if format == u64::from(expected) => {}
        Ok(SchemaVersion { format: found }) => return Err(ForeignFile::Format { what, expected, found }),
        Err(error) => return Err(ForeignFile::Other { what, error }),
    }
    serde_json::from_slice(text).map_err(|error| ForeignFile::Other { what, error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::reports::sample;

    #[test]
    fn a_run_is_read_from_its_folder_and_from_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        fs::write(&file, serde_json::to_string(&sample::run()).unwrap()).unwrap();
        assert_eq!(read(folder.path()).unwrap(), sample::run());
        assert_eq!(read(&file).unwrap(), sample::run());
    }

    #[test]
    fn what_is_no_run_is_named_with_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        let error = |text: Option<&str>| {
            if let Some(text) = text {
                fs::write(&file, text).unwrap();
            }
            let error = read(folder.path()).unwrap_err().to_string();
            assert!(error.contains(&file.display().to_string()), "{error}");
            error
        };
        assert!(error(None).contains("No such file"));
        assert!(error(Some("verdict,approach")).contains("expected value at line 1"));
        assert!(error(Some("{}")).contains("missing field `format`"));
        assert!(error(Some(r#"{"format":1}"#)).contains("missing field `scenario`"));
        assert!(error(Some(r#"{"format":2,"new":true}"#)).ends_with("expected a run of format 1, found format 2"));
    }
}
