//! The replies that a connection waits for, in the order in which the server sends them.
//!
//! PostgreSQL answers the messages of a client one after the other, and names none of them in its answers. So the proxy
//! keeps a queue of what it has forwarded, and each answer belongs to the front of the queue. Three rules of the protocol
//! disturb the order:
//!
//! - After an error in the extended protocol the server skips everything up to the next Sync.
//! - While the server takes COPY data, it ignores Sync and Flush. A driver may send them all the same.
//! - A Flush has no answer. Its unit has ended when the messages before it are answered.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use crate::answer::{AnswerEnd, BlockStatus, ResultField, ServerMessage, UnitAnswer};
use crate::splitter::Frame;
use crate::statements::{Portal, PreparedStatement, StatementMemory, Undo};
use crate::wire::WireReader;

/// A forwarded message, as far as its answer is concerned.
#[derive(Debug)]
pub enum ExpectedReply {
    Parse(Undo),
    Bind,
    DescribeStatement(Option<Arc<PreparedStatement>>),
    DescribePortal(Option<Arc<Portal>>),
    Execute(Option<Arc<Portal>>),
    CloseStatement(Undo),
    ClosePortal,
    /// Ends a unit with `ReadyForQuery`.
    Query,
    /// Ends a unit with `ReadyForQuery`.
    FunctionCall,
    /// Ends a unit with `ReadyForQuery`.
    Sync,
    /// Ends a unit, without an answer of its own.
    Flush,
    /// `CopyDone` or `CopyFail`; without an answer of its own.
    CopyEnd,
}

impl ExpectedReply {
    fn is_virtual(&self) -> bool {
        matches!(self, Self::Flush | Self::CopyEnd)
    }
}

/// A unit that was forwarded.
#[derive(Debug)]
struct UnitInFlight {
    answer: UnitAnswer,
    withheld: bool,
    /// Ends of units that the server ignores, this one's own or those of units after it. As many units after this one
    /// end together with it.
    ignored_ends: usize,
}

/// A unit that has ended.
#[derive(Debug)]
pub struct EndedUnit {
    pub answer: UnitAnswer,
    pub withheld: bool,
}

/// The queue of one connection.
#[derive(Debug, Default)]
pub struct Replies {
    expected: VecDeque<ExpectedReply>,
    units: VecDeque<UnitInFlight>,
    /// The server skips messages up to a Sync that has not been forwarded yet.
    skipping: bool,
    /// The server takes COPY data, and no end of the data has been forwarded yet.
    copying_in: bool,
    /// The columns of the result that a simple query is sending.
    query_fields: Vec<ResultField>,
    ended: Vec<EndedUnit>,
}

impl Replies {
    /// How many replies are outstanding.
    pub fn len(&self) -> usize {
        self.expected.len() + self.units.len()
    }

    /// Whether nothing is outstanding.
    pub fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    /// The units that are in flight.
    pub fn units(&self) -> usize {
        self.units.len()
    }

    /// Whether what the server sends now belongs to an answer that is withheld.
    pub fn is_withheld(&self) -> bool {
        self.units.front().is_some_and(|unit| unit.withheld)
    }

    /// Notes that a part of the withheld answer was forwarded.
    pub fn partly_forwarded(&mut self) {
        if let Some(unit) = self.units.front_mut() {
            unit.answer.partly_forwarded = true;
        }
    }

    /// The units that have ended since the last call.
    pub fn take_ended(&mut self) -> Vec<EndedUnit> {
        mem::take(&mut self.ended)
    }

    /// A unit begins to go to the server. Its messages follow with [`Replies::push`].
    pub fn begin_unit(&mut self, number: u64, withheld: bool) {
        self.units.push_back(UnitInFlight { answer: UnitAnswer::new(number), withheld, ignored_ends: 0 });
    }

    /// A message goes to the server.
    pub fn push(&mut self, message: ExpectedReply, memory: &mut StatementMemory) {
        use ExpectedReply as Reply;
        match message {
            Reply::Sync | Reply::Flush if self.copying_in => self.ignore_end(),
            Reply::CopyEnd if self.copying_in => self.copying_in = false,
            Reply::Sync => {
                self.skipping = false;
                self.expected.push_back(Reply::Sync);
            }
            Reply::Flush | Reply::Query | Reply::FunctionCall if self.skipping => {
                self.end_unit(AnswerEnd::Skipped, None);
            }
            skipped if self.skipping => take_back([skipped], memory),
            sent => {
                self.expected.push_back(sent);
                self.settle();
            }
        }
    }

    fn ignore_end(&mut self) {
        if let Some(unit) = self.units.front_mut() {
            unit.ignored_ends += 1;
        }
    }

    /// Takes what has no answer of its own off the front.
    fn settle(&mut self) {
        while let Some(message) = self.expected.pop_front_if(|message| message.is_virtual()) {
            if matches!(message, ExpectedReply::Flush) {
                self.end_unit(AnswerEnd::Complete, None);
            }
        }
    }

