//! The number of values in each range, over time: a column for each interval, a cell for each range of values, on a logarithmic axis.
//!
//! A line of percentiles hides that latencies have two peaks, such as requests that waited and requests that did not; the cells show
//! it. A darker cell has more values. The lines over the cells are named, differ in their dashes, and have their figures in the
//! description.

use maud::{Markup, html};

use super::lines::{LineChart, LineSeries, PlotArea, XAxis};
use super::scale::Spacing;
use super::{Caption, as_f64, px, width_of};

/// The number of shades that are easy to distinguish.
const STEPS: u8 = 5;

/// The chart.
#[derive(Debug, Clone)]
pub struct Heatmap {
    /// Title and description.
    pub caption: Caption,
    /// The width of the drawing.
    pub width: f64,
    /// The height of the drawing.
    pub height: f64,
    /// The end of the time axis, in s.
    pub end_s: f64,
    /// The unit of the values.
    pub unit: String,
    /// The name of what is counted, such as answers.
    pub counted: String,
    /// The columns, from left to right.
    pub columns: Vec<HeatmapColumn>,
    /// Lines over the cells, such as percentiles: at most three, because there are three kinds of dashes.
    pub lines: Vec<LineSeries>,
}

/// The counts of an interval.
#[derive(Debug, Clone)]
pub struct HeatmapColumn {
    /// The start and the end of the interval, in s.
    pub time: (f64, f64),
    /// The cells, which do not overlap.
    pub cells: Vec<HeatmapCell>,
}

/// The number of values in a range.
#[derive(Debug, Clone, Copy)]
pub struct HeatmapCell {
    /// The lower bound, not included.
    pub low: f64,
    /// The upper bound, included.
    pub high: f64,
    /// The number of values.
    pub count: u64,
}

impl Heatmap {
    /// Draws the chart.
    #[must_use]
    pub fn draw(&self) -> Markup {
        let lines = LineChart {
            caption: self.caption.clone(),
            width: self.width,
            height: self.height,
            across: XAxis::Time(self.end_s),
            unit: self.unit.clone(),
            spacing: Spacing::Log,
            series: self.lines.clone(),
            highlighted: None,
        };
        let ends: Vec<f64> =
            self.columns.iter().flat_map(|column| &column.cells).flat_map(|cell| [cell.low, cell.high]).collect();
        let densest = self.columns.iter().flat_map(HeatmapColumn::densities).fold(0.0, f64::max);
        lines.draw_over(&ends, |frame| {
            html! {
                @for column in &self.columns { (cells(column, densest, frame)) }
                (self.legend())
            }
        })
    }

    /// The legend of the shades, at the top right.
    fn legend(&self) -> Markup {
        const BOX: f64 = 12.0;
        let many = format!("many {}", self.counted);
        let right = self.width - width_of(&many) - 4.0;
        let left = right - f64::from(STEPS) * BOX;
        html! {
            text.legend.end x=(px(left - 5.0)) y="11" { "few" }
            @for step in 1..=STEPS {
                rect class={ "heat heat" (step) } x=(px(left + f64::from(step - 1) * BOX)) y="2" width=(px(BOX)) height="10" {}
            }
            text.legend x=(px(right + 5.0)) y="11" { (many) }
        }
    }
}

impl HeatmapColumn {
    /// The values per second of each cell: intervals may differ in length.
    fn densities(&self) -> impl Iterator<Item = f64> {
        let seconds = (self.time.1 - self.time.0).max(1e-3);
        self.cells.iter().map(move |cell| as_f64(usize::try_from(cell.count).unwrap_or(usize::MAX)) / seconds)
    }
}

fn cells(column: &HeatmapColumn, densest: f64, frame: &PlotArea) -> Markup {
    let (left, right) = (frame.across.at(column.time.0), frame.across.at(column.time.1));
    html! {
        @for (cell, density) in column.cells.iter().zip(column.densities()) {
            @let (top, bottom) = (frame.up.at(cell.high), frame.up.at(cell.low));
            @if cell.count > 0 {
                rect class={ "heat heat" (step(density, densest)) } x=(px(left)) y=(px(top))
                    width=(px((right - left).max(0.2))) height=(px((bottom - top).max(0.2))) {}
            }
        }
    }
}

/// The shade, by the square root of the density: so a few slow values beside many fast ones stay visible.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a few steps")]
fn step(density: f64, densest: f64) -> u8 {
    let share = if densest > 0.0 { (density / densest).sqrt() } else { 0.0 };
    (share * f64::from(STEPS)).ceil().clamp(1.0, f64::from(STEPS)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(columns: Vec<HeatmapColumn>, lines: Vec<LineSeries>) -> String {
        let caption = Caption { id: "heat".to_owned(), ..Caption::default() };
        let (unit, counted) = ("ms".to_owned(), "answers".to_owned());
        let chart = Heatmap { caption, width: 400.0, height: 220.0, end_s: 2.0, unit, counted, columns, lines };
        chart.draw().into_string()
    }

    #[test]
    fn more_values_are_darker_and_an_empty_cell_is_not_drawn() {
        let cell = |low, count| HeatmapCell { low, high: low * 2.0, count };
        let columns = vec![
            HeatmapColumn { time: (0.0, 1.0), cells: vec![cell(1.0, 1_000), cell(16.0, 1), cell(64.0, 0)] },
            HeatmapColumn { time: (1.0, 2.0), cells: vec![cell(1.0, 250)] },
        ];
        let drawn = chart(columns, Vec::new());
        let cells = |class: &str| drawn.matches(&format!("class=\"heat {class}\"")).count();
        // The legend has one cell of each shade.
        let found: Vec<usize> = ["heat1", "heat2", "heat3", "heat4", "heat5"].map(cells).to_vec();
        assert_eq!(found, [2, 1, 2, 1, 2], "{drawn}");
        assert!(drawn.contains(">many answers</text>") && drawn.contains(">few</text>"), "{drawn}");
    }

    #[test]
    fn columns_with_the_same_rate_have_the_same_shade() {
        let column = |time, count| HeatmapColumn { time, cells: vec![HeatmapCell { low: 1.0, high: 2.0, count }] };
        let drawn = chart(vec![column((0.0, 1.0), 100), column((1.0, 1.25), 25)], Vec::new());
        assert_eq!(drawn.matches("heat heat5").count(), 3, "{drawn}");
    }

    #[test]
    fn lines_over_the_cells_are_named_and_differ_in_dashes() {
        let line =
            |name: &str, value| LineSeries { name: name.to_owned(), points: vec![(0.5, Some(value)), (1.5, None)] };
        let drawn = chart(Vec::new(), vec![line("p50", 2.0), line("p99", 40.0)]);
        assert!(drawn.contains(">p50</text>") && drawn.contains(">p99</text>"), "{drawn}");
        assert!(drawn.contains("dash0") && drawn.contains("dash1"), "{drawn}");
    }

    #[test]
    fn a_chart_without_data_is_still_a_chart() {
        let drawn = chart(Vec::new(), Vec::new());
        assert!(drawn.contains("</svg>") && !drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
    }
}
