//! What a reader must know before believing a figure. A note is a sentence; where it concerns several approaches it names them.

use super::view;
use crate::database::lost_by_a_crash;
use crate::lab::results::{ApproachResult, Round, Run};
use crate::report::INTERRUPTED;
use crate::report::figures::counted;

/// A longest latency of a second or more, and so many times the median, is a stall that a closed loop has hidden from its
/// percentiles: its clients sent nothing meanwhile.
const STALL_US: u64 = 1_000_000;
const STALL_TO_MEDIAN: u64 = 50;

/// An open loop that makes less than this share of its rate is not what was asked for.
const REACHED: f64 = 0.95;

/// What the figures of a closed loop leave out.
pub const CLOSED_LOOP: &str = "Closed loop: latency counts from when a request was sent. Requests that a stalled server kept from being \
                               sent are in no percentile (coordinated omission); --rate measures them.";

/// What puts the whole run or its figures in doubt: to be said first.
#[must_use]
pub fn warnings(run: &Run) -> Vec<String> {
    let mut notes = Vec::new();
    if run.interrupted {
        notes.push(INTERRUPTED.to_owned());
    }
    let settings = run.environment.server.as_ref().map(|server| &server.settings);
    if let Some(found) = settings.and_then(lost_by_a_crash) {
        notes.push(format!("These figures are not those of a durable database. PostgreSQL has {found}."));
    }
    let mut limits: Vec<(&str, Vec<String>)> = Vec::new();
    for result in &run.results {
        for why in result.rounds.iter().filter_map(|round| round.generator.limited.as_deref()) {
            match limits.iter_mut().find(|(known, _)| *known == why) {
                Some((_, names)) => names.push(view::name(run, result)),
                None => limits.push((why, vec![view::name(run, result)])),
            }
        }
    }
    for (why, mut names) in limits {
        names.dedup();
        notes.push(format!("The load generator was the limit, not the server ({}): {why}", names.join(", ")));
    }
    if let Some(wanted) = run.settings.rate_per_s
        && let Some(slower) = names(run, |result| result.rounds.iter().any(|round| round.rate_per_s < REACHED * wanted))
    {
        notes.push(format!(
            "The intended rate of {wanted} requests a second was not reached ({slower}): all clients were waiting for answers when \
             requests were due. Either the server is too slow for it, or there are too few clients (--concurrency)."
        ));
    }
    let stalled = names(run, |result| result.rounds.iter().any(stalled));
    if let Some(stalled) = stalled {
        notes.push(format!(
            "The server stalled ({stalled}): the longest latency is far above all others. A closed loop sends nothing during a \
             stall, so its percentiles hide it (coordinated omission). Use --rate to measure it."
        ));
    }
    notes
}

/// What happened besides: said below the figures.
#[must_use]
pub fn remarks(run: &Run) -> Vec<String> {
    let mut notes = Vec::new();
    if !run.not_offered.is_empty() {
        notes.push(format!("n/a, because they do not offer {}: {}", run.scenario, run.not_offered.join(", ")));
    }
    for result in &run.results {
        let sum = |count: fn(&Round) -> u64| result.rounds.iter().map(count).sum::<u64>();
        let name = view::name(run, result);
        let gave_up = sum(|round| round.judgement.counts.not_done);
        if gave_up > 0 {
            notes.push(format!(
                "{name}: {} gave up (503); their changes were not made, which is no anomaly",
                counted(gave_up, "request")
            ));
        }
        let unknown = sum(|round| round.judgement.counts.unknown);
        if unknown > 0 {
            notes.push(format!(
                "{name}: {} of unknown outcome; the referee allows both outcomes",
                counted(unknown, "request")
            ));
        }
        let mut open: Vec<&String> = result.rounds.iter().flat_map(|round| &round.judgement.undecided).collect();
        open.sort_unstable();
        open.dedup();
        notes.extend(open.iter().map(|what| format!("{name}: undecided: {what}")));
    }
    notes
}

/// Whether the longest latency of a closed loop says that its percentiles miss a stall.
fn stalled(round: &Round) -> bool {
    let latency = &round.latency;
    !latency.from_intended
        && latency.max_us >= STALL_US
        && latency.max_us / STALL_TO_MEDIAN > latency.p50_us
        && latency.p99_us < latency.max_us / 2
}

/// Whether any latency of the run counts from when a request was sent.
#[must_use]
pub fn has_closed_loop(run: &Run) -> bool {
    run.results.iter().flat_map(|result| &result.rounds).any(|round| !round.latency.from_intended)
}

fn names(run: &Run, which: impl Fn(&ApproachResult) -> bool) -> Option<String> {
    let names: Vec<String> =
        run.results.iter().filter(|result| which(result)).map(|result| view::name(run, result)).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::reports::sample;

    #[test]
    fn a_stall_in_a_closed_loop_is_told_and_in_an_open_loop_it_is_in_the_figures() {
        let mut run = sample::run();
        assert_eq!(warnings(&run), Vec::<String>::new());
        let latency = &mut run.results[3].rounds[1].latency;
        (latency.p50_us, latency.p99_us, latency.max_us) = (1_000, 9_000, 2_600_000);
        assert!(warnings(&run)[0].contains("(check-constraint)"), "{:?}", warnings(&run));
        run.results[3].rounds[1].latency.from_intended = true;
        assert_eq!(warnings(&run), Vec::<String>::new());
    }

    #[test]
    fn a_database_that_is_not_durable_is_told() {
        let mut run = sample::run();
        let server = run.environment.server.as_mut().expect("a server");
        server.settings.insert("synchronous_commit".to_owned(), "off".to_owned());
        let found = warnings(&run);
        assert!(found.len() == 1 && found[0].contains("PostgreSQL has synchronous_commit = off: "), "{found:?}");
    }

    #[test]
    fn a_rate_that_was_not_reached_is_told() {
        let mut run = sample::run();
        run.settings.rate_per_s = Some(1.0);
        assert!(!warnings(&run).iter().any(|note| note.contains("not reached")));
        run.settings.rate_per_s = Some(1e9);
        assert!(warnings(&run)[0].contains("not reached (naive, "), "{:?}", warnings(&run));
    }

    #[test]
    fn limits_of_the_generator_are_said_once_with_all_names() {
        let mut run = sample::run();
        for index in [2, 11] {
            for round in &mut run.results[index].rounds {
                round.generator.limited = Some("it used 97 % of its cores".to_owned());
            }
        }
        let expected = "The load generator was the limit, not the server (atomic-returning, group-commit): \
                        it used 97 % of its cores";
        assert_eq!(warnings(&run), [expected]);
    }

    #[test]
    fn giving_up_is_told_and_is_no_violation() {
        let remarks = remarks(&sample::run());
        assert!(
            remarks.iter().any(|note| note
                == "serializable: 7 requests gave up (503); their changes were not made, which is no anomaly")
        );
    }
}
