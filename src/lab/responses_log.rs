//! `responses.log`: what was answered, counted. A balance that came twice is a lost update, seen with the naked eye.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::load::Answers;

/// Bodies listed for an approach; further ones are counted. Even `naive` has rarely more.
const BODIES_MAX: usize = 10_000;

/// Writes the section of one approach: its counts by status, each body that came more than once (most first), and
/// how many came once. Status 0 stands for requests without an answer.
///
/// # Errors
/// As writing does.
pub fn write(out: &mut impl Write, approach: &str, answers: &Answers) -> io::Result<()> {
    writeln!(out, "== {approach}")?;
    let mut by_status: BTreeMap<u16, u64> = BTreeMap::new();
    for ((status, _), count) in answers {
        *by_status.entry(*status).or_default() += count;
    }
    for (status, count) in by_status {
        match status {
            0 => writeln!(out, "no answer: {count}")?,
            _ => writeln!(out, "status {status}: {count}")?,
        }
    }
    let mut repeated: Vec<_> = answers.iter().filter(|(_, count)| **count > 1).collect();
    // Most first; equal counts by status and text, so that the same answers give the same file.
    repeated.sort_unstable_by(|(left, left_count), (right, right_count)| {
        right_count.cmp(left_count).then_with(|| left.cmp(right))
    });
    for ((_, body), count) in repeated.iter().take(BODIES_MAX) {
        writeln!(out, "{count:>8} × {}", String::from_utf8_lossy(body))?;
    }
    if repeated.len() > BODIES_MAX {
        writeln!(out, "… and {} more bodies that came more than once", repeated.len() - BODIES_MAX)?;
    }
    let once = answers.values().filter(|count| **count == 1).count();
    writeln!(out, "bodies that came once: {once}\n")
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;

    use super::*;

    #[test]
    fn repeated_bodies_come_first_and_single_ones_are_counted() {
        let answers = [
            ((200, r#"{"balance":2}"#), 1),
            ((200, r#"{"balance":4}"#), 3),
            ((200, r#"{"balance":6}"#), 3),
            ((409, r#"{"error":"Insufficient funds"}"#), 5),
            ((0, "the connection broke"), 1),
        ]
        .map(|((status, body), count)| ((status, Bytes::from_static(body.as_bytes())), count));
        let mut out = Vec::new();
        write(&mut out, "naive", &answers.into_iter().collect()).unwrap();
        let expected = "\
== naive
no answer: 1
status 200: 7
status 409: 5
       5 × {\"error\":\"Insufficient funds\"}
       3 × {\"balance\":4}
       3 × {\"balance\":6}
bodies that came once: 2

";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
