//! Answers: what the server sent for a unit.

use std::fmt;

use crate::limits::{KEPT_NOTICES, KEPT_RESULTS, SHOWN_ROW_BYTES};
use crate::value::WireValue;
use crate::wire::WireReader;

/// The status of the transaction block, as `ReadyForQuery` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockStatus {
    /// Outside a transaction block.
    Idle,
    /// In a transaction block.
    InBlock,
    /// In a transaction block that failed; only a rollback is accepted.
    Failed,
}

impl BlockStatus {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'I' => Some(Self::Idle),
            b'T' => Some(Self::InBlock),
            b'E' => Some(Self::Failed),
            _ => None,
        }
    }
}

/// An error or a notice of the server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerMessage {
    /// ERROR, FATAL, PANIC, WARNING, NOTICE and so on, never translated.
    pub severity: String,
    /// The five characters of SQLSTATE.
    pub sqlstate: String,
    /// The message.
    pub message: String,
    /// The detail, if there is one.
    pub detail: Option<String>,
    /// The hint, if there is one.
    pub hint: Option<String>,
    /// The constraint that was violated, if it is about one.
    pub constraint: Option<String>,
}

impl ServerMessage {
    pub(crate) fn read(body: &[u8]) -> Self {
        let mut reader = WireReader::new(body);
        let mut message = Self::default();
        let mut translated = String::new();
        while let Some(field @ 1..) = reader.byte() {
            let value = String::from_utf8_lossy(reader.text_or_rest().0).into_owned();
            match field {
                b'S' => translated = value,
                b'V' => message.severity = value,
                b'C' => message.sqlstate = value,
                b'M' => message.message = value,
                b'D' => message.detail = Some(value),
                b'H' => message.hint = Some(value),
                b'n' => message.constraint = Some(value),
                _ => {}
            }
        }
        if message.severity.is_empty() {
            message.severity = translated;
        }
        message
    }

    /// Whether the server ends the connection after it.
    #[must_use]
    pub fn ends_connection(&self) -> bool {
        matches!(self.severity.as_str(), "FATAL" | "PANIC")
    }
}

impl fmt::Display for ServerMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.severity, self.sqlstate, self.message)
    }
}

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultField {
    /// Its name.
    pub name: String,
    /// The oid of its type.
    pub type_oid: u32,
    /// 0 is text, 1 is binary. A described statement says 0, because the format is known only at Bind.
    pub(crate) format: u16,
}

/// What one statement of a unit gave.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatementResult {
    /// Its columns, as far as the proxy knows them.
    pub fields: Vec<ResultField>,
    /// Its first rows, up to a limit of bytes for the whole unit.
    pub rows: Vec<Vec<WireValue>>,
    /// All its rows, the ones that are not shown too.
    pub row_count: u64,
    /// The command tag, as `UPDATE 1`. None after an error, for an empty query, and for a portal that has more rows.
    pub tag: Option<String>,
    /// Whether the portal has more rows than the client took.
    pub suspended: bool,
    /// Bytes of COPY data that the server sent.
    pub copied_bytes: u64,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerEnd {
    /// The server has finished the unit.
    Complete,
    /// The server skipped the unit, because an earlier one failed and no Sync came between.
    Skipped,
    /// The connection ended first: what became of the unit is unknown, unless the error tells it.
    ConnectionLost,
}

/// All that the server sent for one unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitAnswer {
    /// The number of the unit on its connection.
    pub unit: u64,
    /// The results, one for each execution or statement, up to a limit. A failed statement has one too.
    pub results: Vec<StatementResult>,
    /// How many results there were, also beyond the limit.
    pub result_count: u64,
    /// The error that ended the unit.
    pub error: Option<ServerMessage>,
    /// The notices, up to a limit.
    pub notices: Vec<ServerMessage>,
    /// The status of the transaction block afterwards. None for a unit that a Flush ended: the server does not say it.
    pub status: Option<BlockStatus>,
    /// How it ended.
    pub end: AnswerEnd,
    /// Whether bytes of the answer reached the client although it was withheld: it was too large, or asked for COPY data.
    pub partly_forwarded: bool,
    /// What the results beyond the limit are written to.
    beyond: StatementResult,
    /// Bytes of row values that may still be shown.
    row_bytes_left: usize,
    /// Whether the last result has ended.
    result_ended: bool,
}

