//! The operating system's user that PostgreSQL runs as.
//!
//! PostgreSQL refuses to run as root. If this process is root, PostgreSQL runs as the system's user `postgres`, or as
//! `nobody` where there is no such user. Otherwise PostgreSQL runs as the user of this process.

use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::{Gid, Uid, User};

use super::error::{ErrorContext, PostgresError};

/// The users for root, in this order: the first one that exists is used.
const ACCOUNTS_FOR_ROOT: [&str; 2] = ["postgres", "nobody"];

/// The user that runs PostgreSQL and owns its files.
#[derive(Debug)]
pub(super) struct OsAccount {
    uid: Uid,
    gid: Gid,
    name: String,
    /// True if this process is root: then files must change their owner, and processes their user.
    switch: bool,
}

impl OsAccount {
    /// The account for a cluster. A cluster that exists keeps its owner: if a package later adds a user `postgres`, the
    /// data of `nobody` stay usable.
    pub(super) fn choose(cluster: &Path) -> Result<Self, PostgresError> {
        let owner = match cluster.metadata() {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).context("look at", cluster),
        };
        let me = Uid::effective();
        if !me.is_root() {
            if let Some(owner) = owner.filter(|owner| owner.uid() != me.as_raw()) {
                return Err(wrong_owner(cluster, &owner));
            }
            return Ok(Self { uid: me, gid: Gid::effective(), name: user_name(me), switch: false });
        }
        match owner {
            Some(owner) if owner.uid() == 0 => Err(wrong_owner(cluster, &owner)),
            Some(owner) => {
                let (uid, gid) = (Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid()));
                Ok(Self { uid, gid, name: user_name(uid), switch: true })
            }
            None => ACCOUNTS_FOR_ROOT
                .iter()
                .find_map(|name| User::from_name(name).ok().flatten())
                .filter(|user| !user.uid.is_root())
                .map(|user| Self { uid: user.uid, gid: user.gid, name: user.name, switch: true })
                .ok_or(PostgresError::NoAccount),
        }
    }

    pub(super) fn uid(&self) -> u32 {
        self.uid.as_raw()
    }

    /// Makes the program run as this account. The standard library also drops root's supplementary groups.
    pub(super) fn apply(&self, command: &mut Command) {
        if self.switch {
            command.uid(self.uid.as_raw()).gid(self.gid.as_raw());
        }
    }

    /// Makes this account the owner of a file or directory that this process made.
    pub(super) fn give(&self, path: &Path) -> Result<(), PostgresError> {
        if self.switch {
            chown(path, Some(self.uid.as_raw()), Some(self.gid.as_raw())).context("change the owner of", path)?;
        }
        Ok(())
    }

    /// Checks that this account can reach `path`. The error names the first directory on the way that it cannot enter.
    ///
    /// Only mode bits are read: this explains a refusal of the system, or predicts a simple one.
    pub(super) fn check_reach(&self, path: &Path, advice: &'static str) -> Result<(), PostgresError> {
        match self.blocked(path) {
            None => Ok(()),
            Some(blocked) => {
                Err(PostgresError::NotReachable { path: path.to_owned(), blocked, user: self.name.clone(), advice })
            }
        }
    }

    fn blocked(&self, path: &Path) -> Option<PathBuf> {
        let mut way: Vec<&Path> = path.ancestors().collect();
        way.reverse();
        way.into_iter().find(|step| step.metadata().is_ok_and(|step| !self.may_execute(&step))).map(Path::to_owned)
    }

    fn may_execute(&self, metadata: &Metadata) -> bool {
        let bit = if metadata.uid() == self.uid.as_raw() {
            0o100
        } else if metadata.gid() == self.gid.as_raw() {
            0o010
        } else {
            0o001
        };
        metadata.mode() & bit != 0
    }
}

/// "x belongs to y", with names where the system knows them.
pub(super) fn wrong_owner(path: &Path, owner: &Metadata) -> PostgresError {
    PostgresError::WrongOwner {
        path: path.to_owned(),
        owner: user_name(Uid::from_raw(owner.uid())),
        user: user_name(Uid::effective()),
    }
}

fn user_name(uid: Uid) -> String {
    User::from_uid(uid).ok().flatten().map_or_else(|| format!("uid {uid}"), |user| user.name)
}