    /// The front unit has ended, and with it those whose ends the server ignored.
    fn end_unit(&mut self, end: AnswerEnd, status: Option<BlockStatus>) {
        let Some(first) = self.units.pop_front() else { return };
        let together = first.ignored_ends.min(self.units.len());
        for UnitInFlight { mut answer, withheld, .. } in [first].into_iter().chain(self.units.drain(..together)) {
            // An error made the server skip the rest of a unit; the unit itself was answered.
            answer.end = if answer.error.is_some() { AnswerEnd::Complete } else { end };
            answer.status = status;
            self.ended.push(EndedUnit { answer, withheld });
        }
    }

    /// The connection has ended: nothing more will be answered.
    pub fn lose_connection(&mut self) {
        self.expected.clear();
        while !self.units.is_empty() {
            self.end_unit(AnswerEnd::ConnectionLost, None);
        }
        for ended in &mut self.ended {
            ended.answer.end = AnswerEnd::ConnectionLost;
        }
    }

    /// The server is ready for the next unit.
    pub fn ready(&mut self, status: BlockStatus) -> Result<(), String> {
        use ExpectedReply as Reply;
        let ends_unit = |front: &mut Reply| matches!(front, Reply::Sync | Reply::Query | Reply::FunctionCall);
        if self.expected.pop_front_if(ends_unit).is_none() {
            return Err(self.unexpected("ReadyForQuery"));
        }
        self.end_unit(AnswerEnd::Complete, Some(status));
        self.settle();
        Ok(())
    }

    /// An error. Returns it if it belongs to no unit.
    pub fn error(&mut self, error: ServerMessage, memory: &mut StatementMemory) -> Option<ServerMessage> {
        use ExpectedReply as Reply;
        let Some(unit) = self.units.front_mut() else { return Some(error) };
        let ends_connection = error.ends_connection();
        // The first one tells why; a second one can only end the connection.
        unit.answer.error.get_or_insert(error);
        if matches!(self.expected.front(), Some(Reply::Execute(_) | Reply::Query)) {
            unit.answer.end_result();
        }
        self.copying_in = false;
        let ends_alone = matches!(self.expected.front(), Some(Reply::Sync | Reply::Query | Reply::FunctionCall));
        if ends_connection || ends_alone {
            return None;
        }
        let mut skipped = Vec::new();
        self.skipping = true;
        while let Some(message) = self.expected.pop_front_if(|message| !matches!(message, Reply::Sync)) {
            if matches!(message, Reply::Flush | Reply::Query | Reply::FunctionCall) {
                self.end_unit(AnswerEnd::Skipped, None);
            }
            skipped.push(message);
        }
        take_back(skipped, memory);
        if !self.expected.is_empty() {
            self.skipping = false;
        }
        None
    }

    /// A notice. Returns it if it belongs to no unit.
    pub fn notice(&mut self, notice: ServerMessage) -> Option<ServerMessage> {
        match self.units.front_mut() {
            Some(unit) => {
                unit.answer.add_notice(notice);
                None
            }
            None => Some(notice),
        }
    }

    /// The server takes COPY data. What the client sent before it knew is ignored up to the end of the data.
    pub fn copy_in(&mut self) -> Result<(), String> {
        use ExpectedReply as Reply;
        let Some(copy @ (Reply::Query | Reply::Execute(_))) = self.expected.pop_front() else {
            return Err(self.unexpected("CopyInResponse"));
        };
        self.copying_in = true;
        // Any other message makes the server fail the COPY, and then the order is that after an error.
        let is_ignored = |message: &mut Reply| matches!(message, Reply::Sync | Reply::Flush | Reply::CopyEnd);
        while self.copying_in
            && let Some(ignored) = self.expected.pop_front_if(is_ignored)
        {
            match ignored {
                Reply::CopyEnd => self.copying_in = false,
                _ => self.ignore_end(),
            }
        }
        self.copying_in &= self.expected.is_empty();
        self.expected.push_front(copy);
        Ok(())
    }

    /// Any other message of the server that answers one of the client.
    pub fn reply(&mut self, frame: &Frame<'_>, memory: &mut StatementMemory) -> Result<(), String> {
        use ExpectedReply as Reply;
        let front = match self.expected.front() {
            Some(front) if !self.units.is_empty() => front,
            _ => return Err(self.unexpected(name_of(frame.tag))),
        };
        let is_done = match (frame.tag, front) {
            (b'1', Reply::Parse(_))
            | (b'2', Reply::Bind)
            | (b'3', Reply::CloseStatement(_) | Reply::ClosePortal)
            | (b'n', Reply::DescribeStatement(_) | Reply::DescribePortal(_)) => true,
            (b't', Reply::DescribeStatement(statement)) => {
                if let (Some(statement), Some(types)) = (statement, read_types(frame)) {
                    let _ = statement.described_types.set(types);
                }
                false
            }
            (b'T', Reply::DescribeStatement(statement)) => {
                if let (Some(statement), Some(fields)) = (statement, read_fields(frame)) {
                    let _ = statement.fields.set(fields);
                }
                true
            }
            (b'T', Reply::DescribePortal(portal)) => {
                if let (Some(portal), Some(fields)) = (portal, read_fields(frame)) {
                    let _ = portal.fields.set(fields);
                }
                true
            }
            (b'T' | b'D' | b'C' | b'I' | b's', Reply::Query | Reply::Execute(_)) => self.result(frame, memory),
            (b'd', Reply::Query | Reply::Execute(_)) => {
                let unit = self.units.front_mut().ok_or("COPY data without a unit")?;
                unit.answer.current_result().copied_bytes += frame.body_bytes as u64;
                false
            }
            (b'c' | b'H', Reply::Query | Reply::Execute(_)) | (b'V', Reply::FunctionCall) => false,
            _ => return Err(self.unexpected(name_of(frame.tag))),
        };
        if is_done {
            self.expected.pop_front();
            self.settle();
        }
        Ok(())
    }

