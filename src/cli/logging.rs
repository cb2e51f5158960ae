//! Log lines go to standard error; those of the access log go through a buffer.
//!
//! Ordinary lines are few and must not be lost: the thread that logs one also writes it. The access log has a line for
//! every request. If standard error blocks (a full pipe, a stopped terminal), these writes would stop one worker after the
//! other, and so the server. So a separate thread writes the access log from a bounded buffer; if the buffer is full, the
//! line is dropped and counted.

use std::io::{self, BufWriter, IsTerminal as _, Write};

use tracing::Metadata;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{FilterExt as _, LevelFilter, ParseError, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use crate::config::ACCESS_LOG_LINES;
use crate::database::commit_warning::CommitWarnings;
use crate::http::access_log;
use crate::report::printable::shown_except;

/// The log of this process. Dropping it writes the rest of the buffer.
pub struct LogGuard {
    writer: Option<WorkerGuard>,
    dropped: ErrorCounter,
}

/// Starts the log with this filter.
///
/// # Errors
/// When the filter is not valid.
pub fn start(filter: &str) -> Result<LogGuard, ParseError> {
    let wanted = || EnvFilter::try_new(filter);
    // The filters have a hint of a level, so that an event below `filter` costs nothing.
    let is_access = || filter_fn(is_access_line).with_max_level_hint(LevelFilter::TRACE);
    let is_other = || filter_fn(|line| !is_access_line(line)).with_max_level_hint(LevelFilter::TRACE);
    let colours = io::stderr().is_terminal();
    // Each write takes as many whole lines as fit: one write for each line would make the thread the bottleneck.
    let stderr = ShownLog { out: BufWriter::new(io::stderr()), colours };
    let buffer = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(ACCESS_LOG_LINES);
    let (buffered, writer) = buffer.thread_name("access-log").finish(stderr);
    let dropped = buffered.error_counter();
    tracing_subscriber::registry()
        // It has a filter of its own: whatever is logged, a commit that PostgreSQL warns about must be noticed.
        .with(CommitWarnings::layer())
        .with(
            fmt::layer()
                .with_ansi(colours)
                .with_writer(move || ShownLog { out: io::stderr(), colours })
                .with_filter(wanted()?.and(is_other())),
        )
        .with(fmt::layer().with_ansi(colours).with_writer(buffered).with_filter(wanted()?.and(is_access())))
        .init();
    Ok(LogGuard { writer: Some(writer), dropped })
}

/// A writer that makes lines printable. With colours it leaves the escape character, which the log itself has already replaced in all
/// texts.
struct ShownLog<W> {
    out: W,
    colours: bool,
}

impl<W: Write> Write for ShownLog<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.out.write_all(shown_except(&text, self.colours.then_some('\u{1b}')).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn is_access_line(line: &Metadata<'_>) -> bool {
    line.target() == access_log::TARGET
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        // The lines come first, then the number of dropped lines.
        drop(self.writer.take());
        let dropped = self.dropped.dropped_lines();
        if dropped > 0 {
            tracing::warn!(
                dropped,
                "the access log lost lines: requests came faster than standard error could be written"
            );
        }
    }
}
