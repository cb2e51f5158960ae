//! Makes units of a client's messages.

use std::mem;
use std::sync::Arc;

use crate::limits::KEPT_EXECUTIONS;
use crate::replies::ExpectedReply;
use crate::splitter::{Frame, HEADER_BYTES};
use crate::statements::StatementMemory;
use crate::unit::{ClientUnit, ClientUnitKind, UnitExecution};
use crate::wire::{KeptText, WireReader};

/// What a message of a client means for the unit.
#[derive(Debug)]
pub enum ClientMessage {
    /// It belongs to no unit: a password, COPY data, a goodbye.
    Apart,
    /// The end of COPY data; it belongs to no unit either, but counts for the order of the replies.
    CopyEnd,
    /// It goes on with a unit, and the server will answer it.
    Part(ExpectedReply),
    /// It ends a unit.
    End(ExpectedReply, ClientUnitKind),
}

/// The unit whose end has not come.
#[derive(Debug)]
pub struct UnitAssembly {
    unit: ClientUnit,
    is_begun: bool,
}

impl Default for UnitAssembly {
    fn default() -> Self {
        let unit = ClientUnit {
            number: 1,
            kind: ClientUnitKind::Unfinished,
            executions: Vec::new(),
            execution_count: 0,
            parses: Vec::new(),
            ends_implicit_transaction: false,
            bytes: 0,
        };
        Self { unit, is_begun: false }
    }
}

impl UnitAssembly {
    /// Whether a message of the unit has come.
    pub fn is_begun(&self) -> bool {
        self.is_begun
    }

    /// The number of the unit.
    pub fn number(&self) -> u64 {
        self.unit.number
    }

    /// The unit as far as it has come: so many bytes, the last of them of a message whose end has not come.
    pub fn so_far(&self, bytes: usize, unfinished: Option<&Frame<'_>>) -> ClientUnit {
        let mut unit = ClientUnit { bytes, ..self.unit.clone() };
        match unfinished {
            Some(Frame { tag: b'Q', body, .. }) => {
                unit.executions.push(query_of(KeptText::new(body, false)));
                unit.execution_count += 1;
            }
            Some(Frame { tag: b'P', body, .. }) => {
                let mut reader = WireReader::new(body);
                let (_name, (sql, whole)) = (reader.name(), reader.text_or_rest());
                unit.parses.push(Arc::new(KeptText::new(sql, whole)));
            }
            _ => {}
        }
        unit
    }

    /// The unit, which has ended. The next one begins.
    pub fn finish(&mut self, kind: ClientUnitKind, ends_implicit_transaction: bool) -> ClientUnit {
        let mut next = Self::default();
        next.unit.number = self.unit.number + 1;
        let unit = mem::replace(self, next).unit;
        ClientUnit { kind, ends_implicit_transaction, ..unit }
    }

    /// Reads a message.
    pub fn read(&mut self, frame: &Frame<'_>, memory: &mut StatementMemory) -> Result<ClientMessage, String> {
        use ClientMessage as Message;
        use ExpectedReply as Reply;
        let malformed = || format!("the client sent a message with the tag {} that is malformed", shown_tag(frame.tag));
        let message = match frame.tag {
            b'p' | b'X' | b'd' => return Ok(Message::Apart),
            b'c' | b'f' if self.is_begun => Message::Part(Reply::CopyEnd),
            b'c' | b'f' => return Ok(Message::CopyEnd),
            b'Q' => {
                let (sql, whole) = WireReader::new(frame.body).text_or_rest();
                self.execution(|| query_of(KeptText::new(sql, whole)));
                Message::End(Reply::Query, ClientUnitKind::Query)
            }
            b'P' => {
                let (statement, undo) = memory.parse(frame).ok_or_else(malformed)?;
                if self.unit.parses.len() < KEPT_EXECUTIONS {
                    self.unit.parses.push(Arc::clone(&statement.sql));
                }
                Message::Part(Reply::Parse(undo))
            }
            b'B' if memory.bind(frame) => Message::Part(Reply::Bind),
            b'E' => {
                let mut reader = WireReader::new(frame.body);
                let portal = memory.portal(&reader.name().ok_or_else(malformed)?);
                let max_rows = reader.u32().ok_or_else(malformed)?;
                self.execution(|| UnitExecution {
                    sql: portal.as_ref().and_then(|portal| Some(Arc::clone(&portal.statement.as_ref()?.sql))),
                    statement: portal.as_ref().map(|portal| portal.statement_name.clone()),
                    values: portal.as_ref().map(|portal| portal.values.clone()).unwrap_or_default(),
                    max_rows,
                });
                Message::Part(Reply::Execute(portal))
            }
            b'D' => {
                let (kind, name) = kind_and_name(frame).ok_or_else(malformed)?;
                Message::Part(match kind {
                    b'S' => Reply::DescribeStatement(memory.statement(&name)),
                    _ => Reply::DescribePortal(memory.portal(&name)),
                })
            }
            b'C' => {
                let (kind, name) = kind_and_name(frame).ok_or_else(malformed)?;
                Message::Part(if kind == b'S' {
                    Reply::CloseStatement(memory.close_statement(name))
                } else {
                    memory.close_portal(&name);
                    Reply::ClosePortal
                })
            }
            b'F' => Message::End(Reply::FunctionCall, ClientUnitKind::FunctionCall),
            b'S' => Message::End(Reply::Sync, ClientUnitKind::Sync),
            b'H' => Message::End(Reply::Flush, ClientUnitKind::Flush),
            b'B' => return Err(malformed()),
            tag => return Err(format!("the client sent a message with the unknown tag {}", shown_tag(tag))),
        };
        self.is_begun = true;
        self.unit.bytes += HEADER_BYTES + frame.body_bytes;
        Ok(message)
    }

    fn execution(&mut self, execution: impl FnOnce() -> UnitExecution) {
        self.unit.execution_count += 1;
        if self.unit.executions.len() < KEPT_EXECUTIONS {
            self.unit.executions.push(execution());
        }
    }
}

fn query_of(sql: KeptText) -> UnitExecution {
    UnitExecution { sql: Some(Arc::new(sql)), statement: None, values: Vec::new(), max_rows: 0 }
}

fn kind_and_name(frame: &Frame<'_>) -> Option<(u8, String)> {
    let mut reader = WireReader::new(frame.body);
    Some((reader.byte()?, reader.name()?))
}

fn shown_tag(tag: u8) -> String {
    if tag.is_ascii_graphic() { format!("{:?}", char::from(tag)) } else { format!("{tag:#04x}") }
}
