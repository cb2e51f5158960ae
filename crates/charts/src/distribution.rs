//! Latencies on a logarithmic axis: each row has the shape of its distribution, and marks at its percentiles.
//!
//! A mean hides the slowest requests, and a bar hides that a distribution has two peaks. The marks differ in shape, and are on the
//! line from the median to the maximum.

use maud::{Markup, html};

use super::scale::Axis;
use super::{Caption, WIDTH, as_f64, bottom_axis, label, label_room, px, svg, width_of};

/// The height of a row.
const ROW: f64 = 36.0;

/// The height of the highest point of a shape.
const SHAPE: f64 = 20.0;

/// The ratio of the bounds of a bucket. If the bucket before is missing, a bucket begins at its end divided by this.
const BUCKET: f64 = 1.1;

/// The chart.
#[derive(Debug, Clone)]
pub struct DistributionChart {
    /// Title and description.
    pub caption: Caption,
    /// The unit of the values.
    pub unit: String,
    /// The names of the marks, such as p50, ascending.
    pub marks: Vec<String>,
    /// The rows, from top to bottom.
    pub rows: Vec<Distribution>,
}

/// One distribution.
#[derive(Debug, Clone)]
pub struct Distribution {
    /// The name at the left.
    pub label: String,
    /// The upper bound of each bucket, ascending, and the number of values in it.
    pub buckets: Vec<(f64, u64)>,
    /// The values of the marks.
    pub marks: Vec<f64>,
}

impl DistributionChart {
    /// Draws the chart.
    #[must_use]
    pub fn draw(&self) -> Markup {
        let left = label_room(self.rows.iter().map(|row| row.label.as_str()));
        let values = || {
            let buckets = self.rows.iter().flat_map(|row| row.buckets.iter().map(|(bound, _)| *bound));
            buckets.chain(self.rows.iter().flat_map(|row| row.marks.iter().copied())).filter(|value| *value > 0.0)
        };
        let scale = Axis::log(values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
        let scale = scale.onto(left, WIDTH - 16.0);
        let (top, bottom) = (26.0, 26.0 + as_f64(self.rows.len()) * ROW + 6.0);
        let content = html! {
            (self.legend(left))
            (bottom_axis(&scale, top, bottom, &self.unit))
            @for (index, row) in self.rows.iter().enumerate() {
                @let base = top + as_f64(index) * ROW + ROW - 8.0;
                (label(&row.label, left - 8.0, base, "label end"))
                line.base x1=(px(left)) x2=(px(WIDTH - 16.0)) y1=(px(base)) y2=(px(base)) {}
                path.shape d=(shape(&row.buckets, &scale, base)) {}
                (marks(&row.marks, &scale, base))
            }
        };
        svg(&self.caption, WIDTH, bottom + 36.0, &content)
    }

    fn legend(&self, left: f64) -> Markup {
        let mut x = left + 4.0;
        html! {
            @for (kind, name) in self.marks.iter().enumerate() {
                (mark(kind, x, 10.0))
                text.legend x=(px(x + 8.0)) y="14" { (name) }
                @let () = x += width_of(name) + 26.0;
            }
        }
    }
}

/// The outline of a histogram whose areas are the counts: the height is the count divided by the width on the logarithmic axis.
fn shape(buckets: &[(f64, u64)], scale: &Axis, base: f64) -> String {
    let mut steps = Vec::with_capacity(buckets.len());
    let mut before = 0.0;
    for &(bound, count) in buckets.iter().filter(|(bound, _)| *bound > 0.0) {
        let from = f64::max(before, bound / BUCKET);
        #[expect(clippy::cast_precision_loss, reason = "drawings: counts beyond 2^53 differ by less than a pixel")]
        let density = count as f64 / (bound / from).ln().max(1e-3);
        steps.push((from, bound, density));
        before = bound;
    }
    let peak = steps.iter().map(|(_, _, density)| *density).fold(0.0, f64::max);
    let step = |(from, to, density): (f64, f64, f64)| {
        let height = px(base - SHAPE * density / peak);
        format!("M{} {b}V{height}H{}V{b}Z", px(scale.at(from)), px(scale.at(to)), b = px(base))
    };
    steps.into_iter().map(step).collect()
}

fn marks(values: &[f64], scale: &Axis, base: f64) -> Markup {
    let places = || values.iter().map(|value| scale.at(*value));
    html! {
        @if let (Some(first), Some(last)) = (places().next(), places().next_back()) {
            line.reach x1=(px(first)) x2=(px(last)) y1=(px(base)) y2=(px(base)) {}
        }
        // The median is drawn last, over marks that are close to it.
        @for (kind, x) in places().enumerate().collect::<Vec<_>>().into_iter().rev() { (mark(kind, x, base)) }
    }
}

/// A mark: a full and a hollow circle, a full and a hollow diamond, a stroke.
fn mark(kind: usize, x: f64, y: f64) -> Markup {
    let diamond = |radius: f64| format!("M{} {}l{r} {r}l-{r} {r}l-{r} -{r}Z", px(x), px(y - radius), r = px(radius));
    html! {
        @match kind {
            0 => circle.mark.full cx=(px(x)) cy=(px(y)) r="4" {},
            1 => circle.mark.hollow cx=(px(x)) cy=(px(y)) r="3.2" {},
            2 => path.mark.full d=(diamond(4.6)) {},
            3 => path.mark.hollow d=(diamond(4.2)) {},
            _ => line.mark.hollow x1=(px(x)) x2=(px(x)) y1=(px(y - 5.0)) y2=(px(y + 5.0)) {},
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_twice_as_wide_with_twice_the_values_is_as_high() {
        let scale = Axis::log(1.0, 100.0).onto(0.0, 200.0);
        // Ratios of 1.05 and 1.1: the second holds about twice as many.
        let path = shape(&[(10.0, 0), (10.5, 488), (11.55, 953)], &scale, 100.0);
        let heights: Vec<&str> = path.split('V').skip(1).step_by(2).filter_map(|part| part.split('H').next()).collect();
        assert_eq!(heights, ["100", "80", "80"], "{path}");
    }

    #[test]
    fn a_row_without_values_draws_nothing() {
        let row = Distribution { label: "naive".to_owned(), buckets: Vec::new(), marks: vec![0.0; 5] };
        let marks = ["p50", "p90", "p99", "p99.9", "max"].map(str::to_owned).to_vec();
        let chart = DistributionChart { caption: Caption::default(), unit: "ms".to_owned(), marks, rows: vec![row] };
        let drawn = chart.draw().into_string();
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
    }
}
