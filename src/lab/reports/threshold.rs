//! What a run must reach: `--threshold "p99<50ms,rate>1000"`.
//!
//! A threshold is a figure, an operator and a number; a latency needs a unit, anything else has none. It is held against the median
//! over the rounds of each approach that [is ranked](super::view::is_ranked); a broken one is not compared. An approach
//! that answered nothing has missed it, and so has one whose target does not report the figure.

use std::fmt;
use std::str::FromStr;

use strum::{Display, EnumIter, EnumString, IntoEnumIterator as _};

use super::figures::{attempts, median};
use super::view::{is_ranked, name};
use crate::lab::results::{ApproachResult, Run, RunVerdict};
use crate::report::figures::{float, hundredths, ms, whole};

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumIter, EnumString)]
#[strum(serialize_all = "kebab-case")]
pub enum ThresholdFigure {
    /// Answers a second.
    Rate,
    /// Median latency.
    P50,
    /// 90th percentile.
    P90,
    /// 99th percentile.
    P99,
    /// 99.9th percentile.
    #[strum(to_string = "p99.9", serialize = "p999")]
    P999,
    /// Longest latency.
    Max,
    /// Mean attempts.
    Attempts,
    /// Requests done.
    Done,
    /// Requests refused by the state.
    Refused,
    /// Requests given up.
    NotDone,
    /// Requests of unknown outcome.
    Unknown,
    /// Answers that a valid request must never get.
    Unexpected,
}

/// How it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumIter, EnumString)]
pub enum Operator {
    /// At most. Before [`Operator::Less`], which it begins with.
    #[strum(serialize = "<=")]
    AtMost,
    /// At least.
    #[strum(serialize = ">=")]
    AtLeast,
    /// Less than.
    #[strum(serialize = "<")]
    Less,
    /// More than.
    #[strum(serialize = ">")]
    More,
}

/// The unit of a latency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumIter, EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum Unit {
    /// Microseconds.
    Us,
    /// Milliseconds.
    Ms,
    /// Seconds.
    S,
}

/// One threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// What.
    pub figure: ThresholdFigure,
    /// How.
    pub operator: Operator,
    /// With what.
    pub number: f64,
    /// Its unit, of a latency.
    pub unit: Option<Unit>,
}

/// Several thresholds, separated by commas.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Thresholds(pub Vec<Threshold>);

/// Why a text is no threshold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// No operator.
    #[error("{0:?}: expected a figure, one of {operators}, and a number, such as p99<50ms", operators = all::<Operator>())]
    NoOperator(String),
    /// Not a figure.
    #[error("{0:?} is not a figure; the figures are {figures}", figures = all::<ThresholdFigure>())]
    Figure(String),
    /// Not a number.
    #[error("{0:?} is not a number of 0 or more")]
    Number(String),
    /// A latency without a unit, or with another one.
    #[error("{figure} is a latency: expected one of the units {units}, found {found:?}", units = all::<Unit>())]
    LatencyUnit {
        /// The latency.
        figure: ThresholdFigure,
        /// What stands there.
        found: String,
    },
    /// A unit where there is none.
    #[error("{figure} is a plain number: expected no unit, found {found:?}")]
    PlainUnit {
        /// The figure.
        figure: ThresholdFigure,
        /// What stands there.
        found: String,
    },
}

fn all<T: strum::IntoEnumIterator + fmt::Display>() -> String {
    T::iter().map(|one| one.to_string()).collect::<Vec<_>>().join(", ")
}

impl ThresholdFigure {
    fn is_latency(self) -> bool {
        matches!(self, Self::P50 | Self::P90 | Self::P99 | Self::P999 | Self::Max)
    }

    /// The median over the rounds, a latency in µs. `None` if it was not reported.
    fn of(self, result: &ApproachResult) -> Option<f64> {
        let figure = match self {
            Self::Rate => result.spread(|round| round.rate_per_s).median,
            Self::P50 => median(result, |round| round.latency.p50_us),
            Self::P90 => median(result, |round| round.latency.p90_us),
            Self::P99 => median(result, |round| round.latency.p99_us),
            Self::P999 => median(result, |round| round.latency.p999_us),
            Self::Max => median(result, |round| round.latency.max_us),
            Self::Attempts => attempts(result)?.median,
            Self::Done => median(result, |round| round.judgement.counts.done),
            Self::Refused => median(result, |round| round.judgement.counts.refused),
            Self::NotDone => median(result, |round| round.judgement.counts.not_done),
            Self::Unknown => median(result, |round| round.judgement.counts.unknown),
            Self::Unexpected => median(result, |round| round.judgement.counts.unexpected),
        };
        figure.is_finite().then_some(figure)
    }

