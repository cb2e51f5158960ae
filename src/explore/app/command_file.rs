//! A file of commands as data.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::explore::file::expect::Expect;
use crate::explore::file::script::{Invariant, SerialCheck};

/// Commands of a file at most. Their statements are not known before they run, and four have too many interleavings for a full search.
pub const COMMANDS_MAX: usize = 4;

/// A file of commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandFile {
    /// Its name in the report.
    pub title: String,
    /// What the file shows, and why. May be empty.
    pub story: String,
    /// SQL that prepares the database, once.
    pub setup: Option<String>,
    /// A program that prepares the database, once, after the SQL.
    pub prepare: Option<String>,
    /// The commands, `A` first.
    pub commands: Vec<CommandScript>,
    /// What must be true at every end.
    pub invariants: Vec<Invariant>,
    /// A query that returns the final state. Without it, the rows of all tables are.
    pub outcome: Option<String>,
    /// How every end must equal that of some serial order.
    pub serial: SerialCheck,
    /// What is expected.
    pub expect: Expect,
    /// Where its programs run: the folder of the file.
    pub folder: PathBuf,
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandScript {
    /// What a shell runs.
    pub run: String,
    /// Variables of its environment, beside those of the database.
    pub env: BTreeMap<String, String>,
}

impl CommandScript {
    /// What it runs, in one line.
    #[must_use]
    pub fn title(&self) -> String {
        self.run.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

impl CommandFile {
    /// The programs that it runs, in order.
    pub fn programs(&self) -> impl Iterator<Item = &str> {
        self.prepare.iter().map(String::as_str).chain(self.commands.iter().map(|command| command.run.as_str()))
    }
}
