//! Units: what a client sends before it waits for an answer.

use std::sync::Arc;

use crate::value::WireValue;
use crate::wire::KeptText;

/// What ends a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientUnitKind {
    /// A simple Query: one message, with one statement or several.
    Query,
    /// Messages of the extended protocol up to a Sync. The Sync ends an implicit transaction.
    Sync,
    /// Messages of the extended protocol up to a Flush. An implicit transaction stays open.
    Flush,
    /// A function call, the old protocol of libpq's `PQfn`: one message.
    FunctionCall,
    /// The unit is larger than the proxy keeps waiting, and its end has not arrived.
    Unfinished,
}

/// One statement of a unit that the server is asked to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitExecution {
    /// The SQL. None if the statement was prepared where the proxy does not see it (SQL's PREPARE, a cursor of SQL), or if
    /// the limit of remembered statements was passed.
    pub sql: Option<Arc<KeptText>>,
    /// The name of the prepared statement; empty for the unnamed one, none for a simple Query.
    pub statement: Option<String>,
    /// The bound values, in order. Empty for a simple Query, whose values are part of its text. A last value of the form
    /// [`crate::ValueForm::Missing`] stands for all that lie beyond the kept part of the message.
    pub values: Vec<WireValue>,
    /// The most rows that the client takes now; 0 is all.
    pub max_rows: u32,
}

/// What a client sent before it waits: one Query, or everything up to a Sync or Flush.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientUnit {
    /// The number of the unit on its connection, from 1 on.
    pub number: u64,
    /// What ended it.
    pub kind: ClientUnitKind,
    /// What the server is asked to run, in order, up to a limit.
    pub executions: Vec<UnitExecution>,
    /// How many executions the unit has, also beyond the limit.
    pub execution_count: u64,
    /// The SQL of the statements that this unit prepares, in order, up to a limit. A Parse alone already takes the
    /// snapshot of a REPEATABLE READ transaction.
    pub parses: Vec<Arc<KeptText>>,
    /// Whether this Sync commits what earlier units executed before a Flush, outside a transaction block.
    pub ends_implicit_transaction: bool,
    /// Its length on the wire; for an unfinished one, so far.
    pub bytes: usize,
}

impl ClientUnit {
    /// Whether the unit runs nothing: it only parses, describes, closes or synchronises.
    #[must_use]
    pub fn is_housekeeping(&self) -> bool {
        let runs = self.execution_count > 0 || self.ends_implicit_transaction;
        !runs && !matches!(self.kind, ClientUnitKind::FunctionCall | ClientUnitKind::Unfinished)
    }

    /// The SQL of all executions, joined with `; `; `?` stands for an unknown one.
    #[must_use]
    pub fn sql(&self) -> String {
        let texts = self.executions.iter().map(|execution| execution.sql.as_ref().map_or("?", |sql| sql.text.as_str()));
        texts.collect::<Vec<_>>().join("; ")
    }
}
