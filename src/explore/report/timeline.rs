//! A transcript as a text: a column for each session, time running downwards.
//!
//! ```text
//!    A: withdraw 8 from user 1              B: withdraw 8 from user 1
//! ────────────────────────────────────────────────────────────────
//! 1  select … for update → balance = 10
//! 2                                         select … for update
//!                                           … waits for A (transactionid)
//! 3  update users set balance = 2 …         ┊
//! 4  commit → done                          ┊
//!                                           … resumes → balance = 2
//! ```
//!
//! The number of a step stands to its left. A column with `┊` is blocked: its step is sent and has not come back.

use super::sql::SentStatement;
use super::timeline_events::{self, BlockedSpan, EventMoment, TimelineEvent, short};
use crate::explore::transcript::{Participant, Transcript};
use crate::report::printable::printable;
use crate::report::terminal::Terminal;
use crate::report::wrap::{display_width, filled_within, padded, wrapped, wrapped_sql};

/// Between two columns.
const GAP: usize = 3;

/// A column is not narrower than this, even if many of them make the lines too long: words broken into letters cannot be read.
const COLUMN_MIN: usize = 20;

/// Before the rows, under the heads of their lines.
const MARGIN: usize = 8;

/// The timeline of a transcript, and below it what is wrong, if something is: the names of the anomalies and a sentence.
#[must_use]
pub fn timeline(transcript: &Transcript, verdict: Option<(&[String], &str)>) -> String {
    timeline_on(transcript, verdict, Terminal::default())
}

/// The same, as wide as this terminal.
#[must_use]
pub fn timeline_on(transcript: &Transcript, verdict: Option<(&[String], &str)>, terminal: Terminal) -> String {
    let width = terminal.width;
    let steps = TimelineSteps::of(transcript, width);
    let mut blocks = vec![format!("schedule {}", transcript.schedule), rows("before", &transcript.before, width)];
    blocks.push(steps.lines().join("\n"));
    blocks.push(rows("after", &transcript.after, width));
    blocks.extend(verdict.map(|(anomalies, explanation)| {
        let text = format!("{}: {explanation}", anomalies.join(", "));
        filled_within(&text, 0, width)
    }));
    blocks.retain(|block| !block.is_empty());
    blocks.join("\n\n") + "\n"
}

fn rows(when: &str, rows: &[String], width: usize) -> String {
    let line = |(index, row): (usize, &String)| {
        let head = if index == 0 { when } else { "" };
        let texts = wrapped(&printable(&short(row)), width - MARGIN);
        texts
            .iter()
            .enumerate()
            .map(|(line, text)| format!("{:MARGIN$}{text}", if line == 0 { head } else { "" }))
            .collect::<Vec<_>>()
    };
    rows.iter().enumerate().flat_map(line).collect::<Vec<_>>().join("\n")
}

/// The part of the timeline that has columns.
struct TimelineSteps<'a> {
    heads: Vec<Vec<String>>,
    beats: Vec<TimelineEvent<'a>>,
    /// The lines of each beat.
    texts: Vec<Vec<String>>,
    blocked: Vec<BlockedSpan>,
    /// For the numbers of the steps.
    margin: usize,
    widths: Vec<usize>,
}

impl<'a> TimelineSteps<'a> {
    fn of(transcript: &'a Transcript, width: usize) -> Self {
        let margin = transcript.entries.len().to_string().len() + 2;
        let columns = transcript.parts.len().max(1);
        let widest = ((width - margin + GAP) / columns).saturating_sub(GAP).max(COLUMN_MIN);
        let head = |part: &Participant| wrapped(&printable(&format!("{}: {}", part.actor, part.title)), widest);
        let heads: Vec<Vec<String>> = transcript.parts.iter().map(head).collect();
        let beats = timeline_events::beats(transcript);
        let texts: Vec<Vec<String>> = beats.iter().map(|beat| text(beat, widest)).collect();
        let column_width = |column: usize| {
            let told = beats.iter().zip(&texts).filter(|(beat, _)| beat.column == column).flat_map(|(_, lines)| lines);
            told.chain(heads.get(column).into_iter().flatten()).map(|line| display_width(line)).max().unwrap_or(0)
        };
        let widths = (0..columns).map(column_width).collect();
        let blocked = timeline_events::blocked(&beats);
        Self { heads, beats, texts, blocked, margin, widths }
    }

    fn lines(&self) -> Vec<String> {
        let height = self.heads.iter().map(Vec::len).max().unwrap_or(0);
        let head = |line: usize| self.line("", |column| self.heads.get(column)?.get(line).map(String::as_str));
        let rule = "─".repeat(self.margin + self.widths.iter().sum::<usize>() + GAP * (self.widths.len() - 1));
        let beats = (0..self.beats.len()).flat_map(|index| self.beat(index));
        (0..height).map(head).chain([rule.clone()]).chain(beats).chain([rule]).collect()
    }

