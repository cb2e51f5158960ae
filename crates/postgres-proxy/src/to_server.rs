//! The direction from the client to the server: where units are held.
//!
//! One buffer holds the bytes that were read. Its first part is decided: it goes to the server with the next write. Where
//! nothing is held, that is all that one read took. A unit that is held, or whose end has not come, stays undecided.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedReadHalf;

use crate::address::ServerWriter;
use crate::conversation::ClientStep;
use crate::event::ProxyEventKind;
use crate::limits::{KEPT_MESSAGE_BYTES, MAX_EXPECTED_REPLIES, READ_AHEAD_BYTES, READ_BYTES, UNIT_BYTES};
use crate::permit::{HeldUnits, UnitDecision, UnitPermit};
use crate::proxied::ProxiedConnection;
use crate::splitter::MessageSplitter;
use crate::unit::ClientUnit;

/// Why a direction ended.
#[derive(Debug)]
pub enum DirectionEnd {
    /// What it reads from has closed, and all bytes were forwarded. The error tells of a close that was not in order.
    SourceClosed(Option<io::Error>),
    /// What it writes to has closed.
    TargetClosed(io::Error),
    /// The owner cut the connection.
    Cut,
}

/// The bytes of a client on their way.
pub struct ToServer<'a> {
    connection: &'a ProxiedConnection,
    client: OwnedReadHalf,
    server: ServerWriter,
    splitter: MessageSplitter,
    buffer: Vec<u8>,
    /// The bytes of the buffer that the splitter has seen.
    parsed: usize,
    /// The bytes of the buffer that go to the server.
    decided: usize,
    is_finished: bool,
    read_error: Option<io::Error>,
}

impl<'a> ToServer<'a> {
    pub fn new(connection: &'a ProxiedConnection, client: OwnedReadHalf, server: ServerWriter) -> Self {
        // Nothing is read from COPY data, and a password must not be kept.
        let limit = |tag| if matches!(tag, b'd' | b'p') { 0 } else { KEPT_MESSAGE_BYTES };
        Self {
            connection,
            client,
            server,
            splitter: MessageSplitter::new(limit),
            buffer: Vec::new(),
            parsed: 0,
            decided: 0,
            is_finished: false,
            read_error: None,
        }
    }

    /// Forwards until one side closes.
    pub async fn run(&mut self) -> DirectionEnd {
        loop {
            if let Err(end) = self.forward_one_read().await {
                return end;
            }
            if self.is_finished {
                return self.finish().await;
            }
        }
    }

    async fn forward_one_read(&mut self) -> Result<(), DirectionEnd> {
        self.wait_for_replies().await;
        self.read().await;
        if self.connection.conversation().is_blind {
            self.decided = self.buffer.len();
        } else {
            self.read_messages().await?;
        }
        self.write_decided().await
    }

    /// A client may send any number of units before it reads an answer. Beyond the limit its bytes wait here.
    async fn wait_for_replies(&self) {
        loop {
            let is_full = {
                let conversation = self.connection.conversation();
                !conversation.is_blind && conversation.replies().len() > MAX_EXPECTED_REPLIES
            };
            if !is_full {
                return;
            }
            self.connection.answered.notified().await;
        }
    }

    async fn read(&mut self) {
        self.buffer.reserve(READ_BYTES);
        match (&mut self.client).take(READ_BYTES as u64).read_buf(&mut self.buffer).await {
            Ok(0) => self.is_finished = true,
            Ok(count) => self.connection.counts.bytes_from_client.add(count as u64),
            Err(error) => {
                self.is_finished = true;
                self.read_error = Some(error);
            }
        }
        if self.is_finished && !self.connection.conversation().finish_client() {
            self.connection.tell([ProxyEventKind::ClientFinished]).await;
        }
    }

    async fn write_decided(&mut self) -> Result<(), DirectionEnd> {
        if self.decided > 0 {
            self.server.write_all(&self.buffer[..self.decided]).await.map_err(DirectionEnd::TargetClosed)?;
            self.buffer.drain(..self.decided);
            self.parsed = self.parsed.saturating_sub(self.decided);
            self.decided = 0;
            if self.buffer.is_empty() {
                self.buffer.shrink_to(READ_BYTES);
            }
        }
        Ok(())
    }

    /// Reads the messages of the buffer, and decides about their bytes.
    async fn read_messages(&mut self) -> Result<(), DirectionEnd> {
        while self.parsed < self.buffer.len() {
            let step = match self.splitter.advance(&self.buffer[self.parsed..]) {
                Ok(step) => step,
                Err(error) => return self.lose_track(format!("the client sent {error}")).await,
            };
            self.parsed += step.consumed;
            let Some(frame) = step.frame else { break };
            let read = self.connection.conversation().client_frame(&frame);
            match read {
                Err(reason) => return self.lose_track(reason).await,
                Ok(ClientStep::Ended { unit, is_released }) => self.unit_ended(unit, is_released).await?,
                Ok(ClientStep::Apart | ClientStep::Part) => self.decide_all_unless_held(),
            }
            if self.connection.conversation().is_blind {
                self.decided = self.buffer.len();
                return Ok(());
            }
        }
        self.decide_about_unfinished().await
    }

    async fn lose_track(&mut self, reason: String) -> Result<(), DirectionEnd> {
        self.connection.lose_track(reason).await;
        self.decided = self.buffer.len();
        Ok(())
    }

