//! How many of which value, over time: a column for each stretch of time, a cell for each range of values, on a logarithmic axis.
//!
//! A line of percentiles hides that answers come in two humps, as those that waited and those that did not; the cells show it. How
//! dark a cell is says how many there are, and nothing else is said by it: the lines over the cells are named, differ in their dashes,
//! and have their figures in the description.

use maud::{Markup, html};

use super::lines::{LineChart, LineSeries, PlotArea, XAxis};
use super::scale::Spacing;
use super::{Caption, as_f64, px, width_of};

/// Steps of darkness that can be told apart.
const STEPS: u8 = 5;

/// The chart.
#[derive(Debug, Clone)]
pub struct Heatmap {
    /// What it is.
    pub caption: Caption,
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
    /// Where time ends, in s.
    pub end_s: f64,
    /// Of the values.
    pub unit: String,
    /// What is counted, such as answers.
    pub counted: String,
    /// From the left.
    pub columns: Vec<HeatmapColumn>,
    /// Lines over the cells, such as percentiles; at most three, which differ in their dashes.
    pub lines: Vec<LineSeries>,
}

/// What was counted in a stretch of time.
#[derive(Debug, Clone)]
pub struct HeatmapColumn {
    /// From when to when, in s.
    pub time: (f64, f64),
    /// Cells that do not overlap.
    pub cells: Vec<HeatmapCell>,
}

/// How often values of this range came.
#[derive(Debug, Clone, Copy)]
pub struct HeatmapCell {
    /// Above this.
    pub low: f64,
    /// At most this.
    pub high: f64,
    /// How often.
    pub count: u64,
}

impl Heatmap {
    /// The drawing.
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

    /// How dark many are, at the top right.
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
    /// How many a second in each cell: stretches of time need not be equally long.
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

/// How dark: by the root, or a few slow ones beside many fast ones would not be seen.
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
    fn many_are_darker_than_few_and_none_is_nothing() {
        let cell = |low, count| HeatmapCell { low, high: low * 2.0, count };
        let columns = vec![
            HeatmapColumn { time: (0.0, 1.0), cells: vec![cell(1.0, 1_000), cell(16.0, 1), cell(64.0, 0)] },
            HeatmapColumn { time: (1.0, 2.0), cells: vec![cell(1.0, 250)] },
        ];
        let drawn = chart(columns, Vec::new());
        let cells = |class: &str| drawn.matches(&format!("class=\"heat {class}\"")).count();
        // One of each is in the legend.
        let found: Vec<usize> = ["heat1", "heat2", "heat3", "heat4", "heat5"].map(cells).to_vec();
        assert_eq!(found, [2, 1, 2, 1, 2], "{drawn}");
        assert!(drawn.contains(">many answers</text>") && drawn.contains(">few</text>"), "{drawn}");
    }

    #[test]
    fn a_short_column_is_as_dark_as_a_long_one_with_the_same_rate() {
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
    fn nothing_is_still_a_chart() {
        let drawn = chart(Vec::new(), Vec::new());
        assert!(drawn.contains("</svg>") && !drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
    }
}
