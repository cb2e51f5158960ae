//! A position as a table: a column for each actor, a row for each event, and a last row with each actor's next statement.
//!
//! The table holds all earlier positions too. Each event says from which step on it is shown, and there is a row of next statements for each
//! step. The script shows the rows of one position; without it all of them can be read.

use maud::{Markup, html};

use crate::explore::findings::Subject;
use crate::explore::position::{InterleavingJudgement, Position, PositionStop};
use crate::explore::report::html::evidence::{class, rows, statement, told};
use crate::explore::report::timeline_events::{self, BlockedSpan, EventMoment, TimelineEvent, short, wait_in_words};
use crate::explore::report::view;
use crate::explore::run::actor_state::ActorStatus;
use crate::explore::schedule::Actor;

/// The table, and the rows of the database before, now and at the end.
pub fn board(position: &Position, subject: &Subject) -> Markup {
    let events = events(position);
    let blocked = timeline_events::blocked(&events);
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
                tbody.events {
                    @for index in 0..events.len() { (row(position, &events, index, &blocked)) }
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
            "To play it on the command line: "
            code.command tabindex="0" { (view::replay_of(subject, &position.transcript.schedule)) }
        }
    }
}

/// The events so far, without the return of a statement that still waits.
fn events(position: &Position) -> Vec<TimelineEvent<'_>> {
    let pending = |event: &TimelineEvent<'_>| {
        position.judgement.is_none() && event.moment == EventMoment::Resumed && event.entry.returned_with.is_none()
    };
    timeline_events::beats(&position.transcript).into_iter().filter(|event| !pending(event)).collect()
}

/// The step, counted from 1, from which on an event is shown.
fn since(event: &TimelineEvent<'_>) -> usize {
    match event.moment {
        EventMoment::Whole | EventMoment::Held => event.step,
        EventMoment::Resumed => event.entry.returned_with.map_or(event.step, |with| with + 1),
    }
}

fn row(position: &Position, events: &[TimelineEvent<'_>], index: usize, blocked: &[BlockedSpan]) -> Markup {
    let event = &events[index];
    let step = since(event);
    html! {
        tr data-step=(step) {
            th.figure scope="row" { @if event.sends() { (step) } @else { span.soft { (step) } } }
            @for column in 0..position.transcript.parts.len() {
                @if column == event.column {
                    td class=(class(column)) {
                        (told(event))
                        @if event.sends() { (changes(position, step)) }
                    }
                } @else if let Some(wait) = blocked.iter().find(|wait| wait.column == column && (wait.from + 1..wait.until).contains(&index)) {
                    @if index == wait.from + 1 {
                        td.blocked rowspan=(wait.until - index) { span { (waits(&events[wait.from])) } }
                    }
                } @else { td {} }
            }
        }
    }
}

/// What the column that this event blocked waits for.
fn waits(event: &TimelineEvent<'_>) -> String {
    timeline_events::wait(event.entry).unwrap_or_else(|| "waits".to_owned())
}

/// The committed rows that a step has changed.
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
                td { @if let Some(status) = stop.actors.get(&part.actor) { (at(part.actor, status)) } }
            }
        }
    }
}

fn at(actor: Actor, status: &ActorStatus) -> Markup {
    html! {
        @match status {
            ActorStatus::Ready { sql, values, .. } => {
                button.go type="button" data-actor=(actor) { b { (actor) ": " } (statement(sql, values)) }
            }
            ActorStatus::Waits(wait) => span.wait { "… " (wait_in_words(wait)) },
            ActorStatus::Ended(Some(heard)) => span.ended { "■ " (short(heard)) },
            ActorStatus::Ended(None) => span.soft { "idle" },
        }
    }
}

fn verdict(judgement: &InterleavingJudgement, subject: &Subject) -> Markup {
    html! {
        @if judgement.anomalies.is_empty() {
            p { span.verdict.good { "✓ holds" } }
            p { "A serial order of the operations gives the same answers and rows. This says nothing about other interleavings." }
        } @else {
            p {
                span.verdict.bad { "✗ broken: " (judgement.anomalies.join(", ")) }
                @if subject.is_claimed_safe() { " " span.verdict.failed { "CLAIM FAILED" } }
            }
            p { (judgement.explanation) }
        }
    }
}

/// What happened at each step, in a line; the first line is for the position before any step.
pub fn step_texts(position: &Position) -> Vec<String> {
    let events = events(position);
    let of = |step: usize| {
        let lines: Vec<String> = events.iter().filter(|event| since(event) == step).map(line).collect();
        if lines.is_empty() { "no client has begun".to_owned() } else { lines.join("; ") }
    };
    (0..position.stops.len()).map(of).collect()
}

fn line(event: &TimelineEvent<'_>) -> String {
    let (actor, name) = (event.entry.actor, &event.entry.name);
    let result = || short(&timeline_events::result(&event.entry.outcome).join(", "));
    let ended = event.entry.ended.as_ref().map(|ended| format!(" ({})", short(ended))).unwrap_or_default();
    match event.moment {
        EventMoment::Held => format!("{actor} {name}: {}", waits(event)),
        EventMoment::Whole => format!("{actor} {name}: {}{ended}", result()),
        EventMoment::Resumed => format!("{actor} continues, {name}: {}{ended}", result()),
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
    fn a_wait_blocks_its_column_until_it_is_over_and_no_markup_has_an_inline_style() {
        let position = at_end_of(transcripts::lock_wait(), Some(judgement(&[])));
        let drawn = board(&position, &subject()).into_string();
        assert!(drawn.contains("<td class=\"blocked\" rowspan=\"2\"><span>waits for A (transactionid)"), "{drawn}");
        assert!(drawn.contains("✓ holds") && drawn.contains("--replay AABBAAB"), "{drawn}");
        assert!(!drawn.contains("style="), "the content security policy forbids it");
        // B's wait ends with A's commit, the sixth step, so that step has two events.
        assert_eq!(drawn.matches("data-step=\"6\"").count(), 2);
        let texts = step_texts(&position);
        assert_eq!(texts[4], "B lock: waits for A (transactionid)");
        assert!(texts[6].contains("; B continues, lock: balance"), "{}", texts[6]);
        assert_eq!(texts[0], "no client has begun");
    }

    #[test]
    fn a_statement_that_still_waits_has_no_end() {
        let mut transcript = transcripts::lock_wait();
        transcript.entries.truncate(4);
        (transcript.entries[3].returned_with, transcript.entries[3].outcome) = (None, StepOutcome::Lost);
        transcript.schedule = "AABB".parse::<Schedule>().unwrap();
        let drawn = board(&at_end_of(transcript, None), &subject()).into_string();
        assert!(!drawn.contains("no answer") && !drawn.contains("resumes"), "{drawn}");
        assert!(drawn.contains("… waits for A (transactionid)"));
    }

    #[test]
    fn a_violation_is_shown_and_whether_it_contradicts_the_claim() {
        let position = at_end_of(transcripts::lost_update(), Some(judgement(&["lost-update"])));
        let drawn = |claim| board(&position, &Subject { claim, ..subject() }).into_string();
        assert!(drawn(ClaimedSafety::Safe).contains("CLAIM FAILED"));
        assert!(!drawn(ClaimedSafety::Broken).contains("CLAIM FAILED"));
        assert!(drawn(ClaimedSafety::Broken).contains("✗ broken: lost-update"));
        assert!(drawn(ClaimedSafety::Broken).contains("committed: users/1: balance 2, version 3"));
    }
}
