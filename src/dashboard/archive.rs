//! What earlier experiments found, read from the run folder.

use std::path::PathBuf;

/// The run folder.
#[derive(Debug)]
pub struct Archive {
    folder: PathBuf,
}

impl Archive {
    /// The archive in this folder, which need not exist yet.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }
}