    /// A part of the result of a Query or an Execute. Returns whether it ends the reply to an Execute.
    fn result(&mut self, frame: &Frame<'_>, memory: &mut StatementMemory) -> bool {
        let (Some(unit), Some(front)) = (self.units.front_mut(), self.expected.front()) else { return false };
        let portal = match front {
            ExpectedReply::Execute(portal) => Some(portal.as_deref()),
            _ => None,
        };
        if let Some(Some(portal)) = portal {
            let result = unit.answer.current_result();
            if result.fields.is_empty()
                && let Some(fields) = portal.result_fields()
            {
                result.fields = fields.to_vec();
            }
        }
        match frame.tag {
            b'T' => {
                self.query_fields = read_fields(frame).unwrap_or_default();
                unit.answer.current_result().fields.clone_from(&self.query_fields);
                return false;
            }
            b'D' => {
                let fields = &self.query_fields;
                unit.answer.add_row(frame.body, |index| match portal {
                    Some(Some(portal)) => portal.format_of(index),
                    Some(None) => (1, None),
                    None => fields.get(index).map_or((1, None), |field| (field.format, Some(field.type_oid))),
                });
                return false;
            }
            b'C' => {
                let tag = String::from_utf8_lossy(WireReader::new(frame.body).text_or_rest().0).into_owned();
                if matches!(tag.as_str(), "DISCARD ALL" | "DEALLOCATE ALL") {
                    memory.forget_statements();
                }
                unit.answer.current_result().tag = Some(tag);
            }
            b's' => unit.answer.current_result().suspended = true,
            _ => {}
        }
        unit.answer.end_result();
        portal.is_some()
    }

    fn unexpected(&self, got: &str) -> String {
        match self.expected.front() {
            Some(front) => {
                let front = format!("{front:?}");
                let kind = front.split(['(', ' ']).next().unwrap_or_default();
                format!("the server sent {got} where the proxy expects the answer to {kind}")
            }
            None => format!("the server sent {got} where the proxy expects nothing"),
        }
    }
}

/// The server skipped these messages: the newest is taken back first.
fn take_back(
    skipped: impl IntoIterator<Item = ExpectedReply, IntoIter: DoubleEndedIterator>,
    memory: &mut StatementMemory,
) {
    for message in skipped.into_iter().rev() {
        if let ExpectedReply::Parse(undo) | ExpectedReply::CloseStatement(undo) = message {
            memory.undo(undo);
        }
    }
}

fn read_types(frame: &Frame<'_>) -> Option<Vec<u32>> {
    let mut reader = WireReader::new(frame.body);
    let count = reader.u16()?;
    (0..count).map(|_| reader.u32()).collect()
}

/// The columns of a `RowDescription`; none if it is larger than what is kept.
fn read_fields(frame: &Frame<'_>) -> Option<Vec<ResultField>> {
    let mut reader = WireReader::new(frame.body);
    let count = reader.u16()?;
    let mut field = || {
        let name = reader.name()?;
        let (_table, _column) = (reader.u32()?, reader.u16()?);
        let type_oid = reader.u32()?;
        let (_size, _modifier) = (reader.u16()?, reader.u32()?);
        Some(ResultField { name, type_oid, format: reader.u16()? })
    };
    (0..count).map(|_| field()).collect()
}

/// A message of the server, as the manual calls it.
fn name_of(tag: u8) -> &'static str {
    match tag {
        b'1' => "ParseComplete",
        b'2' => "BindComplete",
        b'3' => "CloseComplete",
        b'C' => "CommandComplete",
        b'D' => "DataRow",
        b'G' => "CopyInResponse",
        b'H' => "CopyOutResponse",
        b'I' => "EmptyQueryResponse",
        b'T' => "RowDescription",
        b'V' => "FunctionCallResponse",
        b'W' => "CopyBothResponse",
        b'd' => "CopyData",
        b'n' => "NoData",
        b's' => "PortalSuspended",
        b't' => "ParameterDescription",
        _ => "an unknown message",
    }
}