impl UnitAnswer {
    pub(crate) fn new(unit: u64) -> Self {
        Self {
            unit,
            results: Vec::new(),
            result_count: 0,
            error: None,
            notices: Vec::new(),
            status: None,
            end: AnswerEnd::Complete,
            partly_forwarded: false,
            beyond: StatementResult::default(),
            row_bytes_left: SHOWN_ROW_BYTES,
            result_ended: true,
        }
    }

    /// The command tag of the last statement that has one.
    #[must_use]
    pub fn last_tag(&self) -> Option<&str> {
        self.results.iter().rev().find_map(|result| result.tag.as_deref())
    }

    /// The result that the server is sending now.
    pub(crate) fn current_result(&mut self) -> &mut StatementResult {
        if self.result_ended {
            self.result_ended = false;
            self.result_count += 1;
            if self.result_count <= KEPT_RESULTS as u64 {
                self.results.push(StatementResult::default());
            }
        }
        match self.results.last_mut() {
            Some(last) if self.result_count <= KEPT_RESULTS as u64 => last,
            _ => &mut self.beyond,
        }
    }

    /// The current result has ended.
    pub(crate) fn end_result(&mut self) {
        self.current_result();
        self.result_ended = true;
    }

    /// Adds a row. `format_of` gives the format and the type of a column.
    pub(crate) fn add_row(&mut self, body: &[u8], format_of: impl Fn(usize) -> (u16, Option<u32>)) {
        let left = self.row_bytes_left;
        self.row_bytes_left = left.saturating_sub(body.len().max(1));
        let result = self.current_result();
        result.row_count += 1;
        // Rows are shown without gaps, so that the first shown ones are the first ones.
        if left == 0 || result.rows.len() as u64 + 1 != result.row_count {
            return;
        }
        let mut reader = WireReader::new(body);
        let columns = usize::from(reader.u16().unwrap_or(0));
        let read = |index| {
            let (format, type_oid) = format_of(index);
            WireValue::read(&mut reader, format, type_oid)
        };
        result.rows.push((0..columns).map(read).collect());
    }

    pub(crate) fn add_notice(&mut self, notice: ServerMessage) {
        if self.notices.len() < KEPT_NOTICES {
            self.notices.push(notice);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_untranslated_severity_and_the_constraint_are_read() {
        let body = b"SFEHLER\0VERROR\0C23505\0Mduplicate key\0nusers_pkey\0\0";
        let message = ServerMessage::read(body);
        assert_eq!(message.to_string(), "ERROR 23505: duplicate key");
        assert_eq!(message.constraint.as_deref(), Some("users_pkey"));
        assert!(!message.ends_connection());
        assert_eq!(ServerMessage::read(b"SFATAL\0C57P01\0Mgone\0\0").severity, "FATAL");
    }

    #[test]
    fn rows_beyond_the_limit_are_counted_and_results_too() {
        let mut answer = UnitAnswer::new(1);
        let mut row = vec![0, 1, 0, 0, 0x30, 0];
        row.resize(6 + 0x3000, b'x');
        for _ in 0..5 {
            answer.add_row(&row, |_| (0, None));
        }
        answer.end_result();
        assert_eq!((answer.results[0].rows.len(), answer.results[0].row_count), (3, 5));
        for _ in 0..KEPT_RESULTS {
            answer.end_result();
        }
        assert_eq!((answer.results.len(), answer.result_count), (KEPT_RESULTS, KEPT_RESULTS as u64 + 1));
    }
}
