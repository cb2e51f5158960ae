//! `responses.log`: every answer with its count. A balance that came twice is a lost update that a person can see.

use std::io::{self, Write};

use super::recorder::AnswerCounts;
use crate::report::printable::printable;

/// The most bodies that are listed for an approach; further ones are only counted. Even `naive` rarely has more.
const BODIES_MAX: usize = 10_000;

/// Writes the section of one round: its counts by status, each body that came more than once (most first), and how many
/// came once. A service writes the bodies, so each is printable and on one line. Status 0 stands for requests without an answer.
///
/// # Errors
/// As writing does.
pub fn write(out: &mut impl Write, heading: &str, answers: &AnswerCounts) -> io::Result<()> {
    writeln!(out, "== {}", printable(heading))?;
    for (status, count) in &answers.by_status {
        match status {
            0 => writeln!(out, "no answer: {count}")?,
            _ => writeln!(out, "status {status}: {count}")?,
        }
    }
    let repeated = answers.repeated();
    for (count, body) in repeated.iter().take(BODIES_MAX) {
        writeln!(out, "{count:>8} × {}", printable(&String::from_utf8_lossy(body)))?;
    }
    if repeated.len() > BODIES_MAX {
        writeln!(out, "… and {} more bodies that came more than once", repeated.len() - BODIES_MAX)?;
    }
    if answers.beyond > 0 {
        writeln!(
            out,
            "answers beyond the first {} different ones, not counted: {}",
            answers.distinct(),
            answers.beyond
        )?;
    }
    writeln!(out, "bodies that came once: {}\n", answers.once())
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;

    use super::*;

    #[test]
    fn repeated_bodies_come_first_and_single_ones_are_counted() {
        let mut answers = AnswerCounts::default();
        for (status, body, times) in [
            (Some(200), r#"{"balance":2}"#, 1),
            (Some(200), r#"{"balance":4}"#, 3),
            (Some(200), r#"{"balance":6}"#, 3),
            (Some(409), r#"{"error":"Insufficient funds"}"#, 5),
            (None, "the connection broke", 1),
        ] {
            for _ in 0..times {
                answers.count(status, &Bytes::from_static(body.as_bytes()));
            }
        }
        for _ in 0..2 {
            answers.count(Some(500), &Bytes::from_static(b"\x1b[2J\r\n\x07"));
        }
        let mut out = Vec::new();
        write(&mut out, "naive", &answers).unwrap();
        let expected = "\
== naive
no answer: 1
status 200: 7
status 409: 5
status 500: 2
       5 × {\"error\":\"Insufficient funds\"}
       3 × {\"balance\":4}
       3 × {\"balance\":6}
       2 × \\u{1b}[2J\\r\\n\\u{7}
bodies that came once: 2

";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
