//! A position as a table: a column for each who takes part, a row for each beat, and at the end who can go next.
//!
//! All positions before it are in the same table: each row says with which step it is there, and each row of those who can go next
//! between which steps. A script shows those of one position; without one, all are there to be read.

use maud::{Markup, html};

use crate::explore::findings::Subject;
use crate::explore::position::{ActorStatus, InterleavingJudgement, Position, PositionStop};
use crate::explore::report::html::evidence::{class, rows, statement, told};
use crate::explore::report::timeline_events::{self, BlockedSpan, EventMoment, TimelineEvent, short, wait_in_words};
use crate::explore::report::view;
use crate::explore::schedule::Actor;

/// The table, and what is before and after it.
pub fn board(position: &Position, subject: &Subject) -> Markup {
    let beats = beats(position);
    let blocked = timeline_events::blocked(&beats);
    let parts = &position.transcript.parts;
    html! {
        (rows("Before", &position.transcript.before))
        div.wide tabindex="0" role="region" aria-label="The interleaving, step by step" {
            table.play data-columns=(parts.len()) {
                thead {
                    tr {
                        th scope="col" { "Step" }
                        @for part in parts { th scope="col" { (part.actor) " " span.unit { (part.title) } } }
                    }
                }
                tbody.beats {
                    @for index in 0..beats.len() { (row(position, &beats, index, &blocked)) }
                }
                tbody.stops {
                    @for (number, stop) in position.stops.iter().enumerate() { (next(position, stop, number)) }
                }
            }
        }
        @for (number, stop) in position.stops.iter().enumerate() {
            div data-stop=(number) { (rows("Now", &stop.rows)) }
        }
        @if let Some(judgement) = &position.judgement {
            div.ending data-stop=(position.stops.len().saturating_sub(1)) { (verdict(judgement, subject)) }
        }
        p.soft {
            "On a command line: "
            code.command tabindex="0" { (view::replay_of(subject, &position.transcript.schedule)) }
        }
    }
}

/// What has happened: whoever waits still has not come back.
fn beats(position: &Position) -> Vec<TimelineEvent<'_>> {
    let on = |beat: &TimelineEvent<'_>| {
        position.judgement.is_none() && beat.moment == EventMoment::Resumed && beat.entry.returned_with.is_none()
    };
    timeline_events::beats(&position.transcript).into_iter().filter(|beat| !on(beat)).collect()
}

/// The step, from 1, with which a beat is there.
fn since(beat: &TimelineEvent<'_>) -> usize {
    match beat.moment {
        EventMoment::Whole | EventMoment::Held => beat.step,
        EventMoment::Resumed => beat.entry.returned_with.map_or(beat.step, |with| with + 1),
    }
}

