//! A run from its folder, or from its `run.json`.

use std::path::Path;

use crate::lab::results::{FORMAT, Run};
use crate::report::read::{ForeignFile, ReadError, file, parsed};

/// The file of a run's folder that holds the run.
pub const FILE: &str = "run.json";

const WHAT: &str = "a run";

/// Reads a run's folder or its file.
///
/// # Errors
/// [`ReadError`], which names the file.
pub fn read(path: &Path) -> Result<Run, ReadError> {
    if path.is_dir() { file(&path.join(FILE), WHAT, FORMAT) } else { file(path, WHAT, FORMAT) }
}

/// A run from the text of its file.
///
/// # Errors
/// [`ForeignFile`].
pub fn run(text: &[u8]) -> Result<Run, ForeignFile> {
    parsed(text, WHAT, FORMAT)
}

#[cfg(test)]
mod tests {
    use std::fs;

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
