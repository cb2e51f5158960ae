//! What the proxy knows of one connection: the startup, the unit that is coming, the replies that are outstanding.
//!
//! It reads messages and holds no bytes. The two directions of a connection share it under a lock, each for the time of
//! one message.

use std::mem;

use crate::answer::{BlockStatus, ServerMessage};
use crate::assembly::{ClientMessage, UnitAssembly};
use crate::event::ProxyEventKind;
use crate::replies::{EndedUnit, ExpectedReply, Replies};
use crate::splitter::Frame;
use crate::statements::StatementMemory;
use crate::unit::{ClientUnit, ClientUnitKind};
use crate::wire::WireReader;

/// What a message of the client means for its bytes.
#[derive(Debug)]
pub enum ClientStep {
    /// The bytes go on, unless a unit has begun.
    Apart,
    /// The unit goes on.
    Part,
    /// The unit has ended. `is_released` tells that its first bytes went to the server before.
    Ended { unit: ClientUnit, is_released: bool },
}

/// What a message of the server means.
#[derive(Debug, Default)]
pub struct ServerStep {
    /// What is to be told.
    pub events: Vec<ProxyEventKind>,
    /// The units that ended with the message.
    pub ended: Vec<EndedUnit>,
    /// The client must see this message to go on, even if the answer is withheld.
    pub asks_for_data: bool,
    /// It is a notification.
    pub is_notification: bool,
}

/// The state of one connection.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and all combinations occur")]
pub struct Conversation {
    /// Whether the owner is asked, so that a unit waits for its end before it goes.
    holds: bool,
    memory: StatementMemory,
    assembly: UnitAssembly,
    /// The replies to the messages that have not gone to the server.
    waiting: Vec<ExpectedReply>,
    /// Whether the unit that is coming goes to the server as it comes.
    is_released: bool,
    replies: Replies,
    /// Whether units that ended with a Flush have executed something since the last Sync.
    flushed_executions: bool,
    /// The process of the server, once it is known.
    pub backend_pid: i32,
    /// The secret of a cancel request.
    pub backend_key: Vec<u8>,
    /// What the last `ReadyForQuery` said; none before the first.
    pub status: Option<BlockStatus>,
    /// Whether the client said goodbye.
    pub said_goodbye: bool,
    /// Whether the client sends no more.
    client_finished: bool,
    /// Whether the server said that it ends the session, before the client ended it.
    pub is_ended_by_server: bool,
    /// The unit that waits for the owner.
    pub held_unit: Option<u64>,
    /// Whether a complete answer waits for the owner.
    pub holds_answer: bool,
    /// Whether the messages are no longer understood.
    pub is_blind: bool,
}

impl Conversation {
    pub fn new(holds: bool) -> Self {
        Self {
            holds,
            memory: StatementMemory::default(),
            assembly: UnitAssembly::default(),
            waiting: Vec::new(),
            is_released: false,
            replies: Replies::default(),
            flushed_executions: false,
            backend_pid: 0,
            backend_key: Vec::new(),
            status: None,
            said_goodbye: false,
            client_finished: false,
            is_ended_by_server: false,
            held_unit: None,
            holds_answer: false,
            is_blind: false,
        }
    }

    /// The replies that are outstanding.
    pub fn replies(&self) -> &Replies {
        &self.replies
    }

    /// Notes that a part of the withheld answer was forwarded.
    pub fn answer_partly_forwarded(&mut self) {
        self.replies.partly_forwarded();
    }

    /// Whether a unit has begun and has not ended.
    pub fn is_unit_begun(&self) -> bool {
        self.assembly.is_begun()
    }

    /// Whether the bytes of the unit that is coming may go to the server as they come.
    pub fn is_unit_released(&self) -> bool {
        self.is_released
    }

    /// The unit that is coming, as far as it has come.
    pub fn unit_so_far(&self, bytes: usize, unfinished: Option<&Frame<'_>>) -> ClientUnit {
        self.assembly.so_far(bytes, unfinished)
    }

    /// A message of the client.
    pub fn client_frame(&mut self, frame: &Frame<'_>) -> Result<ClientStep, String> {
        if !self.assembly.is_begun() && self.replies.is_empty() && self.is_outside_transaction() {
            self.memory.forget_portals();
        }
        match self.assembly.read(frame, &mut self.memory)? {
            ClientMessage::Apart => {
                self.said_goodbye |= frame.tag == b'X';
                Ok(ClientStep::Apart)
            }
            ClientMessage::CopyEnd => {
                self.replies.push(ExpectedReply::CopyEnd, &mut self.memory);
                Ok(ClientStep::Apart)
            }
            ClientMessage::Part(reply) => {
                self.part(reply);
                Ok(ClientStep::Part)
            }
            ClientMessage::End(reply, kind) => {
                self.part(reply);
                let ends_implicit_transaction = kind == ClientUnitKind::Sync && self.flushed_executions;
                let unit = self.assembly.finish(kind, ends_implicit_transaction && self.is_block_closed());
                self.flushed_executions =
                    kind == ClientUnitKind::Flush && (self.flushed_executions || unit.execution_count > 0);
                Ok(ClientStep::Ended { unit, is_released: mem::take(&mut self.is_released) })
            }
        }
    }

