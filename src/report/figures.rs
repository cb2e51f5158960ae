//! Figures and phrases as text. Units stand in the heads of columns, not behind each figure.

use std::time::Duration;

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

/// A duration in ms, such as `1m 30s`.
#[must_use]
pub fn duration(ms: u64) -> String {
    humantime::format_duration(Duration::from_millis(ms)).to_string()
}

/// Without decimals.
#[must_use]
pub fn whole(figure: f64) -> String {
    // A sum of nothing is -0.
    if figure.is_finite() { format!("{:.0}", figure + 0.0) } else { NONE.to_owned() }
}

/// With two decimals.
#[must_use]
pub fn hundredths(figure: f64) -> String {
    if figure.is_finite() { format!("{figure:.2}") } else { NONE.to_owned() }
}

/// A number of things, as a phrase.
#[must_use]
pub fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// Texts as a list in a sentence.
#[must_use]
pub fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_as_many_digits_as_help() {
        assert_eq!([80.0, 999.0, 8_100.0, 1_234_567.0].map(ms), ["0.08", "1.0", "8.1", "1234.6"]);
        assert_eq!(ms(f64::NAN), NONE);
        assert_eq!([-0.0, 0.0, 12.4].map(whole), ["0", "0", "12"]);
        assert_eq!(ms_of_ns(102_418_300), "102.418");
        assert_eq!((counted(1, "client"), counted(2, "client")), ("1 client".to_owned(), "2 clients".to_owned()));
    }
}
