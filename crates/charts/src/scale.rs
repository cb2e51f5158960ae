//! Axes: from values to coordinates, and the round numbers at the ticks.

/// How an axis spaces its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spacing {
    /// Equal differences have equal distances.
    Linear,
    /// Equal ratios have equal distances: for values that differ by orders of magnitude.
    Log,
}

/// An axis: a range of values, and the part of the drawing that it covers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Axis {
    low: f64,
    high: f64,
    spacing: Spacing,
    from: f64,
    to: f64,
}

impl Axis {
    /// From 0 to the round number at or above `max`. The length of a bar is only true if it starts at 0.
    #[must_use]
    pub fn from_zero(max: f64) -> Self {
        let max = if max.is_finite() && max > 0.0 { max } else { 1.0 };
        let step = round_up(max / 5.0);
        Self { low: 0.0, high: (max / step).ceil() * step, spacing: Spacing::Linear, from: 0.0, to: 1.0 }
    }

    /// From 0 to exactly `max`: for an axis that ends where the data end, such as time.
    #[must_use]
    pub fn up_to(max: f64) -> Self {
        let high = if max.is_finite() && max > 0.0 { max } else { 1.0 };
        Self { low: 0.0, high, spacing: Spacing::Linear, from: 0.0, to: 1.0 }
    }

    /// A logarithmic axis between the round numbers (1, 2, 5, 10, …) around these positive values.
    #[must_use]
    pub fn log(min: f64, max: f64) -> Self {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let (min, max) = if positive(min) && positive(max) && min <= max { (min, max) } else { (1.0, 10.0) };
        let (low, high) = (round_down(min), round_up(max));
        let high = if high > low * 1.5 { high } else { low * 10.0 };
        Self { low, high, spacing: Spacing::Log, from: 0.0, to: 1.0 }
    }

    /// The same values on this part of the drawing, in either direction.
    #[must_use]
    pub fn onto(self, from: f64, to: f64) -> Self {
        Self { from, to, ..self }
    }

    /// The smallest and the largest value.
    #[must_use]
    pub fn domain(&self) -> (f64, f64) {
        (self.low, self.high)
    }

    /// How many numbers of this width fit side by side.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a drawing has less than a million columns"
    )]
    pub fn room_for(&self, width: f64) -> u32 {
        ((self.to - self.from).abs() / width).clamp(2.0, 1e6) as u32
    }

    /// The coordinate of a value. A value outside the axis, such as 0 on a logarithmic one, is at the nearest end.
    #[must_use]
    pub fn at(&self, value: f64) -> f64 {
        let value = if value.is_nan() { self.low } else { value.clamp(self.low, self.high) };
        let share = match self.spacing {
            Spacing::Linear => (value - self.low) / (self.high - self.low),
            Spacing::Log => (value / self.low).ln() / (self.high / self.low).ln(),
        };
        self.from + share * (self.to - self.from)
    }

    /// Round values within the axis, ascending: at most `at_most` (at least 2) of them.
    #[must_use]
    pub fn ticks(&self, at_most: u32) -> Vec<f64> {
        let at_most = at_most.max(2);
        match self.spacing {
            Spacing::Linear => self.linear_ticks(at_most),
            Spacing::Log => self.log_ticks(at_most as usize),
        }
    }

    fn linear_ticks(&self, at_most: u32) -> Vec<f64> {
        // There is one tick more than there are steps.
        let step = round_up((self.high - self.low) / f64::from(at_most - 1));
        let all = (0..at_most).map(|index| self.low + f64::from(index) * step);
        all.filter(|tick| *tick <= self.high * (1.0 + 1e-9)).map(|tick| tick.min(self.high)).collect()
    }

    fn log_ticks(&self, at_most: usize) -> Vec<f64> {
        let inside = |digits: &[f64]| -> Vec<f64> {
            let mut ticks = Vec::new();
            let mut power = 10f64.powf(self.low.log10().floor());
            while power <= self.high * (1.0 + 1e-9) {
                let ends = (self.low * (1.0 - 1e-9))..=(self.high * (1.0 + 1e-9));
                let values = digits.iter().map(|digit| digit * power).filter(|value| ends.contains(value));
                ticks.extend(values.map(|value| value.clamp(self.low, self.high)));
                power *= 10.0;
            }
            ticks
        };
        let (fine, coarse) = (inside(&[1.0, 2.0, 5.0]), inside(&[1.0]));
        let ticks = if fine.len() <= at_most || coarse.len() < 2 { fine } else { coarse };
        let every = ticks.len().div_ceil(at_most);
        ticks.into_iter().step_by(every).collect()
    }
}

