//! A client's connection, on which the client may stop sending before it has its answer.
//!
//! A client may close its sending half after a request and wait for the answer, as `nc -N` does. hyper would take the end of what the client
//! sends for the end of the client, and drop the request. So that end is kept from hyper from the moment when the head of the request has been
//! read until its answer has been sent. (If the body is not complete, its time limit ends the request.) A reset is not kept from it: no answer
//! could arrive any more, so hyper drops the request, and its operation runs to its end alone (`engine/detach_on_drop.rs`).
//!
//! A client that has closed the whole connection, without a reset, looks the same as one that waits: TCP shows the difference only when an
//! answer is sent. A stream of events has no end for which a client could wait, so there the end of what the client sends counts as always.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// There is no request: the end of the connection is one.
const RECEIVING: u8 = 0;

/// The head of the request has been read, and its answer is not complete.
const ANSWERING: u8 = 1;

/// The answer is complete, and may not be sent yet.
const ANSWERED: u8 = 2;

/// How far the exchange of a request and its answer is. There is one exchange at a time on a connection.
#[derive(Debug, Clone, Default)]
pub(super) struct ExchangeState(Arc<AtomicU8>);

impl ExchangeState {
    fn step(&self, from: u8, to: u8) -> bool {
        self.0.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn is(&self, state: u8) -> bool {
        self.0.load(Ordering::Relaxed) == state
    }

    /// A request has arrived. The answer before may not be sent yet, if the client sends its next request without waiting for it.
    pub(super) fn begin(&self) {
        self.0.store(ANSWERING, Ordering::Relaxed);
    }

    /// The body of an answer with these headers, whose end is noticed.
    pub(super) fn send(&self, headers: &HeaderMap, body: Body) -> SentBody {
        let kind = headers.get(header::CONTENT_TYPE).map(header::HeaderValue::as_bytes);
        if kind.is_some_and(|kind| kind.starts_with(b"text/event-stream")) {
            self.step(ANSWERING, RECEIVING);
        }
        SentBody { body, exchange: self.clone() }
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(super) struct SentBody {
    body: Body,
    exchange: ExchangeState,
}

impl HttpBody for SentBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for SentBody {
    fn drop(&mut self) {
        self.exchange.step(ANSWERING, ANSWERED);
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct ClientStream {
    stream: TcpStream,
    exchange: ExchangeState,
    /// The client sends no more.
    ended: bool,
}

impl ClientStream {
    pub(super) fn new(stream: TcpStream, exchange: ExchangeState) -> Self {
        Self { stream, exchange, ended: false }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ended {
            let (filled, room) = (buffer.filled().len(), buffer.remaining());
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
            self.ended = room > 0 && buffer.filled().len() == filled;
        }
        // hyper is woken by `poll_flush`.
        if self.ended && !self.exchange.is(RECEIVING) { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper calls this when it has written all that it had.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        let answered = self.exchange.step(ANSWERED, RECEIVING);
        if self.ended && (answered || self.exchange.is(RECEIVING)) {
            context.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
