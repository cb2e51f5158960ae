//! Explore files: transactions that somebody else has thought of, in the words of docs/EXPLORE.md.
//!
//! A strategy's code is explored as it is; a question such as "does this deadlock?" has no code yet, and should need none. So a
//! file holds tables, a few sessions with their statements, and what must be true in the end, whatever the order was.
//!
//! - [`reading`], [`sessions`]: from TOML, with errors that name the field
//! - [`template`]: statements that use what was read before
//! - [`expect`]: what its author says will be found
//! - [`runner`]: a session, statement by statement; [`execution`]: all of them

pub mod execution;
pub mod expect;
mod reading;
pub mod runner;
mod sessions;
pub mod template;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;

use serde::Deserialize;

use super::schedule::Actor;
use expect::Expect;
use template::SqlTemplate;

/// Sessions that a file may have: with more, nobody has the patience.
pub const SESSIONS_MAX: usize = 4;

/// Statements that a session may have. Interleavings grow as the binomials do: two sessions of 16 have 600 million.
pub const STATEMENTS_MAX: usize = 16;

/// Attempts that a session may be given: when every attempt of one fails because of the other, each adds interleavings.
pub const ATTEMPTS_MAX: u32 = 10;

/// What an interleaving whose end no serial order gives is called.
pub const NOT_SERIALIZABLE: &str = "not serializable";

/// An explore file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// What the report calls it.
    pub title: String,
    /// What it shows, and why; may be empty.
    pub story: String,
    /// SQL that makes its tables, in an empty schema.
    pub setup: String,
    /// SQL that brings them back to their start; without it, everything is dropped and set up again.
    pub reset: Option<String>,
    /// What must be true of every end.
    pub invariants: Vec<Invariant>,
    /// A query whose rows are the final state.
    pub outcome: Option<String>,
    /// Whether every end must be one that a serial order gives.
    pub serial: bool,
    /// What is explored, one after the other.
    pub variants: Vec<ScriptVariant>,
}

/// What must be true of every end.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invariant {
    /// What is wrong where it is false.
    pub name: String,
    /// A query for one boolean, true where all is well.
    pub query: String,
}

/// One exploration of a file: at one isolation level, with connections cut at one place each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptVariant {
    /// The isolation level, if the file names several.
    pub isolation: Option<String>,
    /// Who takes part: `A` first.
    pub sessions: Vec<SessionScript>,
    /// What should be found.
    pub expect: Expect,
}

/// What one session does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionScript {
    /// What it is about.
    pub name: String,
    /// What it sends, in order.
    pub statements: Vec<ScriptStatement>,
    /// What it does about an error.
    pub on_error: OnError,
    /// Its connection is cut after this statement, from 1, has been carried out.
    pub cut_after: Option<usize>,
}

/// One statement of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptStatement {
    /// Its name, unique in its session.
    pub name: String,
    /// What is sent.
    pub sql: SqlTemplate,
}

/// What a session does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// It rolls back and gives up.
    Stop,
    /// After a serialization failure (40001) or a deadlock (40P01) it rolls back and begins again; after others it gives up.
    Retry {
        /// Attempts in all.
        attempts: u32,
    },
    /// It goes on with its next statement, as psql does.
    Continue,
}

/// Why an explore file is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ExploreFileError(String);

impl Script {
    /// Reads an explore file.
    ///
    /// # Errors
    /// [`ExploreFileError`], which names the file and what is wrong.
    pub fn read(path: &Path) -> Result<Self, ExploreFileError> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
        text.and_then(|text| reading::script(&text))
            .map_err(|reason| ExploreFileError(format!("{}: {reason}", path.display())))
    }

    /// Reads the text of an explore file.
    ///
    /// # Errors
    /// [`ExploreFileError`], which names what is wrong.
    pub fn parse(text: &str) -> Result<Self, ExploreFileError> {
        reading::script(text).map_err(ExploreFileError)
    }
}

/// Its isolation level and where connections are cut, such as `repeatable read, A cut after 2 (debit)`; empty if there is only one.
impl fmt::Display for ScriptVariant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cuts = (0..).zip(&self.sessions).filter_map(|(number, session)| {
            let after = session.cut_after?;
            let statement = session.statements.get(after.checked_sub(1)?)?;
            Some(format!("{} cut after {after} ({})", Actor::Client(number), statement.name))
        });
        let said: Vec<String> = self.isolation.iter().cloned().chain(cuts).collect();
        formatter.write_str(&said.join(", "))
    }
}