/// The smallest of 1, 2 and 5 times a power of ten that is at least this value.
fn round_up(value: f64) -> f64 {
    let decade = 10f64.powf(value.log10().floor());
    let round = [1.0, 2.0, 5.0].map(|digit| digit * decade);
    round.into_iter().find(|round| value <= round * (1.0 + 1e-9)).unwrap_or(10.0 * decade)
}

/// The largest of 1, 2 and 5 times a power of ten that is at most this value.
fn round_down(value: f64) -> f64 {
    let decade = 10f64.powf(value.log10().floor());
    let round = [5.0, 2.0].map(|digit| digit * decade);
    round.into_iter().find(|round| round * (1.0 - 1e-9) <= value).unwrap_or(decade)
}

/// A number with grouped thousands, for tables and axes: `22 906`, `0.05`.
#[must_use]
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    grouped(text)
}

/// Groups the thousands of a number that is already text, with a narrow no-break space.
#[must_use]
pub fn grouped(text: &str) -> String {
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("−", digits));
    let mut out = sign.to_owned();
    for (index, digit) in digits.char_indices() {
        // Numbers of four digits are easy to read without a space.
        if index > 0 && digits.len() > 4 && (digits.len() - index).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(Axis::from_zero(22_906.0).ticks(6), [0.0, 5_000.0, 10_000.0, 15_000.0, 20_000.0, 25_000.0]);
        assert_eq!(Axis::from_zero(0.9).domain(), (0.0, 1.0));
        assert_eq!(Axis::up_to(10.0).ticks(6), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        let near = |found: Vec<f64>, expected: &[f64]| {
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!((found / expected - 1.0).abs() < 1e-6, "{found} and {expected}");
            }
        };
        near(Axis::log(3.0, 400.0).ticks(9), &[2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0]);
        near(Axis::log(0.1, 1_000.0).ticks(6), &[0.1, 1.0, 10.0, 100.0, 1_000.0]);
    }

    #[test]
    fn an_empty_range_is_still_an_axis() {
        for scale in [Axis::from_zero(0.0), Axis::from_zero(f64::NAN), Axis::up_to(-1.0), Axis::log(0.0, 0.0)] {
            let (low, high) = scale.domain();
            assert!(low < high && scale.ticks(5).len() >= 2, "{scale:?}");
        }
    }

    #[test]
    fn the_thousands_of_numbers_are_grouped() {
        let table = [
            (0.0, "0"),
            (0.05, "0.05"),
            (4_848.0, "4848"),
            (22_906.0, "22\u{202f}906"),
            (-1_234_567.5, "−1\u{202f}234\u{202f}567.5"),
        ];
        for (value, text) in table {
            assert_eq!(number(value), text);
        }
        assert_eq!(number(f64::NAN), "–");
    }

    fn scales() -> impl Strategy<Value = Axis> {
        let linear = (1e-6..1e12_f64).prop_map(Axis::from_zero);
        let exact = (1e-6..1e12_f64).prop_map(Axis::up_to);
        let log = (1e-6..1e12_f64, 1.0..1e9_f64).prop_map(|(min, ratio)| Axis::log(min, min * ratio));
        prop_oneof![linear, exact, log]
    }

    proptest! {
        #[test]
        fn ticks_are_few_ascend_and_lie_inside(scale in scales(), at_most in 2..12_u32) {
            let ticks = scale.ticks(at_most);
            let (low, high) = scale.domain();
            prop_assert!(!ticks.is_empty() && ticks.len() <= at_most as usize, "{ticks:?}");
            prop_assert!(ticks.iter().all(|tick| (low..=high).contains(tick)), "{ticks:?} in {low} to {high}");
            prop_assert!(ticks.windows(2).all(|pair| pair[0] < pair[1]), "{ticks:?}");
        }

        #[test]
        fn an_axis_holds_its_data(min in 1e-6..1e12_f64, ratio in 1.0..1e9_f64) {
            let (low, high) = Axis::log(min, min * ratio).domain();
            prop_assert!(low <= min * (1.0 + 1e-6) && min * ratio <= high * (1.0 + 1e-6), "{low} to {high}");
            prop_assert!(Axis::from_zero(min).domain().1 >= min * (1.0 - 1e-9));
        }

        #[test]
        fn coordinates_follow_values(scale in scales(), a in 0.0..1e12_f64, b in 0.0..1e12_f64) {
            let scale = scale.onto(300.0, 20.0);
            let (small, large) = (scale.at(a.min(b)), scale.at(a.max(b)));
            prop_assert!(small >= large - 1e-9, "upwards: {small} and {large}");
            prop_assert!((20.0..=300.0).contains(&small) && (20.0..=300.0).contains(&large));
        }
    }
}