    /// The bytes of a unit wait for its end, if the owner could be asked about it.
    fn decide_all_unless_held(&mut self) {
        let conversation = self.connection.conversation();
        if conversation.is_unit_released() || !conversation.is_unit_begun() {
            self.decided = self.parsed;
        }
    }

    /// Decides about the bytes at the end of the buffer that are no whole message, or no whole unit.
    async fn decide_about_unfinished(&mut self) -> Result<(), DirectionEnd> {
        let (is_begun, is_released) = {
            let conversation = self.connection.conversation();
            (conversation.is_unit_begun(), conversation.is_unit_released())
        };
        let is_apart = !is_begun && matches!(self.splitter.unfinished_tag(), Some(b'd' | b'p'));
        if self.connection.holds == HeldUnits::None || is_released || is_apart {
            self.decided = self.parsed;
        } else if self.parsed - self.decided > UNIT_BYTES {
            self.ask_about_unfinished().await?;
        }
        Ok(())
    }

    async fn ask_about_unfinished(&mut self) -> Result<(), DirectionEnd> {
        let bytes = self.parsed - self.decided;
        let unfinished = self.splitter.unfinished();
        let unit = self.connection.conversation().unit_so_far(bytes, unfinished.as_ref());
        let number = unit.number;
        self.count_unit(&unit);
        let withhold = if self.connection.has_owner() { self.hold(unit).await? } else { false };
        self.connection.conversation().release_unfinished(withhold);
        self.connection.tell([ProxyEventKind::UnitForwarded { unit: number }]).await;
        self.decided = self.parsed;
        Ok(())
    }

    async fn unit_ended(&mut self, unit: ClientUnit, is_released: bool) -> Result<(), DirectionEnd> {
        let number = unit.number;
        if is_released && self.connection.holds != HeldUnits::None {
            self.connection.tell([ProxyEventKind::UnitFinished { unit: Arc::new(unit) }]).await;
        } else {
            self.count_unit(&unit);
            let asks = match self.connection.holds {
                HeldUnits::None => false,
                HeldUnits::Executing => !unit.is_housekeeping(),
                HeldUnits::All => true,
            };
            if asks && self.connection.has_owner() {
                let withhold = self.hold(unit).await?;
                self.connection.conversation().release(number, withhold);
                self.connection.tell([ProxyEventKind::UnitForwarded { unit: number }]).await;
            } else {
                if !is_released {
                    self.connection.conversation().release(number, false);
                }
                self.connection.tell([ProxyEventKind::UnitArrived { unit: Arc::new(unit), permit: None }]).await;
            }
        }
        self.decided = self.parsed;
        // Units that the server skips end as soon as they have come.
        let ended = self.connection.conversation().take_ended();
        self.connection.tell_ended(ended).await;
        Ok(())
    }

    fn count_unit(&self, unit: &ClientUnit) {
        self.connection.counts.units.add(1);
        self.connection.counts.executing_units.add(u64::from(!unit.is_housekeeping()));
    }

    /// Asks the owner, and waits for its word. Meanwhile the client's bytes are read up to a limit, so that a client that
    /// closes is noticed. Returns whether the answer is to be withheld.
    async fn hold(&mut self, unit: ClientUnit) -> Result<bool, DirectionEnd> {
        self.write_decided().await?;
        self.connection.counts.held_units.add(1);
        let (permit, mut decision) = UnitPermit::new();
        self.connection.conversation().held_unit = Some(unit.number);
        self.connection.tell([ProxyEventKind::UnitArrived { unit: Arc::new(unit), permit: Some(permit) }]).await;
        let decision = loop {
            let has_room = self.buffer.len() - self.parsed < READ_AHEAD_BYTES;
            tokio::select! {
                biased;
                decision = &mut decision => break decision.unwrap_or(UnitDecision::Forward),
                () = self.read(), if has_room && !self.is_finished => {}
            }
        };
        match decision {
            UnitDecision::Forward => Ok(false),
            UnitDecision::ForwardAndWithhold => Ok(true),
            UnitDecision::Cut => Err(DirectionEnd::Cut),
        }
    }

    /// Reads what the client still sends and drops it, until the client closes. With unread bytes a close would be a reset,
    /// and the client could lose the last answer.
    pub async fn drain(&mut self) {
        self.buffer.clear();
        self.buffer.reserve(READ_BYTES);
        while matches!(self.client.read_buf(&mut self.buffer).await, Ok(1..)) {
            self.buffer.clear();
        }
    }

    /// The client sends no more: what is left goes to the server, and then the server sees the end too.
    async fn finish(&mut self) -> DirectionEnd {
        if self.decided < self.buffer.len() {
            let runs = self.connection.conversation().unit_so_far(0, None).execution_count > 0;
            if runs && self.connection.has_owner() {
                if let Err(end) = self.ask_about_unfinished().await {
                    return end;
                }
            } else if self.connection.conversation().is_unit_begun() {
                self.connection.conversation().release_unfinished(false);
            }
            self.decided = self.buffer.len();
        }
        if let Err(end) = self.write_decided().await {
            return end;
        }
        match self.server.shutdown().await {
            Ok(()) => DirectionEnd::SourceClosed(self.read_error.take()),
            Err(error) => DirectionEnd::TargetClosed(error),
        }
    }
}
