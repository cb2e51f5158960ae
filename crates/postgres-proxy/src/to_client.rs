//! The direction from the server to the client: where answers are read, and withheld.
//!
//! As in the other direction, one buffer holds the bytes that were read, and its first part is released. Where nothing is
//! withheld, that is all that one read took.

use std::io;
use std::mem;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::watch;

use crate::address::ServerReader;
use crate::conversation::ServerStep;
use crate::event::ProxyEventKind;
use crate::limits::{KEPT_MESSAGE_BYTES, READ_AHEAD_BYTES, READ_BYTES, WITHHELD_BYTES, WITHHELD_NOTIFICATION_BYTES};
use crate::permit::AnswerPermit;
use crate::proxied::ProxiedConnection;
use crate::replies::EndedUnit;
use crate::splitter::MessageSplitter;
use crate::to_server::DirectionEnd;

/// The bytes of a server on their way.
pub struct ToClient<'a> {
    connection: &'a ProxiedConnection,
    server: ServerReader,
    client: OwnedWriteHalf,
    splitter: MessageSplitter,
    withholds_notifications: watch::Receiver<bool>,
    buffer: Vec<u8>,
    /// The bytes of the buffer that the splitter has seen.
    parsed: usize,
    /// Where the message begins that the splitter stands in.
    message_start: usize,
    /// The bytes of the buffer that go to the client.
    released: usize,
    /// Withheld notifications.
    notifications: Vec<u8>,
    is_finished: bool,
    read_error: Option<io::Error>,
}

impl<'a> ToClient<'a> {
    pub fn new(connection: &'a ProxiedConnection, server: ServerReader, client: OwnedWriteHalf) -> Self {
        Self {
            connection,
            server,
            client,
            splitter: MessageSplitter::new(|tag| if tag == b'd' { 0 } else { KEPT_MESSAGE_BYTES }),
            withholds_notifications: connection.withholds_notifications.clone(),
            buffer: Vec::new(),
            parsed: 0,
            message_start: 0,
            released: 0,
            notifications: Vec::new(),
            is_finished: false,
            read_error: None,
        }
    }

    /// Forwards until one side closes.
    pub async fn run(&mut self) -> DirectionEnd {
        loop {
            if let Err(error) = self.forward_one_read().await {
                return DirectionEnd::TargetClosed(error);
            }
            if self.is_finished {
                return self.finish().await;
            }
        }
    }

    async fn forward_one_read(&mut self) -> io::Result<()> {
        // Notifications return between two messages only.
        if self.notifications.is_empty() || !self.splitter.at_boundary() {
            self.read().await;
        } else {
            self.read_or_return_notifications().await;
        }
        if self.connection.conversation().is_blind {
            self.released = self.buffer.len();
        } else {
            self.read_messages().await?;
        }
        self.write_released().await
    }

    /// Reads, unless the owner lets the withheld notifications go first.
    async fn read_or_return_notifications(&mut self) {
        let mut withholds = self.withholds_notifications.clone();
        let are_let_go = async move { withholds.wait_for(|withholds| !withholds).await.is_ok() };
        tokio::select! {
            biased;
            true = are_let_go => self.return_notifications(),
            () = self.read() => {}
        }
    }

    async fn read(&mut self) {
        self.buffer.reserve(READ_BYTES);
        match (&mut self.server).take(READ_BYTES as u64).read_buf(&mut self.buffer).await {
            Ok(0) => self.is_finished = true,
            Ok(count) => self.connection.counts.bytes_from_server.add(count as u64),
            Err(error) => {
                self.is_finished = true;
                self.read_error = Some(error);
            }
        }
    }

    async fn write_released(&mut self) -> io::Result<()> {
        if self.released > 0 {
            self.client.write_all(&self.buffer[..self.released]).await?;
            self.buffer.drain(..self.released);
            self.parsed = self.parsed.saturating_sub(self.released);
            self.message_start = self.message_start.saturating_sub(self.released);
            self.released = 0;
            if self.buffer.is_empty() {
                self.buffer.shrink_to(READ_BYTES);
            }
        }
        Ok(())
    }

    async fn read_messages(&mut self) -> io::Result<()> {
        while self.parsed < self.buffer.len() {
            if self.splitter.at_boundary() {
                self.message_start = self.parsed;
            }
            let step = match self.splitter.advance(&self.buffer[self.parsed..]) {
                Ok(step) => step,
                Err(error) => return self.lose_track(format!("the server sent {error}")).await,
            };
            self.parsed += step.consumed;
            let Some(frame) = step.frame else { break };
            let (was_withheld, read) = {
                let mut conversation = self.connection.conversation();
                (conversation.replies().is_withheld(), conversation.server_frame(&frame))
            };
            match read {
                Ok(step) => self.message_ended(step, was_withheld).await?,
                Err(reason) => return self.lose_track(reason).await,
            }
            if self.connection.conversation().is_blind {
                self.released = self.buffer.len();
                return Ok(());
            }
        }
        self.release_unfinished();
        Ok(())
    }

