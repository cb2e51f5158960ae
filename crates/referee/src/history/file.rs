//! `history.jsonl`: histories as text, one JSON object a line. docs/HISTORY.md describes it, docs/history.schema.json
//! is its JSON schema.
//!
//! A round is a line `{"start":…}` with its title and the rows before, a line for each operation, and a line `{"end":…}` with
//! the rows after. Lines of different rounds do not mix. A run writes each line when its operation ends, so a run that is
//! killed leaves a file that is correct up to its last whole line.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use super::lines::{HistoryLine, OperationLine, RoundEnd, RoundStart, RowLine, row_lines};
use super::{History, HistoryState, ObservedRow, RoundTitle, RowState};
use domain::Row;

/// The version of the format, in each start line. A reader refuses others.
pub const FORMAT: u32 = 1;

/// The longest line that the reader accepts, in bytes. A start line with a thousand rows has about 60 KB.
const LINE_MAX: usize = 4 << 20;

/// Why a history cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file cannot be read.
    #[error("cannot read the history: {0}")]
    Io(#[from] io::Error),
    /// A line does not follow the format.
    #[error("line {line}: {reason}")]
    Line {
        /// The number of the line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
}

/// Writes one line.
///
/// # Errors
/// As writing does.
pub fn write_line(out: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

/// Writes a whole history. The literal answers, which a [`History`] does not have, stay empty.
///
/// # Errors
/// As writing does.
pub fn write(out: &mut impl Write, history: &History) -> io::Result<()> {
    write_start(out, &history.title, &history.before)?;
    for operation in &history.operations {
        write_line(out, &OperationLine::new(operation, None, None, String::new(), None))?;
    }
    write_end(out, history.operations.len() as u64, history.after.as_ref())
}

/// Writes the line that begins a round.
///
/// # Errors
/// As writing does.
pub fn write_start(out: &mut impl Write, title: &RoundTitle, before: &HistoryState) -> io::Result<()> {
    let start = RoundStart { format: FORMAT, title: title.clone(), rows: row_lines(before) };
    write_line(out, &HistoryLine::Start { start })
}

/// Writes the line that ends a round.
///
/// # Errors
/// As writing does.
pub fn write_end(out: &mut impl Write, operations: u64, after: Option<&HistoryState>) -> io::Result<()> {
    write_line(out, &HistoryLine::End { end: RoundEnd { operations, rows: after.map(row_lines) } })
}

/// Reads the rounds of a file one after the other. Only one round is in memory at a time.
#[derive(Debug)]
pub struct HistoryReader<R> {
    input: R,
    line: u64,
    buffer: Vec<u8>,
    /// A start line that was read at the end of an unfinished round.
    next: Option<RoundStart>,
}

/// A round, and whether its end line was there.
#[derive(Debug)]
pub struct ReadRound {
    /// The history.
    pub history: History,
    /// Whether the end line is there. Without it the run was cut short, and the state afterwards is unknown.
    pub finished: bool,
}

impl<R: BufRead> HistoryReader<R> {
    /// A reader of this text.
    pub fn new(input: R) -> Self {
        Self { input, line: 0, buffer: Vec::new(), next: None }
    }

    /// The next round; `None` at the end of the file.
    ///
    /// # Errors
    /// [`HistoryError`], with the number of the line.
    pub fn next_round(&mut self) -> Result<Option<ReadRound>, HistoryError> {
        let start = match self.next.take() {
            Some(start) => start,
            None => match self.read_line()? {
                None => return Ok(None),
                Some(HistoryLine::Start { start }) => start,
                Some(_) => return Err(self.wrong(&"expected a line with \"start\", which begins a round")),
            },
        };
        if start.format != FORMAT {
            return Err(self.wrong(&format!("format: expected {FORMAT}, found {}", start.format)));
        }
        let before = self.state(start.rows)?;
        let mut history = History { title: start.title, before, operations: Vec::new(), after: None };
        loop {
            match self.read_line()? {
                Some(HistoryLine::Operation(line)) => {
                    let operation = line.operation().map_err(|reason| self.wrong(&reason))?;
                    history.operations.push(operation);
                }
                Some(HistoryLine::End { end }) => {
                    let found = history.operations.len() as u64;
                    if end.operations != found {
                        return Err(self.wrong(&format!("operations: expected {found}, found {}", end.operations)));
                    }
                    history.after = end.rows.map(|rows| self.state(rows)).transpose()?;
                    return Ok(Some(ReadRound { history, finished: true }));
                }
                Some(HistoryLine::Start { start }) => {
                    self.next = Some(start);
                    return Ok(Some(ReadRound { history, finished: false }));
                }
                None => return Ok(Some(ReadRound { history, finished: false })),
            }
        }
    }

    fn read_line(&mut self) -> Result<Option<HistoryLine>, HistoryError> {
        loop {
            self.buffer.clear();
            self.line += 1;
            let read = io::Read::take(&mut self.input, LINE_MAX as u64).read_until(b'\n', &mut self.buffer)?;
            if read == 0 {
                return Ok(None);
            }
            if read == LINE_MAX {
                return Err(self.wrong(&format!("expected at most {LINE_MAX} bytes, found a longer line")));
            }
            if self.buffer.trim_ascii().is_empty() {
                continue;
            }
            return match self.parse() {
                Ok(line) => Ok(Some(line)),
                // The run was killed while it wrote its last line.
                Err(_) if !self.buffer.ends_with(b"\n") => Ok(None),
                Err(error) => Err(self.wrong(&error)),
            };
        }
    }

    /// Nearly all lines are operations, so this tries an operation first. Serde's `untagged` would first build a tree of each line.
    fn parse(&self) -> Result<HistoryLine, serde_json::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Around {
            start: Option<RoundStart>,
            end: Option<RoundEnd>,
        }
        let error = match serde_json::from_slice(&self.buffer) {
            Ok(line) => return Ok(HistoryLine::Operation(line)),
            Err(error) => error,
        };
        match serde_json::from_slice(&self.buffer) {
            Ok(Around { start: Some(start), end: None }) => Ok(HistoryLine::Start { start }),
            Ok(Around { start: None, end: Some(end) }) => Ok(HistoryLine::End { end }),
            // For a broken start or end line, its own error is more useful than "not an operation".
            Err(inside) if self.buffer.starts_with(b"{\"start\"") || self.buffer.starts_with(b"{\"end\"") => {
                Err(inside)
            }
            Ok(_) | Err(_) => Err(error),
        }
    }

    fn state(&self, lines: Vec<RowLine>) -> Result<HistoryState, HistoryError> {
        let mut state = HistoryState::new();
        for RowLine { row, value, version, mut bookings } in lines {
            let parsed: Row = row.parse().map_err(|error| self.wrong(&format!("rows: {error}, found {row:?}")))?;
            if let Some(bookings) = &mut bookings {
                bookings.sort_unstable();
            }
            if state.insert(parsed, RowState { seen: ObservedRow { value, version }, bookings }).is_some() {
                return Err(self.wrong(&format!("rows: expected {row} once, found it twice")));
            }
        }
        Ok(state)
    }

    fn wrong(&self, reason: &impl ToString) -> HistoryError {
        HistoryError::Line { line: self.line, reason: reason.to_string() }
    }
}