    /// A value of it, for people.
    fn text(self, value: f64) -> String {
        match self {
            Self::Attempts => hundredths(value),
            _ if self.is_latency() => format!("{} ms", ms(value)),
            _ => whole(value),
        }
    }
}

impl Unit {
    const fn us(self) -> u32 {
        match self {
            Self::Us => 1,
            Self::Ms => 1_000,
            Self::S => 1_000_000,
        }
    }
}

impl FromStr for Threshold {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let text = text.trim();
        let parts = text.find(['<', '>']).and_then(|at| {
            let (figure, rest) = text.split_at(at);
            let operator = Operator::iter().find(|operator| rest.starts_with(&operator.to_string()))?;
            Some((figure.trim(), operator, rest[operator.to_string().len()..].trim()))
        });
        let (figure, operator, rest) = parts.ok_or_else(|| ParseError::NoOperator(text.to_owned()))?;
        let figure: ThresholdFigure = figure.parse().map_err(|_| ParseError::Figure(figure.to_owned()))?;
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(rest.len());
        let (number, unit) = (&rest[..digits], rest[digits..].trim());
        let parsed: f64 = number.parse().map_err(|_| ParseError::Number(rest.to_owned()))?;
        if !parsed.is_finite() {
            return Err(ParseError::Number(rest.to_owned()));
        }
        let unit = match (figure.is_latency(), unit.parse()) {
            (true, Ok(unit)) => Some(unit),
            (true, Err(_)) => return Err(ParseError::LatencyUnit { figure, found: unit.to_owned() }),
            (false, _) if unit.is_empty() => None,
            (false, _) => return Err(ParseError::PlainUnit { figure, found: unit.to_owned() }),
        };
        Ok(Self { figure, operator, number: parsed, unit })
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { figure, operator, number, unit } = self;
        write!(formatter, "{figure}{operator}{number}")?;
        unit.iter().try_for_each(|unit| write!(formatter, "{unit}"))
    }
}

impl FromStr for Thresholds {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Ok(Self(text.split(',').map(str::parse).collect::<Result<_, _>>()?))
    }
}

impl fmt::Display for Thresholds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.iter().map(Threshold::to_string).collect::<Vec<_>>().join(","))
    }
}

/// A threshold that an approach missed.
#[derive(Debug, Clone, PartialEq)]
pub struct MissedThreshold {
    /// The approach, with the value of a sweep.
    pub name: String,
    /// What it missed.
    pub threshold: Threshold,
    /// Where it is; `None` if the target does not say, or said nothing at all.
    pub found: Option<f64>,
}

impl fmt::Display for MissedThreshold {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, threshold, found } = self;
        let figure = threshold.figure;
        match found {
            Some(found) => write!(formatter, "{name}: expected {threshold}, found {}", figure.text(*found)),
            None => write!(formatter, "{name}: expected {threshold}, but the target did not report {figure}"),
        }
    }
}

impl Threshold {
    fn holds(&self, found: f64) -> bool {
        let limit = self.number * self.unit.map_or(1.0, |unit| float(u64::from(unit.us())));
        match self.operator {
            Operator::AtMost => found <= limit,
            Operator::AtLeast => found >= limit,
            Operator::Less => found < limit,
            Operator::More => found > limit,
        }
    }
}

