//! A transcript in the order in which it is told: what stands under what, and which sessions are blocked meanwhile. The timelines in text
//! and in HTML are both drawn from it.
//!
//! A step that comes back at once is one beat. A step that has to wait is two: the one in which it is sent and held up, and
//! the one in which it continues, below the step that let it. In between its column is blocked.

use uuid::Uuid;

use crate::explore::transcript::{StepOutcome, StepWait, Transcript, TranscriptStep};
use crate::report::figures::listed;
use crate::report::wrap::TIE;

/// Rows of one answer that are shown; more would hide the rest of the timeline.
const ROWS_MAX: usize = 6;

/// Letters of a uuid, and as many of them as tell it from the few others in one story.
const UUID_LENGTH: usize = 36;
const UUID_SHOWN: usize = 8;

/// Something that happens in one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimelineEvent<'a> {
    /// The step it belongs to.
    pub entry: &'a TranscriptStep,
    /// The number of that step, from 1.
    pub step: usize,
    /// In whose column, from 0.
    pub column: usize,
    /// What of the step.
    pub moment: EventMoment,
}

/// What of a step is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventMoment {
    /// All of it: it came back at once.
    Whole,
    /// It is sent, and has to wait.
    Held,
    /// It comes back after a wait.
    Resumed,
}

/// A column is blocked from one beat to another, which are both in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockedSpan {
    /// Which column, from 0.
    pub column: usize,
    /// The beat in which it was held up.
    pub from: usize,
    /// The beat in which it went on.
    pub until: usize,
}

/// The beats, from first to last.
#[must_use]
pub fn beats(transcript: &Transcript) -> Vec<TimelineEvent<'_>> {
    let beat = |step: usize, moment| {
        let entry = &transcript.entries[step];
        let column = transcript.parts.iter().position(|part| part.actor == entry.actor).unwrap_or_default();
        TimelineEvent { entry, step: step + 1, column, moment }
    };
    let steps = 0..transcript.entries.len();
    let mut beats = Vec::new();
    for now in steps.clone() {
        let held = is_held(now, &transcript.entries[now]);
        beats.push(beat(now, if held { EventMoment::Held } else { EventMoment::Whole }));
        let released = (0..now).filter(|&earlier| transcript.entries[earlier].returned_with == Some(now));
        beats.extend(released.map(|earlier| beat(earlier, EventMoment::Resumed)));
    }
    let ended = |&step: &usize| transcript.entries[step].returned_with.is_some_and(|end| steps.contains(&end));
    let lost = steps.clone().filter(|step| is_held(*step, &transcript.entries[*step]) && !ended(step));
    beats.extend(lost.map(|step| beat(step, EventMoment::Resumed)));
    beats
}

/// Whether a step came back later than with itself. What the deadlock detector ends with the very step that closed the
/// circle waited, but nothing happened meanwhile.
fn is_held(step: usize, entry: &TranscriptStep) -> bool {
    match entry.returned_with {
        Some(with) => with > step,
        None => entry.wait.is_some(),
    }
}

/// Which columns are blocked between which beats.
#[must_use]
pub fn blocked(beats: &[TimelineEvent<'_>]) -> Vec<BlockedSpan> {
    let held = beats.iter().enumerate().filter(|(_, beat)| beat.moment == EventMoment::Held);
    let until = |held: &TimelineEvent<'_>| {
        beats
            .iter()
            .position(|beat| beat.moment == EventMoment::Resumed && beat.step == held.step)
            .unwrap_or(beats.len())
    };
    held.map(|(from, beat)| BlockedSpan { column: beat.column, from, until: until(beat) }).collect()
}

impl TimelineEvent<'_> {
    /// Whether the statement is sent in this beat.
    #[must_use]
    pub fn sends(&self) -> bool {
        self.moment != EventMoment::Resumed
    }

    /// Whether its result is heard in this beat.
    #[must_use]
    pub fn hears(&self) -> bool {
        self.moment != EventMoment::Held
    }
}

/// For which session a step waits, and on what: `waits for A (transactionid)`.
#[must_use]
pub fn wait(entry: &TranscriptStep) -> Option<String> {
    entry.wait.as_ref().map(wait_in_words)
}

