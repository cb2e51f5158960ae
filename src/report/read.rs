//! JSON that says which version of its format it is of.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::input_file::{self, InputFileError};
use crate::config::RUN_FILE_BYTES;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No such file, no right to read it, or too long a file.
    #[error("cannot read {}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: InputFileError,
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

/// What a file holds: a value of this format, which `what` names.
///
/// # Errors
/// [`ReadError`], which names the file.
pub fn file<T: DeserializeOwned>(path: &Path, what: &'static str, format: u32) -> Result<T, ReadError> {
    let path = path.to_owned();
    match input_file::read(&path, RUN_FILE_BYTES) {
        Ok(text) => parsed(&text, what, format).map_err(|why| ReadError::Foreign { path, why }),
        Err(error) => Err(ReadError::Io { path, error }),
    }
}

/// What a text says.
///
/// # Errors
/// [`ForeignFile`].
pub fn parsed<T: DeserializeOwned>(text: &[u8], what: &'static str, expected: u32) -> Result<T, ForeignFile> {
    #[derive(Deserialize)]
    struct SchemaVersion {
        format: u64,
    }
    // First only the version: a file of another one is not checked any further.
    match serde_json::from_slice(text) {
        Ok(SchemaVersion { format }) if format == u64::from(expected) => {}
        Ok(SchemaVersion { format: found }) => return Err(ForeignFile::Format { what, expected, found }),
        Err(error) => return Err(ForeignFile::Other { what, error }),
    }
    serde_json::from_slice(text).map_err(|error| ForeignFile::Other { what, error })
}
