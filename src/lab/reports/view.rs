//! Which result stands where, and what was found: decided once, for all reports.

use std::collections::{BTreeMap, BTreeSet};

use maud::Markup;

use crate::lab::results::{ApproachResult, Run, RunVerdict};
use crate::report::mark::{self, Mark};
use referee::history::ClaimedSafety;
use referee::judgement::{Anomaly, Witness};

/// Whether a result may be ranked by its speed: nothing was found to be wrong, and it is not claimed to be broken. An approach that is
/// known to be broken is no choice, however fast it is and even if it held this time.
#[must_use]
pub fn is_ranked(result: &ApproachResult) -> bool {
    match result.verdict {
        RunVerdict::Correct => true,
        RunVerdict::Undecided => result.claim == ClaimedSafety::Safe,
        RunVerdict::HeldThisTime | RunVerdict::BrokenAsClaimed | RunVerdict::NoEvidence | RunVerdict::ClaimFailed => {
            false
        }
    }
}

/// The results as they are read: by the sweep's values, then the ranked ones by median rate, best first, then the
/// others in the order of the run, which is the catalogue's.
#[must_use]
pub fn ordered(run: &Run) -> Vec<&ApproachResult> {
    let mut results: Vec<&ApproachResult> = run.results.iter().collect();
    let place = |result: &ApproachResult| {
        let values = run.sweep.iter().flat_map(|sweep| &sweep.values);
        values.enumerate().find(|(_, value)| Some(*value) == result.value.as_ref()).map(|(index, _)| index)
    };
    let rate = |result: &ApproachResult| result.spread(|round| round.rate_per_s).median;
    results.sort_by(|a, b| {
        let by_speed = || match (is_ranked(a), is_ranked(b)) {
            (true, true) => rate(b).total_cmp(&rate(a)),
            (a, b) => b.cmp(&a),
        };
        place(a).cmp(&place(b)).then_with(by_speed)
    });
    results
}

/// Why a result has no rank, in a few words: what was found, if anything was.
#[must_use]
pub fn why_unranked(result: &ApproachResult) -> String {
    match result.verdict {
        RunVerdict::HeldThisTime => "claimed broken, but this run did not show it".to_owned(),
        RunVerdict::NoEvidence => "nothing was accepted or refused".to_owned(),
        RunVerdict::Undecided => "claimed broken, and the referee could not decide".to_owned(),
        RunVerdict::Correct | RunVerdict::BrokenAsClaimed | RunVerdict::ClaimFailed => {
            findings(result).iter().map(|found| counted(found.anomaly, found.count)).collect::<Vec<_>>().join(", ")
        }
    }
}

/// How a verdict is shown.
#[must_use]
pub fn mark(verdict: RunVerdict) -> Mark {
    match verdict {
        RunVerdict::Correct => Mark::GOOD,
        RunVerdict::HeldThisTime => Mark::HELD,
        RunVerdict::BrokenAsClaimed => Mark::BAD,
        RunVerdict::ClaimFailed => Mark::FAILED,
        RunVerdict::Undecided => Mark::UNDECIDED,
        RunVerdict::NoEvidence => Mark::EMPTY,
    }
}

/// How many of which verdict, the worst first.
#[must_use]
pub fn verdict_counts(verdicts: &(impl Iterator<Item = RunVerdict> + Clone)) -> Markup {
    let worst_first = [
        RunVerdict::ClaimFailed,
        RunVerdict::NoEvidence,
        RunVerdict::Undecided,
        RunVerdict::BrokenAsClaimed,
        RunVerdict::HeldThisTime,
        RunVerdict::Correct,
    ];
    let count = |verdict| verdicts.clone().filter(|other| *other == verdict).count();
    mark::verdict_counts(&worst_first.map(|verdict| (mark(verdict), count(verdict), verdict.to_string())))
}

/// A claim in words.
#[must_use]
pub fn claim(claim: ClaimedSafety) -> &'static str {
    match claim {
        ClaimedSafety::Safe => "safe",
        ClaimedSafety::SafeOnOneServer => "safe on one server",
        ClaimedSafety::Broken => "broken",
        ClaimedSafety::Unsupported => "none",
    }
}

/// The name of a result: its approach, and the value of the sweep.
#[must_use]
pub fn name(run: &Run, result: &ApproachResult) -> String {
    match (&run.sweep, &result.value) {
        (Some(sweep), Some(value)) => format!("{} {}={value}", result.approach, sweep.parameter),
        (None, Some(value)) => format!("{} {value}", result.approach),
        (_, None) => result.approach.clone(),
    }
}