fn row(position: &Position, beats: &[TimelineEvent<'_>], index: usize, blocked: &[BlockedSpan]) -> Markup {
    let beat = &beats[index];
    let step = since(beat);
    html! {
        tr data-step=(step) {
            th.figure scope="row" { @if beat.sends() { (step) } @else { span.soft { (step) } } }
            @for column in 0..position.transcript.parts.len() {
                @if column == beat.column {
                    td class=(class(column)) {
                        (told(beat))
                        @if beat.sends() { (changes(position, step)) }
                    }
                } @else if let Some(wait) = blocked.iter().find(|wait| wait.column == column && (wait.from + 1..wait.until).contains(&index)) {
                    @if index == wait.from + 1 {
                        td.blocked rowspan=(wait.until - index) { span { (waits(&beats[wait.from])) } }
                    }
                } @else { td {} }
            }
        }
    }
}

/// What a column that is blocked waits for, as it was held up in this beat.
fn waits(beat: &TimelineEvent<'_>) -> String {
    timeline_events::wait(beat.entry).unwrap_or_else(|| "waits".to_owned())
}

/// The rows that are committed as others after a step than before it.
fn changes(position: &Position, step: usize) -> Markup {
    let stop = |number: usize| position.stops.get(number);
    let before = step.checked_sub(1).and_then(stop).map(|stop| stop.rows.as_slice()).unwrap_or_default();
    let after = stop(step).map(|stop| stop.rows.as_slice()).unwrap_or_default();
    let new: Vec<&String> = after.iter().filter(|row| !before.contains(row)).collect();
    html! {
        @if !new.is_empty() {
            p.committed { "committed: " @for (index, row) in new.iter().enumerate() { @if index > 0 { "; " } (short(row)) } }
        }
    }
}

fn next(position: &Position, stop: &PositionStop, number: usize) -> Markup {
    html! {
        tr data-stop=(number) {
            th scope="row" { @if stop.next().next().is_some() { "Next" } @else { "End" } }
            @for part in &position.transcript.parts {
                td { @if let Some(whereabouts) = stop.actors.get(&part.actor) { (at(part.actor, whereabouts)) } }
            }
        }
    }
}

fn at(actor: Actor, whereabouts: &ActorStatus) -> Markup {
    html! {
        @match whereabouts {
            ActorStatus::Stands { sql, values, .. } => {
                button.go type="button" data-actor=(actor) { b { (actor) ": " } (statement(sql, values)) }
            }
            ActorStatus::Waits(wait) => span.wait { "… " (wait_in_words(wait)) },
            ActorStatus::Ended(Some(heard)) => span.ended { "■ " (short(heard)) },
            ActorStatus::Ended(None) => span.soft { "rests" },
        }
    }
}

fn verdict(judgement: &InterleavingJudgement, subject: &Subject) -> Markup {
    html! {
        @if judgement.anomalies.is_empty() {
            p { span.verdict.good { "✓ holds" } }
            p { "Some order of the operations, one after the other, gives these answers and these rows. Of other interleavings this says nothing." }
        } @else {
            p {
                span.verdict.bad { "✗ broken: " (judgement.anomalies.join(", ")) }
                @if subject.is_claimed_safe() { " " span.verdict.failed { "CLAIM FAILED" } }
            }
            p { (judgement.explanation) }
        }
    }
}

/// What happened with each step, in a line; first, before any, that nobody has begun.
pub fn said(position: &Position) -> Vec<String> {
    let beats = beats(position);
    let of = |step: usize| {
        let lines: Vec<String> = beats.iter().filter(|beat| since(beat) == step).map(line).collect();
        if lines.is_empty() { "nobody has begun".to_owned() } else { lines.join("; ") }
    };
    (0..position.stops.len()).map(of).collect()
}

fn line(beat: &TimelineEvent<'_>) -> String {
    let (actor, name) = (beat.entry.actor, &beat.entry.name);
    let result = || short(&timeline_events::result(&beat.entry.outcome).join(", "));
    let ended = beat.entry.ended.as_ref().map(|ended| format!(" ({})", short(ended))).unwrap_or_default();
    match beat.moment {
        EventMoment::Held => format!("{actor} {name}: {}", waits(beat)),
        EventMoment::Whole => format!("{actor} {name}: {}{ended}", result()),
        EventMoment::Resumed => format!("{actor} goes on, {name}: {}{ended}", result()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::report::sample::transcripts;
    use crate::explore::schedule::Schedule;
    use crate::explore::transcript::{StepOutcome, Transcript};
    use referee::history::ClaimedSafety;

    fn subject() -> Subject {
        Subject {
            scenario: "last-money".to_owned(),
            approach: "pessimistic".to_owned(),
            file: None,
            clients: 2,
            servers: None,
            isolation: None,
            without: None,
            crash: None,
            claim: ClaimedSafety::Safe,
        }
    }

    fn at_end_of(transcript: Transcript, judgement: Option<InterleavingJudgement>) -> Position {
        let stop = |rows: &[String]| PositionStop { actors: [].into(), rows: rows.to_vec() };
        let mut stops = vec![stop(&transcript.before); transcript.entries.len()];
        stops.push(stop(&transcript.after));
        Position { transcript, stops, judgement }
    }

    fn judgement(anomalies: &[&str]) -> InterleavingJudgement {
        let anomalies = anomalies.iter().map(ToString::to_string).collect();
        InterleavingJudgement { anomalies, explanation: "why".to_owned() }
    }

    #[test]
    fn a_wait_blocks_its_column_until_it_is_over_and_no_markup_has_a_style_of_its_own() {
        let position = at_end_of(transcripts::lock_wait(), Some(judgement(&[])));
        let drawn = board(&position, &subject()).into_string();
        assert!(drawn.contains("<td class=\"blocked\" rowspan=\"2\"><span>waits for A (transactionid)"), "{drawn}");
        assert!(drawn.contains("✓ holds") && drawn.contains("--replay AABBAAB"), "{drawn}");
        assert!(!drawn.contains("style="), "the policy of the pages forbids it");
        // Nine beats: B's wait is over with A's commit, the sixth step.
        assert_eq!(drawn.matches("data-step=\"6\"").count(), 2);
        let said = said(&position);
        assert_eq!(said[4], "B lock: waits for A (transactionid)");
        assert!(said[6].contains("; B goes on, lock: balance"), "{}", said[6]);
        assert_eq!(said[0], "nobody has begun");
    }

    #[test]
    fn who_waits_still_has_no_end() {
        let mut transcript = transcripts::lock_wait();
        transcript.entries.truncate(4);
        (transcript.entries[3].returned_with, transcript.entries[3].outcome) = (None, StepOutcome::Lost);
        transcript.schedule = "AABB".parse::<Schedule>().unwrap();
        let drawn = board(&at_end_of(transcript, None), &subject()).into_string();
        assert!(!drawn.contains("no answer") && !drawn.contains("resumes"), "{drawn}");
        assert!(drawn.contains("… waits for A (transactionid)"));
    }

    #[test]
    fn a_violation_is_told_and_whether_it_contradicts_the_claim() {
        let position = at_end_of(transcripts::lost_update(), Some(judgement(&["lost-update"])));
        let drawn = |claim| board(&position, &Subject { claim, ..subject() }).into_string();
        assert!(drawn(ClaimedSafety::Safe).contains("CLAIM FAILED"));
        assert!(!drawn(ClaimedSafety::Broken).contains("CLAIM FAILED"));
        assert!(drawn(ClaimedSafety::Broken).contains("✗ broken: lost-update"));
        assert!(drawn(ClaimedSafety::Broken).contains("committed: users/1: balance 2, version 3"));
    }
}
