//! Where log lines go: to standard error, and the access log's through a buffer.
//!
//! Ordinary lines are few and must not be lost: whoever logs one writes it. The access log has a line for every request.
//! If nobody reads standard error (a full pipe, a stopped terminal), writing it would stop one worker after the other, and
//! the server with them. So a thread of its own writes it, from a bounded buffer; a line that finds no room is dropped
//! and counted.

use std::io::{BufWriter, IsTerminal as _};

use tracing::Metadata;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{ParseError, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use crate::config::ACCESS_LOG_LINES;
use crate::http::access_log;

/// The log of this process; at its end, what is still in the buffer is written.
pub struct LogGuard {
    writer: Option<WorkerGuard>,
    dropped: ErrorCounter,
}

/// Starts to log what the filter asks for.
///
/// # Errors
/// A filter that is none.
pub fn start(filter: &str) -> Result<LogGuard, ParseError> {
    let filter = EnvFilter::try_new(filter)?;
    let colours = std::io::stderr().is_terminal();
    // Whole lines, as many as fit: a write for each would make the thread the bottleneck.
    let stderr = BufWriter::new(std::io::stderr());
    let buffer = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(ACCESS_LOG_LINES);
    let (buffered, writer) = buffer.thread_name("access-log").finish(stderr);
    let dropped = buffered.error_counter();
    tracing_subscriber::registry()
        .with(filter)
        .with(
            fmt::layer()
                .with_ansi(colours)
                .with_writer(std::io::stderr)
                .with_filter(filter_fn(|line| !is_access(line))),
        )
        .with(fmt::layer().with_ansi(colours).with_writer(buffered).with_filter(filter_fn(is_access)))
        .init();
    Ok(LogGuard { writer: Some(writer), dropped })
}

fn is_access(line: &Metadata<'_>) -> bool {
    line.target() == access_log::TARGET
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        // First the lines, then their number.
        drop(self.writer.take());
        let dropped = self.dropped.dropped_lines();
        if dropped > 0 {
            tracing::warn!(dropped, "the access log could not be written as fast as requests came: lines are missing");
        }
    }
}
