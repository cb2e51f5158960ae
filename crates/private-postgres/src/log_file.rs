//! PostgreSQL's log: one file that receives all output of PostgreSQL. Its size is bounded, also while PostgreSQL runs.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::error::{ErrorContext, PostgresError};

/// The size at which the log is rotated: months of ordinary work. With the rotated file, the log takes at most twice this.
const MAX_BYTES: u64 = 10 * 1024 * 1024;

/// How much of the log an error quotes: enough for PostgreSQL's message with its DETAIL and HINT.
const TAIL_LINES: usize = 10;
const TAIL_BYTES: u64 = 4096;

/// The log file of a data directory.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
}

impl LogFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A handle for the output of a child. PostgreSQL inherits it, so its user needs no permission on the file.
    pub(super) fn open(&self) -> Result<File, PostgresError> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path);
        file.context("open the log file", &self.path)
    }

    pub(super) fn len(&self) -> u64 {
        self.path.metadata().map_or(0, |metadata| metadata.len())
    }

    /// Moves a log that is too long to `.1`, and replaces the earlier one.
    ///
    /// It copies the file and then empties it, because a running postmaster keeps writing to the same file. A line that
    /// PostgreSQL writes between the two steps is lost, which is acceptable for a log.
    pub(super) fn rotate(&self) {
        if self.len() <= MAX_BYTES {
            return;
        }
        let old = self.path.with_extension("log.1");
        let rotated = fs::copy(&self.path, &old).and_then(|_| {
            let file = OpenOptions::new().write(true).open(&self.path)?;
            file.set_len(0)
        });
        if let Err(error) = rotated {
            tracing::warn!(log = %self.path.display(), %error, "cannot rotate PostgreSQL's log");
        }
    }

    /// The last lines that were written after `start`, for an error message.
    pub(super) fn tail(&self, start: u64) -> String {
        self.read_tail(start).unwrap_or_else(|error| format!("(the log cannot be read: {error})"))
    }

    fn read_tail(&self, start: u64) -> std::io::Result<String> {
        let mut file = File::open(&self.path)?;
        let end = file.metadata()?.len();
        file.seek(SeekFrom::Start(start.max(end.saturating_sub(TAIL_BYTES)).min(end)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        Ok(if tail.is_empty() { "(nothing was logged)".to_owned() } else { tail.join("\n") })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_long_log_is_rotated_while_its_writer_continues() {
        let dir = tempfile::tempdir().unwrap();
        let log = LogFile::new(dir.path().join("postgres.log"));
        let mut writer = log.open().unwrap();
        writer.set_len(MAX_BYTES).unwrap();
        log.rotate();
        assert_eq!(log.len(), MAX_BYTES, "at the limit, but not above it");
        writer.write_all(b"x").unwrap();
        log.rotate();
        assert_eq!(log.len(), 0);
        assert_eq!(dir.path().join("postgres.log.1").metadata().unwrap().len(), MAX_BYTES + 1);
        writer.write_all(b"next\n").unwrap();
        assert_eq!(log.tail(0), "next");
    }

    #[test]
    fn the_tail_holds_only_lines_of_this_start() {
        let dir = tempfile::tempdir().unwrap();
        let log = LogFile::new(dir.path().join("postgres.log"));
        let mut writer = log.open().unwrap();
        writer.write_all(b"before\n").unwrap();
        let start = log.len();
        assert_eq!(log.tail(start), "(nothing was logged)");
        writer.write_all(b"after\n").unwrap();
        assert_eq!(log.tail(start), "after");
    }
}
