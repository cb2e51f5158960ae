//! An explore file as data: its tables, its variants, and their sessions.

use std::fmt;

use serde::Deserialize;

use super::expect::{Expect, StatementRef};
use super::template::SqlTemplate;
use crate::explore::file_role::FileRights;
use crate::explore::schedule::{Actor, Schedule};

/// Sessions of a file at most. Few files with as many can be explored whole; a sample can.
pub const SESSIONS_MAX: usize = 8;

/// Sessions at most whose ends are compared with serial orders: 5 have 120.
pub const SERIAL_SESSIONS_MAX: usize = 5;

/// Statements of a session at most. Two sessions of 16 statements have 600 million interleavings.
pub const STATEMENTS_MAX: usize = 64;

/// Attempts of a session at most. Each attempt that another session can make fail adds interleavings.
pub const ATTEMPTS_MAX: u32 = 10;

/// The name of an end that no serial order gives.
pub const NOT_SERIALIZABLE: &str = "not serializable";

/// An explore file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Its name in the report.
    pub title: String,
    /// What the file shows, and why. May be empty.
    pub story: String,
    /// SQL that creates its tables in an empty schema, each text by itself.
    pub setup: Vec<String>,
    /// SQL that resets the rows. Without it, the schema is dropped and set up again.
    pub reset: Option<String>,
    /// SQL that runs after each interleaving, for what is not in the schema.
    pub teardown: Option<String>,
    /// What must be true at every end.
    pub invariants: Vec<Invariant>,
    /// A query that returns the final state.
    pub outcome: Option<String>,
    /// How every end must equal that of some serial order.
    pub serial: SerialCheck,
    /// If a serial order cannot be run, the exploration judges nothing. Otherwise it fails.
    pub serial_is_optional: bool,
    /// The rights of its statements.
    pub rights: FileRights,
    /// What is explored, one variant after the other.
    pub variants: Vec<ScriptVariant>,
}

/// What must be true at every end.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invariant {
    /// The name of what is wrong if it is false.
    pub name: String,
    /// A query that returns rows of one boolean each, all true if all is well. `{A.read.balance}` is what a session has read.
    pub query: SqlTemplate,
}

/// One exploration of a file: at one isolation level, with each connection cut at one place or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptVariant {
    /// The isolation level, if the file names several.
    pub isolation: Option<String>,
    /// The sessions, `A` first.
    pub sessions: Vec<SessionScript>,
    /// What is expected.
    pub expect: Expect,
    /// Schedules that are run as tests.
    pub schedules: Vec<ScheduleTest>,
}

/// What one session does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionScript {
    /// What it does, for the report.
    pub name: String,
    /// SQL that prepares its connection before each interleaving. No step.
    pub setup: Option<String>,
    /// Its statements, in order.
    pub statements: Vec<ScriptStatement>,
    /// Values that it reads are used later, by itself or by an invariant.
    pub keeps_values: bool,
    /// How it reacts to an error.
    pub on_error: OnError,
    /// Its connection is cut after this statement, from 1, was executed.
    pub cut_after: Option<usize>,
}

impl SessionScript {
    /// Whether another session does the same, so that exchanging the two changes nothing.
    #[must_use]
    pub fn does_the_same(&self, other: &Self) -> bool {
        // Where a statement is in the file makes no difference.
        let same = |(one, other): (&ScriptStatement, &ScriptStatement)| {
            *one == ScriptStatement { line: one.line, ..other.clone() }
        };
        self.statements.len() == other.statements.len()
            && self.statements.iter().zip(&other.statements).all(same)
            && (&self.on_error, self.cut_after, &self.setup) == (&other.on_error, other.cut_after, &other.setup)
    }
}

/// One statement of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptStatement {
    /// Its name, unique in its session.
    pub name: String,
    /// The SQL that is sent.
    pub sql: SqlTemplate,
    /// Its line in the file, from 1.
    pub line: usize,
    /// It is sent outside a transaction, and its own commit is a step by itself.
    pub own_commit: bool,
    /// How many rows it must change or return. Otherwise the session reacts as to an error.
    pub rows: Option<u64>,
    /// The session stops before it if this expression over values that were read is true.
    pub stop_if: Option<SqlTemplate>,
    /// What the session sends if it fails, before it continues with the next statement.
    pub on_error: Option<SqlTemplate>,
}

impl ScriptStatement {
    /// What its session may send for it.
    pub fn sent(&self) -> impl Iterator<Item = &SqlTemplate> {
        [Some(&self.sql), self.on_error.as_ref()].into_iter().flatten()
    }

    /// All of its texts in which values can be used.
    pub fn templates(&self) -> impl Iterator<Item = &SqlTemplate> {
        self.sent().chain(&self.stop_if)
    }
}

/// How each end is compared with those of the serial orders: each session whole, one after the other, in every order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SerialCheck {
    /// Not at all.
    Off,
    /// The final rows, and how each session ended.
    Rows,
    /// Also what each statement returned.
    RowsAndAnswers,
}

/// How a session reacts to an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnError {
    /// It rolls back and gives up.
    Stop,
    /// After some errors it rolls back and begins again; after others it gives up.
    Retry {
        /// Attempts in all.
        attempts: u32,
        /// Their SQLSTATEs, and `rows` for a wrong number of rows.
        after: Vec<String>,
    },
    /// It continues with its next statement, as psql does.
    Continue,
    /// The same with a savepoint before each statement of a transaction, so that an error undoes only its own statement (psql's
    /// `ON_ERROR_ROLLBACK`).
    Savepoint,
}

/// A schedule that is run as a test, and what is expected of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleTest {
    /// The steps. When they are over, the sessions that have steps left take them, one after the other.
    pub steps: Schedule,
    /// The statements that wait, if that is checked.
    pub waits: Option<Vec<StatementRef>>,
    /// The statements that fail, with their SQLSTATEs, if that is checked.
    pub fails: Option<Vec<(StatementRef, String)>>,
    /// The rows of the file's outcome, if they are checked.
    pub outcome: Option<Vec<String>>,
    /// What is wrong in the end, if that is checked: an anomaly, or nothing.
    pub ends: Option<ScheduleEnd>,
}

/// What is expected of the end of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScheduleEnd {
    /// Nothing is wrong.
    Holds,
    /// This anomaly.
    Anomaly(String),
}

/// The isolation level and the cuts, such as `repeatable read, A cut after 2 (debit)`. Empty if the file has only one variant.
impl fmt::Display for ScriptVariant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cuts = (0..).zip(&self.sessions).filter_map(|(number, session)| {
            let after = session.cut_after?;
            let statement = session.statements.get(after.checked_sub(1)?)?;
            Some(format!("{} cut after {after} ({})", Actor::Client(number), statement.name))
        });
        let parts: Vec<String> = self.isolation.iter().cloned().chain(cuts).collect();
        formatter.write_str(&parts.join(", "))
    }
}
