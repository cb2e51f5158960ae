//! Two runs side by side: how B differs from A.
//!
//! **Verdicts come first**; a figure of an approach that may not be [ranked](super::view::is_ranked) in both runs is not
//! compared.
//!
//! **A ratio is B/A of the medians over the rounds**, and its interval goes from the least to the most that any two rounds give:
//! from minB/maxA to maxB/minA. There is a difference only if that interval does not contain 1, that is, if all rounds of one
//! run are on the same side of all rounds of the other. With three rounds each, chance alone does that once in ten times; with
//! five, less than once in a hundred. Where a run has one round of an approach its spread is not known, and a difference
//! must also be more than [`SINGLE_ROUND`].
//!
//! **Runs under different conditions are not compared**: [`Incomparable`] names what differs. Versions, commits, times,
//! numbers of rounds and random seeds may differ: a comparison is made to see what they change.

mod show;

use super::conditions;
use super::figures::LATENCIES;
use super::view::{is_ranked, name};
use crate::lab::results::{ApproachResult, Round, Run, RunVerdict, Spread};
use crate::report::figures::float;
use crate::report::printable::printable;

/// The least difference of figures that were measured once, as a ratio: on a shared machine, less happens by itself.
pub const SINGLE_ROUND: f64 = 1.10;

/// The figures of latency that are compared.
const COMPARED_LATENCIES: [&str; 2] = ["p50", "p99"];

/// Two runs that were made under the same conditions.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// What both are, in a line.
    pub summary: String,
    /// Where A and B come from: when they began, and their commit or version.
    pub origins: [String; 2],
    /// Verdicts that are not the same.
    pub changes: Vec<VerdictChange>,
    /// The approaches in both, in the order of A.
    pub pairs: Vec<ApproachPair>,
    /// Approaches that only one of them has.
    pub alone: [Vec<String>; 2],
}

/// Another verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictChange {
    /// The approach, with the value of a sweep.
    pub name: String,
    /// In A.
    pub before: RunVerdict,
    /// In B.
    pub after: RunVerdict,
}

/// An approach in both runs.
#[derive(Debug, Clone, PartialEq)]
pub struct ApproachPair {
    /// The approach, with the value of a sweep.
    pub name: String,
    /// What it has in B.
    pub verdict: RunVerdict,
    /// Its figures; empty where it may not be ranked in both.
    pub ratios: Vec<(&'static str, Option<Ratio>)>,
}

/// B/A of a figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// The medians.
    pub a: f64,
    /// Of B.
    pub b: f64,
    /// minB/maxA.
    pub least: f64,
    /// maxB/minA.
    pub most: f64,
    /// Whether one of the two was measured only once.
    pub single: bool,
}

impl Ratio {
    /// `None` if a figure is not a positive number, so that there is no ratio.
    fn of(a: &[f64], b: &[f64]) -> Option<Self> {
        let single = a.len() < 2 || b.len() < 2;
        let (a, b) = (Spread::of(a.to_vec()), Spread::of(b.to_vec()));
        let ratio = Self { a: a.median, b: b.median, least: b.min / a.max, most: b.max / a.min, single };
        let positive = |value: f64| value.is_finite() && value > 0.0;
        (positive(ratio.least) && positive(ratio.most)).then_some(ratio)
    }

    /// B/A of the medians.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.b / self.a
    }

    /// Whether B differs from A, by the rule of this module.
    #[must_use]
    pub fn differs(&self) -> bool {
        let apart = self.least > 1.0 || self.most < 1.0;
        let far = self.ratio().max(1.0 / self.ratio()) > SINGLE_ROUND;
        apart && (far || !self.single)
    }
}

/// Why two runs cannot be compared: the conditions that differ, with their values in A and in B.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the runs were made under different conditions: {}", self.told())]
pub struct Incomparable(pub Vec<(String, String, String)>);

impl Incomparable {
    fn told(&self) -> String {
        let one = |(name, a, b): &(String, String, String)| format!("{name}: {a} in A, {b} in B");
        printable(&self.0.iter().map(one).collect::<Vec<_>>().join("; "))
    }
}

/// Compares two runs.
///
/// # Errors
/// [`Incomparable`], if their conditions differ.
pub fn compare(a: &Run, b: &Run) -> Result<Comparison, Incomparable> {
    let differences = differences(a, b);
    if !differences.is_empty() {
        return Err(Incomparable(differences));
    }
    let other = |run: &'_ Run, result: &ApproachResult| {
        let same = |other: &&ApproachResult| (&other.approach, &other.value) == (&result.approach, &result.value);
        run.results.iter().find(same).cloned()
    };
    let both: Vec<(&ApproachResult, ApproachResult)> =
        a.results.iter().filter_map(|result| Some((result, other(b, result)?))).collect();
    let changed = both.iter().filter(|(a, b)| a.verdict != b.verdict);
    let changes =
        changed.map(|(in_a, in_b)| VerdictChange { name: name(a, in_a), before: in_a.verdict, after: in_b.verdict });
    let alone = |run: &Run, in_other: &Run| {
        let missing = run.results.iter().filter(|result| other(in_other, result).is_none());
        missing.map(|result| name(run, result)).collect::<Vec<_>>()
    };
    Ok(Comparison {
        summary: conditions::comparable_summary(a),
        origins: [origin(a), origin(b)],
        changes: changes.collect(),
        pairs: both.iter().map(|(in_a, in_b)| pair(name(a, in_a), in_a, in_b)).collect(),
        alone: [alone(a, b), alone(b, a)],
    })
}