/// An anomaly of an approach, over its rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundAnomaly<'a> {
    /// Which.
    pub anomaly: Anomaly,
    /// How often, or how much money, over all rounds.
    pub count: u64,
    /// Rounds that showed it.
    pub rounds: usize,
    /// The first of them.
    pub first_round: u32,
    /// The evidence from that round.
    pub witness: &'a Witness,
}

/// What was found, in the order of [`Anomaly`].
#[must_use]
pub fn findings(result: &ApproachResult) -> Vec<FoundAnomaly<'_>> {
    let mut found: BTreeMap<Anomaly, FoundAnomaly<'_>> = BTreeMap::new();
    for round in &result.rounds {
        for finding in &round.judgement.findings {
            let entry = found.entry(finding.anomaly).or_insert(FoundAnomaly {
                anomaly: finding.anomaly,
                count: 0,
                rounds: 0,
                first_round: round.round,
                witness: &finding.witness,
            });
            entry.count += finding.count;
            entry.rounds += 1;
        }
    }
    found.into_values().collect()
}

/// What was found in the whole run: each anomaly of an approach once, where a sweep shows it at several values.
#[must_use]
pub fn evidence(run: &Run) -> Vec<(&ApproachResult, FoundAnomaly<'_>)> {
    let mut told = BTreeSet::new();
    let all = run.results.iter().flat_map(|result| findings(result).into_iter().map(move |found| (result, found)));
    all.filter(|(result, found)| told.insert((result.approach.as_str(), found.anomaly))).collect()
}

/// A finding in words: which result showed it, and what.
#[must_use]
pub fn evidence_in_words(run: &Run, result: &ApproachResult, found: &FoundAnomaly<'_>) -> (String, String) {
    let count = counted(found.anomaly, found.count) + &in_rounds(found, result);
    (name(run, result), format!("{count}. {}", found.witness.explanation))
}

/// In how many of its rounds an anomaly was found; empty if there was only one round.
#[must_use]
pub fn in_rounds(found: &FoundAnomaly<'_>, result: &ApproachResult) -> String {
    match result.rounds.len() {
        0 | 1 => String::new(),
        rounds => format!(" in {} of {rounds} rounds", found.rounds),
    }
}

/// An anomaly with its count, as a phrase: `7375 lost updates`.
#[must_use]
pub fn counted(anomaly: Anomaly, count: u64) -> String {
    let thing = match anomaly {
        Anomaly::Oversell if count == 1 => "seat oversold",
        Anomaly::Oversell => return format!("{count} seats oversold"),
        Anomaly::MoneyCreated => return format!("money created: {count}"),
        Anomaly::MoneyDestroyed => return format!("money destroyed: {count}"),
        Anomaly::RealTimeViolation => "real-time violation",
        _ => &anomaly.to_string().replace('-', " "),
    };
    crate::report::figures::counted(count, thing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::reports::sample;

    #[test]
    fn broken_and_held_stand_after_the_ranked_and_in_the_order_of_the_catalogue() {
        let run = sample::run();
        let names: Vec<&str> = ordered(&run).iter().map(|result| result.approach.as_str()).collect();
        assert_eq!(names[..3], ["group-commit", "atomic-returning", "check-constraint"]);
        assert_eq!(names[names.len() - 3..], ["naive", "read-committed", "two-servers"]);
    }

    #[test]
    fn a_sweep_is_read_by_its_values() {
        let run = sample::swept();
        let values: Vec<Option<&str>> = ordered(&run).iter().map(|result| result.value.as_deref()).collect();
        assert!(values.is_sorted_by_key(|value| value.and_then(|value| value.parse::<u32>().ok())), "{values:?}");
    }

    #[test]
    fn a_sweep_tells_each_anomaly_once() {
        let run = sample::swept();
        let told: Vec<_> = evidence(&run).iter().map(|(result, found)| (name(&run, result), found.anomaly)).collect();
        let expected =
            [Anomaly::LostUpdate, Anomaly::Overdraft].map(|anomaly| ("naive pool-size=2".to_owned(), anomaly));
        assert_eq!(told, expected);
    }

    #[test]
    fn findings_of_several_rounds_are_added() {
        let run = sample::run();
        let naive = run.results.iter().find(|result| result.approach == "naive").unwrap();
        let found = findings(naive);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].count, naive.count(Anomaly::LostUpdate));
        assert_eq!(in_rounds(&found[0], naive), " in 3 of 3 rounds");
        assert_eq!(counted(Anomaly::LostUpdate, 1), "1 lost update");
    }
}