/// The same of a wait by itself.
#[must_use]
pub fn wait_in_words(wait: &StepWait) -> String {
    let holders: Vec<String> = wait.holders.iter().map(ToString::to_string).collect();
    let holders = if holders.is_empty() { String::new() } else { format!(" for {}", listed(&holders)) };
    format!("waits{holders} ({})", wait.on)
}

/// What came back, a line for each row.
#[must_use]
pub fn result(outcome: &StepOutcome) -> Vec<String> {
    let one = |text: &str| vec![text.to_owned()];
    match outcome {
        StepOutcome::Rows(rows) if rows.is_empty() => one("no row"),
        StepOutcome::Rows(rows) => rows_in_words(rows),
        StepOutcome::Done => one("done"),
        StepOutcome::Tag(tag) => one(tag),
        StepOutcome::Error { sqlstate: Some(sqlstate), message } => vec![format!("ERROR {sqlstate}: {message}")],
        StepOutcome::Error { sqlstate: None, message } => vec![format!("ERROR: {message}")],
        StepOutcome::Cut => one("cut: executed, but the answer was lost"),
        StepOutcome::Lost => one("no answer"),
    }
}

fn rows_in_words(rows: &[Vec<String>]) -> Vec<String> {
    let tied = |column: &String| short(column).replacen(" = ", &format!("{TIE}={TIE}"), 1);
    let row = |columns: &Vec<String>| match columns[..] {
        [] => "a row".to_owned(),
        _ => columns.iter().map(tied).collect::<Vec<_>>().join(", "),
    };
    let mut lines: Vec<String> = rows.iter().take(ROWS_MAX).map(row).collect();
    if rows.len() > ROWS_MAX {
        lines.push(format!("and {} more rows", rows.len() - ROWS_MAX));
    }
    lines
}

/// A text in which identifiers (uuid) are known by their beginning: whole, they fill a column and tell nothing.
#[must_use]
pub fn short(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let identifier = rest.get(..UUID_LENGTH).filter(|text| Uuid::try_parse(text).is_ok());
        let (shown, length) = identifier.map_or((letter.len_utf8(), letter.len_utf8()), |_| (UUID_SHOWN, UUID_LENGTH));
        out.push_str(&rest[..shown]);
        out.push_str(if shown < length { "…" } else { "" });
        rest = &rest[length..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::report::sample::transcripts;

    fn told(transcript: &Transcript) -> String {
        let sign = |beat: &TimelineEvent<'_>| match beat.moment {
            EventMoment::Whole => beat.entry.actor.to_string(),
            EventMoment::Held => format!("{}(", beat.entry.actor),
            EventMoment::Resumed => format!("){}", beat.entry.actor),
        };
        beats(transcript).iter().map(sign).collect()
    }

    #[test]
    fn a_wait_is_told_where_it_begins_and_where_it_ends() {
        assert_eq!(told(&transcripts::lost_update()), "ABBA");
        assert_eq!(told(&transcripts::lock_wait()), "AABB(AA)BB");
        assert_eq!(told(&transcripts::batch()), "A(B(wwww)A)B");
    }

    #[test]
    fn a_step_without_an_answer_is_blocked_to_the_end() {
        let mut transcript = transcripts::lock_wait();
        let waiter = transcript.entries.iter_mut().find(|entry| entry.wait.is_some()).unwrap();
        (waiter.returned_with, waiter.outcome) = (None, StepOutcome::Lost);
        transcript.entries.truncate(6);
        assert_eq!(told(&transcript), "AABB(AA)B");
        let beats = beats(&transcript);
        assert_eq!(blocked(&beats), [BlockedSpan { column: 1, from: 3, until: 6 }]);
    }

    #[test]
    fn many_rows_are_cut_short() {
        let rows = (0..9).map(|id| vec![format!("id = {id}")]).collect();
        let lines = result(&StepOutcome::Rows(rows));
        assert_eq!((lines.len(), lines[6].as_str()), (7, "and 3 more rows"));
    }

    #[test]
    fn identifiers_are_known_by_their_beginning() {
        let text = "id = 3f2c9b1e-6a40-4d7f-9a55-0c1d2e3f4a5b, ä";
        assert_eq!(short(text), "id = 3f2c9b1e…, ä");
        assert_eq!(short("3f2c9b1e-6a40"), "3f2c9b1e-6a40");
    }
}