impl Thresholds {
    /// What was missed, in the order of the results.
    #[must_use]
    pub fn misses(&self, run: &Run) -> Vec<MissedThreshold> {
        let silent = |result: &ApproachResult| result.verdict == RunVerdict::NoEvidence;
        let mut misses = Vec::new();
        for result in run.results.iter().filter(|result| is_ranked(result) || silent(result)) {
            for &threshold in &self.0 {
                let found = if silent(result) { None } else { threshold.figure.of(result) };
                if !found.is_some_and(|found| threshold.holds(found)) {
                    misses.push(MissedThreshold { name: name(run, result), threshold, found });
                }
            }
        }
        misses
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lab::reports::sample;

    fn misses(thresholds: &str, run: &Run) -> Vec<String> {
        thresholds.parse::<Thresholds>().unwrap().misses(run).iter().map(MissedThreshold::to_string).collect()
    }

    #[test]
    fn each_sound_approach_is_held_against_each_threshold() {
        let run = sample::run();
        // naive (140.4 ms) and read-committed (1910 a second) are broken, and two-servers may be: they are not asked.
        assert_eq!(
            misses("p99<230ms,rate>=1900", &run),
            ["serializable: expected p99<230ms, found 344.3 ms", "serializable: expected rate>=1900, found 1852"]
        );
        assert_eq!(misses("p99 <= 0.3443 s, p999<1s, attempts<2, unexpected<1", &run), Vec::<String>::new());
    }

    #[test]
    fn what_was_not_reported_is_missed() {
        let mut run = sample::run();
        run.results.truncate(3);
        for round in &mut run.results[2].rounds {
            round.attempts = None;
        }
        let expected = "atomic-returning: expected attempts<1.5, but the target did not report attempts";
        assert_eq!(misses("attempts<1.5", &run), [expected]);
        run.results[2].verdict = RunVerdict::NoEvidence;
        assert_eq!(misses("max<1s", &run), ["atomic-returning: expected max<1s, but the target did not report max"]);
    }

    #[test]
    fn what_is_no_threshold_is_told_with_what_would_be() {
        let table = [
            ("", r#""": expected a figure, one of <=, >=, <, >, and a number, such as p99<50ms"#),
            ("p99=50ms", r#""p99=50ms": expected a figure, one of <=, >=, <, >, and a number, such as p99<50ms"#),
            (
                "p95<50ms",
                r#""p95" is not a figure; the figures are rate, p50, p90, p99, p99.9, max, attempts, done, refused, not-done, unknown, unexpected"#,
            ),
            ("p99<50", r#"p99 is a latency: expected one of the units us, ms, s, found """#),
            ("p999<50min", r#"p99.9 is a latency: expected one of the units us, ms, s, found "min""#),
            ("rate>1000/s", r#"rate is a plain number: expected no unit, found "/s""#),
            ("rate>-5", r#""-5" is not a number of 0 or more"#),
            ("rate>1.2.3", r#""1.2.3" is not a number of 0 or more"#),
            ("p99<ms", r#""ms" is not a number of 0 or more"#),
            (
                "rate=>5",
                r#""rate=" is not a figure; the figures are rate, p50, p90, p99, p99.9, max, attempts, done, refused, not-done, unknown, unexpected"#,
            ),
            ("rate>5,", r#""": expected a figure, one of <=, >=, <, >, and a number, such as p99<50ms"#),
        ];
        for (text, error) in table {
            assert_eq!(text.parse::<Thresholds>().unwrap_err().to_string(), error, "{text:?}");
        }
    }

    fn thresholds() -> impl Strategy<Value = Thresholds> {
        let of = |list: Vec<ThresholdFigure>| prop::sample::select(list);
        let operator = || prop::sample::select(Operator::iter().collect::<Vec<_>>());
        let number = || prop_oneof![(0..1_000_000_u32).prop_map(f64::from), 0.0..1e18_f64];
        let (latencies, plain) = ThresholdFigure::iter().partition(|figure| figure.is_latency());
        let units = prop::sample::select(Unit::iter().collect::<Vec<_>>()).prop_map(Some);
        let latency = (of(latencies), operator(), number(), units);
        let plain = (of(plain), operator(), number(), Just(None));
        let one = prop_oneof![latency, plain];
        let one = one.prop_map(|(figure, operator, number, unit)| Threshold { figure, operator, number, unit });
        prop::collection::vec(one, 1..5).prop_map(Thresholds)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(thresholds in thresholds()) {
            prop_assert_eq!(thresholds.to_string().parse::<Thresholds>(), Ok(thresholds));
        }

        #[test]
        fn no_text_breaks_the_reader(text in "[a-z0-9.<>=, µ]{0,24}") {
            let _ = text.parse::<Thresholds>();
        }
    }
}