fn differences(a: &Run, b: &Run) -> Vec<(String, String, String)> {
    let all = |run| [conditions::settings(run), conditions::environment(run)].concat();
    let (a, b) = (all(a), all(b));
    let find = |conditions: &[conditions::Condition], name: &str| {
        let found = conditions.iter().find(|(other, _)| other == name);
        found.map_or_else(|| "not known".to_owned(), |(_, value)| value.clone())
    };
    let mut names: Vec<&String> = a.iter().map(|(name, _)| name).collect();
    names.extend(b.iter().map(|(name, _)| name).filter(|name| !a.iter().any(|(other, _)| other == *name)));
    let values = names.into_iter().map(|name| (name.clone(), find(&a, name), find(&b, name)));
    values.filter(|(_, a, b)| a != b).collect()
}

fn origin(run: &Run) -> String {
    let environment = &run.environment;
    let version = environment.commit.as_ref().unwrap_or(&environment.version);
    let early = if run.interrupted { ", interrupted" } else { "" };
    format!("{} ({version}{early})", run.started)
}

fn pair(name: String, a: &ApproachResult, b: &ApproachResult) -> ApproachPair {
    let ratio = |of: &dyn Fn(&Round) -> Option<f64>| {
        let [a, b] = [a, b].map(|result| result.rounds.iter().filter_map(of).collect::<Vec<f64>>());
        Ratio::of(&a, &b)
    };
    let mut ratios = Vec::new();
    if is_ranked(a) && is_ranked(b) {
        ratios.push(("req/s", ratio(&|round| Some(round.rate_per_s))));
        let latencies = LATENCIES.into_iter().filter(|(name, _)| COMPARED_LATENCIES.contains(name));
        ratios.extend(latencies.map(|(name, of)| (name, ratio(&|round| Some(float(of(round)))))));
        ratios.push(("attempts", ratio(&|round| round.attempts)));
    }
    ApproachPair { name, verdict: b.verdict, ratios }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn runs_under_other_conditions_are_refused_with_all_that_differs() {
        let a = sample::run();
        let mut b = sample::run();
        b.scenario = "mixed".to_owned();
        b.settings.concurrency = 64;
        b.settings.think_time_ms = Some(5);
        b.environment.cores = 8;
        let server = b.environment.server.as_mut().unwrap();
        server.pool_size = 16;
        server.settings.insert("fsync".to_owned(), "off".to_owned());
        let expected = "the runs were made under different conditions: scenario: withdrawal in A, mixed in B; \
                        clients: 256 in A, 64 in B; think time: – in A, 5ms in B; cores: 2 in A, 8 in B; pool size: 32 in A, 16 in B; \
                        PostgreSQL setting fsync: on in A, off in B";
        assert_eq!(compare(&a, &b).unwrap_err().to_string(), expected);
    }

    #[test]
    fn what_one_compares_may_differ() {
        let mut b = sample::run();
        b.environment.version = "0.2.0".to_owned();
        b.environment.commit = None;
        b.environment.command_line.push("--format=json".to_owned());
        b.started = "2026-11-22T12:00:00Z".to_owned();
        b.settings.repeat = 1;
        b.settings.random_seed = 7;
        assert!(compare(&sample::run(), &b).is_ok());
    }

    #[test]
    fn a_difference_is_one_that_all_rounds_show() {
        let ratio = |a: &[f64], b: &[f64]| Ratio::of(a, b).map(|ratio| ratio.differs());
        let table: [(&[f64], &[f64], Option<bool>); 7] = [
            (&[100.0, 102.0, 98.0], &[103.0, 104.0, 109.0], Some(true)),
            (&[100.0, 102.0, 98.0], &[101.0, 140.0, 150.0], Some(false)),
            (&[100.0], &[108.0], Some(false)),
            (&[100.0], &[115.0], Some(true)),
            (&[100.0], &[88.0], Some(true)),
            (&[100.0, 130.0], &[120.0], Some(false)),
            (&[0.0], &[1.0], None),
        ];
        for (a, b, differs) in table {
            assert_eq!(ratio(a, b), differs, "{a:?} and {b:?}");
        }
    }

    #[test]
    fn what_is_broken_in_either_is_not_compared_by_its_speed() {
        let mut b = sample::run();
        b.results[4].verdict = RunVerdict::ClaimFailed;
        let comparison = compare(&sample::run(), &b).unwrap();
        let change = VerdictChange {
            name: "pessimistic".to_owned(),
            before: RunVerdict::Correct,
            after: RunVerdict::ClaimFailed,
        };
        assert_eq!(comparison.changes, [change]);
        let without: Vec<&str> =
            comparison.pairs.iter().filter(|pair| pair.ratios.is_empty()).map(|pair| pair.name.as_str()).collect();
        assert_eq!(without, ["naive", "read-committed", "pessimistic", "two-servers"]);
    }
}
