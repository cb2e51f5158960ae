//! What a program printed: a bounded end of it, and its last line.

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Bytes of each stream of a program that are kept: enough for a stack trace.
const KEPT_BYTES: usize = 16 * 1024;

/// The longest last line, in characters: it is shown in a column of a timeline.
const LINE_MAX: usize = 200;

/// Lines that an error shows.
const SHOWN_LINES: usize = 20;

/// The end of what a program printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandOutput {
    /// Of standard output.
    pub output: String,
    /// Of standard error.
    pub errors: String,
}

impl CommandOutput {
    /// The last line of standard output that is not empty, or else of standard error; empty if there is none.
    #[must_use]
    pub fn last_line(&self) -> String {
        let last = |text: &str| text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned);
        let line = last(&self.output).or_else(|| last(&self.errors)).unwrap_or_default();
        line.chars().take(LINE_MAX).collect()
    }

    /// Its last lines, for an error.
    #[must_use]
    pub fn shown(&self) -> String {
        let tail = |text: &str| {
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
        };
        let parts = [tail(&self.output), tail(&self.errors)];
        let text = parts.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join("\n");
        if text.is_empty() { "it printed nothing".to_owned() } else { format!("it printed:\n{text}") }
    }
}

/// Reads a stream to its end, and keeps its last bytes. The program never waits for a full pipe.
pub async fn read_end(mut stream: impl AsyncRead + Unpin) -> String {
    let (mut kept, mut buffer) = (Vec::new(), vec![0; 8 * 1024]);
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..count]);
        let excess = kept.len().saturating_sub(KEPT_BYTES);
        kept.drain(..excess);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_end_of_a_long_output_is_kept() {
        let long = format!("{}\nlast line\n\n", "x".repeat(3 * KEPT_BYTES));
        let output = read_end(long.as_bytes()).await;
        assert_eq!(output.len(), KEPT_BYTES);
        let output = CommandOutput { output, errors: "a warning".to_owned() };
        assert_eq!(output.last_line(), "last line");
        let only_errors = CommandOutput { output: " \n".to_owned(), errors: "a\nb\n".to_owned() };
        assert_eq!(only_errors.last_line(), "b");
        let long_line = CommandOutput { output: "é".repeat(1_000), errors: String::new() };
        assert_eq!(long_line.last_line().chars().count(), LINE_MAX);
    }
}