    fn is_block_closed(&self) -> bool {
        self.status == Some(BlockStatus::Idle)
    }

    fn is_outside_transaction(&self) -> bool {
        self.is_block_closed() && !self.flushed_executions
    }

    fn part(&mut self, reply: ExpectedReply) {
        if !self.holds && !self.is_released {
            self.is_released = true;
            self.replies.begin_unit(self.assembly.number(), false);
        }
        if self.is_released {
            self.replies.push(reply, &mut self.memory);
        } else {
            self.waiting.push(reply);
        }
    }

    /// Lets a unit go that ended before.
    pub fn release(&mut self, unit: u64, withhold: bool) {
        self.held_unit = None;
        self.replies.begin_unit(unit, withhold);
        for reply in mem::take(&mut self.waiting) {
            self.replies.push(reply, &mut self.memory);
        }
    }

    /// Lets the unit go that is coming: what has come of it, and the rest as it comes.
    pub fn release_unfinished(&mut self, withhold: bool) {
        self.release(self.assembly.number(), withhold);
        self.is_released = true;
    }

    /// The client sends no more. Returns whether it said goodbye before.
    pub fn finish_client(&mut self) -> bool {
        self.client_finished = true;
        self.said_goodbye
    }

    /// Units that ended by what the client sent; the server had skipped them.
    pub fn take_ended(&mut self) -> Vec<EndedUnit> {
        self.replies.take_ended()
    }

    /// A message of the server.
    pub fn server_frame(&mut self, frame: &Frame<'_>) -> Result<ServerStep, String> {
        let mut step = ServerStep::default();
        match frame.tag {
            b'R' | b'v' => {}
            b'K' => self.backend_key_data(frame),
            b'S' => {
                let mut reader = WireReader::new(frame.body);
                if let (Some(name), Some(value), Some(_)) = (reader.name(), reader.name(), self.status) {
                    step.events.push(ProxyEventKind::SettingChanged { name, value });
                }
            }
            b'Z' => self.ready(frame, &mut step)?,
            b'E' => {
                let error = ServerMessage::read(frame.body);
                self.is_ended_by_server |= error.ends_connection() && !self.client_finished;
                let apart =
                    if self.status.is_none() { Some(error) } else { self.replies.error(error, &mut self.memory) };
                step.events.extend(apart.map(ProxyEventKind::ServerFailed));
            }
            b'N' => {
                let notice = self.replies.notice(ServerMessage::read(frame.body));
                step.events.extend(notice.map(ProxyEventKind::Noticed));
            }
            b'A' => {
                step.is_notification = true;
                let mut reader = WireReader::new(frame.body);
                if let (Some(backend_pid), Some(channel)) = (reader.i32(), reader.name()) {
                    let payload = String::from_utf8_lossy(reader.text_or_rest().0).into_owned();
                    step.events.push(ProxyEventKind::Notified { backend_pid, channel, payload, withheld: false });
                }
            }
            b'G' | b'W' => {
                step.asks_for_data = true;
                self.replies.copy_in()?;
            }
            _ => self.replies.reply(frame, &mut self.memory)?,
        }
        step.ended = self.replies.take_ended();
        Ok(step)
    }

    fn backend_key_data(&mut self, frame: &Frame<'_>) {
        let mut reader = WireReader::new(frame.body);
        if let Some(pid) = reader.i32() {
            self.backend_pid = pid;
            self.backend_key = reader.rest().to_vec();
        }
    }

    fn ready(&mut self, frame: &Frame<'_>, step: &mut ServerStep) -> Result<(), String> {
        let status = frame.body.first().copied().and_then(BlockStatus::from_byte);
        let status = status.ok_or("the server sent a ReadyForQuery without a status")?;
        if self.status.replace(status).is_none() {
            step.events.push(ProxyEventKind::Ready { backend_pid: self.backend_pid });
            return Ok(());
        }
        self.replies.ready(status)
    }

    /// The connection has ended. Returns the units that were not answered.
    pub fn lose_connection(&mut self) -> Vec<EndedUnit> {
        self.replies.lose_connection();
        self.replies.take_ended()
    }
}
