//! The evidence of each broken approach, as a timeline: time runs downwards, a column for each operation. Two boxes beside each
//! other are two operations at the same time: neither had been answered when the other was sent.

use maud::{Markup, html};

use super::super::view::{self, FoundAnomaly, counted, in_rounds, name};
use crate::lab::results::{ApproachResult, Run};
use crate::report::figures::{float, ms_of_ns};
use referee::judgement::{Witness, WitnessOperation};

/// Least height of the stretch between two events, and what is shared out by how long the stretches are, in rem.
const STRETCH_MIN_REM: f64 = 2.6;
const SHARED_REM: f64 = 6.0;

pub(super) fn section(run: &Run) -> Markup {
    let evidence = view::evidence(run);
    html! {
        @if !evidence.is_empty() {
            section {
                h2 { "Evidence" }
                p.soft {
                    "The smallest example of each anomaly, from the first round that showed it. Time runs downwards, in ms from the start of \
                     the round. A box is one request, from the moment it was sent to its answer; requests whose boxes are side by side overlapped."
                }
                div.witnesses { @for (result, found) in &evidence { (article(run, result, found)) } }
            }
        }
    }
}

fn article(run: &Run, result: &ApproachResult, found: &FoundAnomaly<'_>) -> Markup {
    html! {
        article {
            h3 { (name(run, result)) ": " (counted(found.anomaly, found.count)) (in_rounds(found, result)) }
            p { (found.witness.explanation) }
            (timeline(found.witness))
            @if result.rounds.len() > 1 { p.soft { "Round " (found.first_round) "." } }
        }
    }
}

fn timeline(witness: &Witness) -> Markup {
    let operations = &witness.operations;
    let mut times: Vec<u64> = operations.iter().flat_map(|one| [one.invoked_ns, one.returned_ns]).collect();
    times.sort_unstable();
    times.dedup();
    let line = |time: u64| times.iter().position(|other| *other == time).map_or(0, |index| index + 1);
    let columns = operations.len();
    html! {
        @if columns > 0 {
            div.timeline style=(layout(&times, columns)) {
                @for (index, time) in times.iter().enumerate() {
                    div.moment style={ "grid-row:" (index + 1) } {
                        (ms_of_ns(*time))
                        @if let Some(before) = index.checked_sub(1).and_then(|before| times.get(before)) {
                            span.soft { "+" (ms_of_ns(time - before)) }
                        }
                    }
                }
                @for (index, operation) in operations.iter().enumerate() {
                    (operation_box(operation, index + 2, line(operation.invoked_ns), line(operation.returned_ns)))
                }
            }
        }
    }
}

/// Rows that are longer where more time went by, and a column for each operation beside that of the times.
fn layout(times: &[u64], columns: usize) -> String {
    let span = times.first().zip(times.last()).map_or(0, |(first, last)| last - first).max(1);
    let stretches = times.windows(2).map(|pair| {
        let share = float(pair[1] - pair[0]) / float(span);
        format!("minmax({:.2}rem,auto)", STRETCH_MIN_REM + SHARED_REM * share)
    });
    let rows: Vec<String> = stretches.chain(["auto".to_owned()]).collect();
    format!("grid-template:{}/4.6rem repeat({columns},minmax(0,1fr))", rows.join(" "))
}

/// The box of an operation. One that took no time at all still has a row.
fn operation_box(operation: &WitnessOperation, column: usize, from: usize, to: usize) -> Markup {
    let [invoked, returned] = [operation.invoked_ns, operation.returned_ns].map(ms_of_ns);
    html! {
        div.operation style={ "grid-area:" (from) "/" (column) "/" (to.max(from + 1)) "/" (column + 1) } {
            p { strong { "client " (operation.client) } " " span.soft { "operation " (operation.id) } }
            p { span.time { (invoked) } " sends " b { (operation.request) } }
            p.heard { span.time { (returned) } " receives " b { (operation.heard) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn witness(times: &[(u64, u64)]) -> Witness {
        let operation = |(index, &(invoked_ns, returned_ns)): (usize, &(u64, u64))| WitnessOperation {
            id: index as u64,
            client: 1,
            request: "withdraw 2 from user 1".to_owned(),
            invoked_ns,
            returned_ns,
            heard: "<b>".to_owned(),
        };
        Witness { operations: times.iter().enumerate().map(operation).collect(), explanation: String::new() }
    }

    #[test]
    fn boxes_go_from_call_to_answer_and_overlap_where_the_operations_did() {
        let drawn = timeline(&witness(&[(1_000_000, 4_000_000), (2_000_000, 9_000_000)])).into_string();
        assert!(drawn.contains("grid-area:1/2/3/3"), "{drawn}");
        assert!(drawn.contains("grid-area:2/3/4/4"), "{drawn}");
        assert!(drawn.contains("1.000") && drawn.contains("+5.000"), "{drawn}");
        assert!(drawn.contains("&lt;b&gt;"), "{drawn}");
    }

    #[test]
    fn no_operation_no_timeline_and_no_time_still_a_box() {
        assert_eq!(timeline(&witness(&[])).into_string(), "");
        assert!(timeline(&witness(&[(5, 5)])).into_string().contains("grid-area:1/2/2/3"));
    }
}
