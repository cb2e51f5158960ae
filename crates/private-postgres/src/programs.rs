//! PostgreSQL's programs: which version they are, and whether this crate works with it.
//!
//! | major version | what happens |
//! |---|---|
//! | 13 and older | refused: their `initdb` has no `--no-instructions` |
//! | 14 to 18 | accepted |
//! | 19 and newer | accepted with a warning: they were not released when this crate was written, so nothing is known of them |
//!
//! A newer version is not refused, because PostgreSQL keeps its programs and settings compatible, and a refusal would
//! stop every user on the day of a release.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::account::OsAccount;
use super::binaries::install_command;
use super::command::{output_within, private};
use super::error::{ErrorContext, PostgresError};

/// The oldest major version that is accepted. Version 14 added `initdb --no-instructions`.
pub(super) const OLDEST_VERSION: u32 = 14;

/// The newest major version that this crate was written for.
pub(super) const NEWEST_KNOWN_VERSION: u32 = 18;

/// `postgres --version` prints a constant; the rest is for loading the program from a slow disk.
const VERSION_LIMIT: Duration = Duration::from_secs(20);

/// PostgreSQL's programs, all from one directory and of one version.
#[derive(Debug)]
pub(super) struct Programs {
    dir: PathBuf,
    major: u32,
}

impl Programs {
    /// Asks `postgres` for its version, and refuses one that is too old.
    pub(super) fn examine(dir: PathBuf, account: &OsAccount) -> Result<Self, PostgresError> {
        let postgres = dir.join("postgres");
        account.check_reach(&postgres, "Use programs that every user may execute")?;
        let mut command = private(&postgres, account, Signal::SIGKILL);
        let output = output_within(command.arg("--version"), VERSION_LIMIT).context("run", &postgres)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let Some(major) = parse_major(&text).filter(|_| output.status.success()) else {
            return Err(PostgresError::ProgramFailed {
                program: format!("{} --version", postgres.display()),
                outcome: output.status.to_string(),
                detail: format!("{text}{}", String::from_utf8_lossy(&output.stderr)),
            });
        };
        match Support::of(major) {
            Support::TooOld => {
                return Err(PostgresError::VersionTooOld {
                    bin_dir: dir,
                    version: text.trim().to_owned(),
                    install: install_command(),
                });
            }
            Support::Known => {}
            Support::Newer => tracing::warn!(
                version = text.trim(),
                bin_dir = %dir.display(),
                "this PostgreSQL is newer than version {NEWEST_KNOWN_VERSION}, the newest one that was tested: \
                 if it does not start, install version {OLDEST_VERSION} to {NEWEST_KNOWN_VERSION}"
            ),
        }
        Ok(Self { dir, major })
    }

    /// The path of one of the programs.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Refuses a cluster that another major version made.
    pub(super) fn check_cluster(&self, cluster: &Path) -> Result<(), PostgresError> {
        let path = cluster.join("PG_VERSION");
        let version = fs::read_to_string(&path).context("read the version of the data in", &path)?;
        if version.trim() == self.major.to_string() {
            return Ok(());
        }
        Err(PostgresError::VersionMismatch {
            path: cluster.to_owned(),
            cluster: version.trim().to_owned(),
            bin_dir: self.dir.clone(),
            programs: self.major.to_string(),
        })
    }
}

/// What this crate knows of a major version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Support {
    TooOld,
    Known,
    Newer,
}

impl Support {
    fn of(major: u32) -> Self {
        match major {
            ..OLDEST_VERSION => Self::TooOld,
            OLDEST_VERSION..=NEWEST_KNOWN_VERSION => Self::Known,
            _ => Self::Newer,
        }
    }
}

/// `17` from `postgres (PostgreSQL) 17.2 (Debian 17.2-1)`, also from `17beta1` or `18devel`.
fn parse_major(version: &str) -> Option<u32> {
    let number = version.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    number.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_found_in_every_form() {
        for (text, major) in [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some(15)),
            ("postgres (PostgreSQL) 16.4 (Debian 16.4-1)", Some(16)),
            ("postgres (PostgreSQL) 18devel", Some(18)),
            ("postgres (PostgreSQL) 17beta1", Some(17)),
            ("postgres (PostgreSQL) 9.6.24", Some(9)),
            ("no number", None),
            ("", None),
        ] {
            assert_eq!(parse_major(text), major, "{text}");
        }
    }

    #[test]
    fn versions_14_to_18_are_known() {
        let versions = [9, 13, 14, 18, 19].map(Support::of);
        assert_eq!(versions, [Support::TooOld, Support::TooOld, Support::Known, Support::Known, Support::Newer]);
    }
}