    async fn lose_track(&mut self, reason: String) -> io::Result<()> {
        self.connection.lose_track(reason).await;
        self.released = self.buffer.len();
        Ok(())
    }

    /// A whole message was read. Its bytes end at `parsed`.
    async fn message_ended(&mut self, mut step: ServerStep, was_withheld: bool) -> io::Result<()> {
        if step.is_notification && !was_withheld && *self.withholds_notifications.borrow() {
            self.withhold_notification(&mut step);
        }
        self.connection.tell(step.events).await;
        if step.ended.iter().any(|ended| ended.withheld) {
            self.hold_answers(step.ended).await?;
            self.released = self.parsed;
        } else if was_withheld && !step.asks_for_data && self.parsed - self.released <= WITHHELD_BYTES {
            self.connection.tell_ended(step.ended).await;
        } else {
            if was_withheld {
                self.connection.conversation().answer_partly_forwarded();
            }
            self.connection.tell_ended(step.ended).await;
            self.released = self.parsed;
        }
        Ok(())
    }

    /// A part of a message is forwarded too, unless it may be withheld.
    fn release_unfinished(&mut self) {
        let mut conversation = self.connection.conversation();
        if conversation.replies().is_withheld() {
            if self.parsed - self.released > WITHHELD_BYTES {
                conversation.answer_partly_forwarded();
                self.released = self.parsed;
            }
        } else if self.splitter.unfinished_tag() == Some(b'A') && *self.withholds_notifications.borrow() {
            self.released = self.message_start;
        } else {
            self.released = self.parsed;
        }
    }

    /// Takes the notification that was just read out of the stream.
    fn withhold_notification(&mut self, step: &mut ServerStep) {
        let bytes = self.message_start..self.parsed;
        // Its first bytes may have been forwarded before notifications were withheld.
        let is_whole = self.message_start >= self.released && self.splitter_saw_whole_message();
        if !is_whole || self.notifications.len() + bytes.len() > WITHHELD_NOTIFICATION_BYTES {
            return self.return_notifications();
        }
        self.notifications.extend(self.buffer.drain(bytes));
        self.parsed = self.message_start;
        for event in &mut step.events {
            if let ProxyEventKind::Notified { withheld, .. } = event {
                *withheld = true;
            }
        }
    }

    /// Whether all bytes of the message that just ended are in the buffer.
    fn splitter_saw_whole_message(&self) -> bool {
        self.buffer.get(self.message_start) == Some(&b'A')
            && self.buffer.get(self.message_start + 1..self.message_start + 5).is_some_and(|length| {
                let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]);
                self.message_start + 1 + length as usize == self.parsed
            })
    }

    /// Puts withheld notifications back into the stream. The splitter stands between two messages.
    fn return_notifications(&mut self) {
        let notifications = mem::take(&mut self.notifications);
        let (at, count) = (self.parsed, notifications.len());
        self.buffer.splice(at..at, notifications);
        self.parsed += count;
        self.message_start = self.parsed;
        if !self.connection.conversation().replies().is_withheld() {
            self.released = self.parsed;
        }
    }

    /// Tells of units that have ended, and waits for the owner's word on those that are withheld. Meanwhile the server's
    /// bytes are read up to a limit.
    async fn hold_answers(&mut self, ended: Vec<EndedUnit>) -> io::Result<()> {
        self.write_released().await?;
        self.connection.count_ended(&ended);
        for EndedUnit { answer, withheld } in ended {
            let answer = Box::new(answer);
            if !withheld {
                self.connection.tell([ProxyEventKind::UnitAnswered { answer, permit: None }]).await;
                continue;
            }
            let (permit, mut released) = AnswerPermit::new();
            self.connection.conversation().holds_answer = true;
            self.connection.tell([ProxyEventKind::UnitAnswered { answer, permit: Some(permit) }]).await;
            loop {
                let has_room = self.buffer.len() - self.parsed < READ_AHEAD_BYTES;
                tokio::select! {
                    biased;
                    _ = &mut released => break,
                    () = self.read(), if has_room && !self.is_finished => {}
                }
            }
            self.connection.conversation().holds_answer = false;
        }
        Ok(())
    }

    /// The server sends no more: what is left goes to the client, and then the client sees the end too.
    async fn finish(&mut self) -> DirectionEnd {
        self.released = self.buffer.len();
        if let Err(error) = self.write_released().await {
            return DirectionEnd::TargetClosed(error);
        }
        let _ = self.client.shutdown().await;
        DirectionEnd::SourceClosed(self.read_error.take())
    }
}
