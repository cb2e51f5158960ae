//! The operating system's user that PostgreSQL runs as.
//!
//! PostgreSQL refuses to run as root, rightly. So root hands the cluster to the system's user `postgres`, or to `nobody`
//! where there is none; everybody else simply runs it as themselves.

use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::{Gid, Uid, User};

use super::error::{ErrorContext, PostgresError};

/// In this order: the first that exists.
const ACCOUNTS_FOR_ROOT: [&str; 2] = ["postgres", "nobody"];

/// Who runs PostgreSQL and owns its files.
#[derive(Debug)]
pub(super) struct OsAccount {
    uid: Uid,
    gid: Gid,
    name: String,
    /// We are root: files have to be handed over and processes have to change their user.
    switch: bool,
}

impl OsAccount {
    /// The account for a cluster. One that exists keeps its owner, so that installing a package which brings a user
    /// `postgres` does not lock the data of `nobody` away.
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

    /// Makes the program run as this account. The standard library then also drops root's supplementary groups.
    pub(super) fn apply(&self, command: &mut Command) {
        if self.switch {
            command.uid(self.uid.as_raw()).gid(self.gid.as_raw());
        }
    }

    /// Hands a file or directory that we made to this account.
    pub(super) fn give(&self, path: &Path) -> Result<(), PostgresError> {
        if self.switch {
            chown(path, Some(self.uid.as_raw()), Some(self.gid.as_raw())).context("change the owner of", path)?;
        }
        Ok(())
    }

    /// An error that names the first thing on the way to `path` which is closed to this account, if there is one.
    ///
    /// Only mode bits are read: this explains a refusal, or foresees a plain one.
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
