//! The witness of each broken exploration, as a timeline: a column for each session, time running downwards, and a bar where a session
//! waits.

use maud::{Markup, html};

use super::super::sql::SentStatement;
use super::super::timeline_events::{self, BlockedSpan, EventMoment, TimelineEvent, short};
use super::super::view;
use super::tables;
use crate::explore::findings::{Exploration, ExploreReport, ViolationWitness};
use crate::explore::transcript::{StepOutcome, Transcript, TranscriptStep};

pub(super) fn section(report: &ExploreReport) -> Markup {
    let broken = || report.explorations.iter().filter_map(|one| Some((one, one.witness.as_ref()?)));
    html! {
        @if broken().next().is_some() {
            section {
                h2 { "Evidence" }
                p.soft {
                    "Of each broken approach, the shortest interleaving that shows the anomaly. Time runs downwards, with a column for each \
                     session. A hatched bar means that a statement was sent and waits. Parameters that are numbers, true, false or null are \
                     written into the statement."
                }
                div.evidence { @for (exploration, witness) in broken() { (article(exploration, witness)) } }
            }
        }
    }
}

fn article(exploration: &Exploration, witness: &ViolationWitness) -> Markup {
    let subject = &exploration.subject;
    let schedule = &witness.transcript.schedule;
    html! {
        article {
            h3 { (subject.scenario) ", " (view::name(subject)) }
            p { (view::mark(exploration).html(&format!("broken: {}", witness.anomalies.join(", ")))) }
            p { (witness.explanation) }
            (timeline(&witness.transcript))
            p.soft { "Schedule " code { (schedule) } ". To run it again:" br; code { (view::replay(subject, witness)) } }
            (tables::outcomes(exploration, None, tables::NO_LINK))
        }
    }
}

fn timeline(transcript: &Transcript) -> Markup {
    let beats = timeline_events::beats(transcript);
    let blocked = timeline_events::blocked(&beats);
    html! {
        (rows("Before", &transcript.before))
        div.wide tabindex="0" role="region" aria-label="Timeline" {
            ol.story style={ "--parts:" (transcript.parts.len().max(1)) } {
                @for (column, part) in transcript.parts.iter().enumerate() {
                    li.part style=(place(1, 2, column)) { strong { (part.actor) } " " (part.title) }
                }
                @for (index, beat) in beats.iter().enumerate() {
                    (step(beat, &place(index + 2, index + 3, beat.column)))
                    @for wait in blocked.iter().filter(|wait| wait.from == index) { (bar(wait, beat.entry)) }
                }
            }
        }
        (rows("After", &transcript.after))
    }
}

/// Rows, before or after the interleaving.
pub fn rows(when: &str, rows: &[String]) -> Markup {
    html! {
        @if !rows.is_empty() {
            dl.rows { div { dt { (when) } dd { @for row in rows { div { (short(row)) } } } } }
        }
    }
}

/// The place of a step, in lines of the grid.
fn place(from: usize, until: usize, column: usize) -> String {
    format!("grid-area:{from}/{}/{until}/{}", column + 1, column + 2)
}

fn step(beat: &TimelineEvent<'_>, place: &str) -> Markup {
    html! {
        li class=(class(beat.column)) style=(place) { (told(beat)) }
    }
}

/// The classes of a step in a column.
pub fn class(column: usize) -> String {
    format!("step part{}", column % COLOURS)
}

/// Colours of columns in the style sheet.
const COLOURS: usize = 4;

/// What happens in a beat.
pub fn told(beat: &TimelineEvent<'_>) -> Markup {
    let entry = beat.entry;
    html! {
        p.session { b { (entry.actor) } " step " (beat.step) @if beat.moment == EventMoment::Resumed { ", resumes" } }
        @if beat.sends() {
            p { (statement(&entry.sql, &entry.values)) }
            @if let Some(wait) = timeline_events::wait(entry) { p.wait { "… " (wait) } }
        }
        @if beat.hears() {
            (result(&entry.outcome))
            @for notice in &entry.notices { p.soft { (short(notice)) } }
            @if let Some(ended) = &entry.ended { p.ended { "■ " (short(ended)) } }
        }
    }
}

/// A statement with its values.
pub fn statement(sql: &str, values: &[String]) -> Markup {
    let sent = SentStatement::new(sql, values);
    html! {
        code.comment[sql.trim_start().starts_with("--")] {
            @for piece in &sent.pieces { @if piece.is_value { b { (piece.text) } } @else { (piece.text) } }
        }
        @if !sent.beside.is_empty() { br; code.soft { (sent.beside.join(", ")) } }
    }
}

fn result(outcome: &StepOutcome) -> Markup {
    let failed = matches!(outcome, StepOutcome::Error { .. } | StepOutcome::Cut | StepOutcome::Lost);
    html! {
        p.result.bad[failed] {
            @for (index, line) in timeline_events::result(outcome).iter().enumerate() {
                @if index == 0 { "→ " } @else { br; }
                (line)
            }
        }
    }
}

/// The bar of a wait: what it says has been said where the wait begins.
fn bar(wait: &BlockedSpan, entry: &TranscriptStep) -> Markup {
    html! {
        @if wait.until > wait.from + 1 {
            li.blocked aria-hidden="true" style=(place(wait.from + 3, wait.until + 2, wait.column)) {
                span { (timeline_events::wait(entry).unwrap_or_else(|| "waits".to_owned())) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::report::sample::transcripts;

    #[test]
    fn a_bar_spans_what_happens_during_a_wait() {
        let drawn = timeline(&transcripts::lock_wait()).into_string();
        // B waits from its second step, the fourth beat, in which stands a head; it continues in the seventh.
        assert!(drawn.contains("class=\"blocked\" aria-hidden=\"true\" style=\"grid-area:6/2/8/3\""), "{drawn}");
        assert!(drawn.contains("step 4, resumes"), "{drawn}");
        assert!(!timeline(&transcripts::lost_update()).into_string().contains("blocked"));
    }

    #[test]
    fn values_stand_out_in_their_statement() {
        let drawn = timeline(&transcripts::lost_update()).into_string();
        assert!(drawn.contains("set balance = <b>2</b>, version = version + 1 where id = <b>1</b>"), "{drawn}");
    }
}
