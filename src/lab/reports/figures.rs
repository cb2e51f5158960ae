//! Figures as text. Units stand in the heads of columns, not behind each figure.

use crate::lab::results::{ApproachResult, Round, Spread};

/// What stands where there is no figure.
pub const NONE: &str = "–";

/// A count as a figure to reckon with.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "figures for people: three digits matter")]
pub fn float(count: u64) -> f64 {
    count as f64
}

/// µs as ms, with one decimal; with two below 1 ms, where the first would be all there is.
#[must_use]
pub fn ms(us: f64) -> String {
    let ms = us / 1e3;
    match ms {
        _ if !ms.is_finite() => NONE.to_owned(),
        _ if ms > 0.0 && ms < 0.995 => format!("{ms:.2}"),
        _ => format!("{ms:.1}"),
    }
}

/// ns of a round as ms, to the µs.
#[must_use]
pub fn ms_of_ns(ns: u64) -> String {
    format!("{:.3}", float(ns) / 1e6)
}

/// Without decimals.
#[must_use]
pub fn whole(figure: f64) -> String {
    if figure.is_finite() { format!("{figure:.0}") } else { NONE.to_owned() }
}

/// With two decimals.
#[must_use]
pub fn hundredths(figure: f64) -> String {
    if figure.is_finite() { format!("{figure:.2}") } else { NONE.to_owned() }
}

/// How far the rounds are from their median at most, such as ` ±3%`; empty if there is only one.
#[must_use]
pub fn deviation(spread: &Spread, rounds: usize) -> String {
    if rounds < 2 || spread.median.is_nan() || spread.median <= 0.0 {
        return String::new();
    }
    let farthest = (spread.max - spread.median).max(spread.median - spread.min);
    format!(" ±{:.0}%", 100.0 * farthest / spread.median)
}

/// Mean attempts: `None` if no round reported any.
#[must_use]
pub fn attempts(result: &ApproachResult) -> Option<Spread> {
    let reported: Vec<f64> = result.rounds.iter().filter_map(|round| round.attempts).collect();
    (!reported.is_empty()).then(|| Spread::of(reported))
}

/// The median of a count over the rounds.
#[must_use]
pub fn median(result: &ApproachResult, count: impl Fn(&Round) -> u64) -> f64 {
    result.spread(|round| float(count(round))).median
}

/// Operations that were neither accepted nor refused.
#[must_use]
pub fn other(round: &Round) -> u64 {
    let counts = &round.judgement.counts;
    counts.not_done + counts.unknown + counts.unexpected
}

/// A figure of a round's latency.
pub type LatencyPercentile = fn(&Round) -> u64;

/// The figures of latency that are shown, in µs.
pub const LATENCIES: [(&str, LatencyPercentile); 5] = [
    ("p50", |round| round.latency.p50_us),
    ("p90", |round| round.latency.p90_us),
    ("p99", |round| round.latency.p99_us),
    ("p99.9", |round| round.latency.p999_us),
    ("max", |round| round.latency.max_us),
];

/// Text from outside on a terminal: control characters are shown, not obeyed.
#[must_use]
pub fn printable(text: &str) -> String {
    let safe =
        |letter: char| if letter.is_control() { letter.escape_default().to_string() } else { letter.to_string() };
    text.chars().map(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_as_many_digits_as_help() {
        assert_eq!([80.0, 999.0, 8_100.0, 1_234_567.0].map(ms), ["0.08", "1.0", "8.1", "1234.6"]);
        assert_eq!(ms(f64::NAN), NONE);
        assert_eq!(ms_of_ns(102_418_300), "102.418");
        assert_eq!(deviation(&Spread { min: 97.0, median: 100.0, max: 102.0 }, 3), " ±3%");
        assert_eq!(deviation(&Spread { min: 97.0, median: 97.0, max: 97.0 }, 1), "");
    }

    #[test]
    fn a_terminal_obeys_nobody_else() {
        assert_eq!(printable("a\u{1b}[31mb\nc"), "a\\u{1b}[31mb\\nc");
    }
}