    fn beat(&self, index: usize) -> Vec<String> {
        let (beat, texts) = (&self.beats[index], &self.texts[index]);
        let is_blocked = |column: usize| {
            self.blocked.iter().any(|wait| wait.column == column && wait.from < index && index < wait.until)
        };
        let line = |(line, text): (usize, &String)| {
            let number = if line == 0 && beat.sends() { beat.step.to_string() } else { String::new() };
            self.line(&number, |column| match column {
                _ if column == beat.column => Some(text.as_str()),
                _ => is_blocked(column).then_some("┊"),
            })
        };
        texts.iter().enumerate().map(line).collect()
    }

    fn line<'t>(&self, number: &str, text: impl Fn(usize) -> Option<&'t str>) -> String {
        let cell = |(column, width): (usize, &usize)| padded(text(column).unwrap_or_default(), *width);
        let cells: Vec<String> = self.widths.iter().enumerate().map(cell).collect();
        let number_width = self.margin - 2;
        format!("{number:>number_width$}  {}", cells.join(&" ".repeat(GAP))).trim_end().to_owned()
    }
}

/// The lines of a beat.
fn text(beat: &TimelineEvent<'_>, width: usize) -> Vec<String> {
    let entry = beat.entry;
    let mut lines = Vec::new();
    if beat.sends() {
        let sent = SentStatement::of(entry);
        lines.extend(wrapped_sql(&printable(&sent.sql()), width));
        if !sent.beside.is_empty() {
            lines
                .extend(wrapped(&printable(&sent.beside.join(", ")), width - 2).iter().map(|line| format!("  {line}")));
        }
        if let Some(wait) = timeline_events::wait(entry) {
            lines.extend(wrapped(&printable(&format!("… {wait}")), width));
        }
    }
    if beat.hears() {
        push_result(&mut lines, beat, width);
        for notice in &entry.notices {
            lines.extend(hanging(" ", &printable(&short(notice)), width));
        }
        if let Some(ended) = &entry.ended {
            lines.extend(wrapped(&printable(&format!("■ {}", short(ended))), width));
        }
    }
    lines
}

/// The result, on the line of the statement if that is a short one.
fn push_result(lines: &mut Vec<String>, beat: &TimelineEvent<'_>, width: usize) {
    let results = timeline_events::result(&beat.entry.outcome);
    let arrow = if beat.moment == EventMoment::Resumed { "… resumes →" } else { "→" };
    for (index, result) in results.iter().enumerate() {
        let arrow = if index == 0 { arrow.to_owned() } else { " ".repeat(display_width(arrow)) };
        let text = printable(result);
        match lines.as_mut_slice() {
            [only] if results.len() == 1 && display_width(only) + 3 + display_width(&text) <= width => {
                *only = format!("{only} → {text}");
            }
            _ => lines.extend(hanging(&arrow, &text, width)),
        }
    }
}

/// A text behind an arrow, its lines under each other.
fn hanging(arrow: &str, text: &str, width: usize) -> Vec<String> {
    let texts = wrapped(text, width.saturating_sub(display_width(arrow) + 1).max(COLUMN_MIN / 2));
    let line = |(index, line): (usize, &String)| match index {
        0 => format!("{arrow} {line}"),
        _ => format!("{}{line}", " ".repeat(display_width(arrow) - 1)),
    };
    texts.iter().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::report::sample::{self, transcripts};
    use crate::report::expected::expect_file;
    use crate::report::sample::{expect_harmless, expect_narrow};

    #[test]
    fn timelines_look_like_this() {
        let lost_update = &sample::report().explorations[0].witness.clone().unwrap();
        let told = timeline(&lost_update.transcript, Some((&lost_update.anomalies, &lost_update.explanation)));
        expect_file("src/explore/report/expected/timeline-lost-update.txt", &told);
        for (name, transcript) in [
            ("lock-wait", transcripts::lock_wait()),
            ("batch", transcripts::batch()),
            ("deadlock", transcripts::deadlock()),
            ("cut", transcripts::cut()),
            ("three", transcripts::three_bookings()),
            ("write-skew", transcripts::write_skew()),
        ] {
            let path = format!("src/explore/report/expected/timeline-{name}.txt");
            expect_file(&path, &timeline(&transcript, None));
        }
    }

    #[test]
    fn no_line_is_too_long_and_no_text_steers_the_terminal() {
        for witness in sample::hostile().explorations.into_iter().filter_map(|exploration| exploration.witness) {
            let told = timeline(&witness.transcript, Some((&witness.anomalies, &witness.explanation)));
            expect_harmless("timeline", &told);
            expect_narrow(&told);
        }
    }
}
