//! Horizontal bars made of parts. The parts differ in colour and pattern.

use maud::{Markup, html};

use super::scale::Axis;
use super::{Caption, ROW, WIDTH, as_f64, bottom_axis, label, label_room, px, svg, width_of};

/// The chart.
#[derive(Debug, Clone)]
pub struct StackedChart {
    /// Title and description.
    pub caption: Caption,
    /// The unit of the values.
    pub unit: String,
    /// The names of the parts, from left to right; at most [`PARTS`].
    pub parts: Vec<String>,
    /// The name of the thin bar below each bar, if there is one.
    pub under: Option<String>,
    /// The bars, from top to bottom.
    pub rows: Vec<StackedBar>,
}

/// The number of parts that have a pattern of their own.
pub const PARTS: usize = 5;

/// A bar.
#[derive(Debug, Clone)]
pub struct StackedBar {
    /// The name at the left.
    pub label: String,
    /// The values, or the reason why there are none.
    pub figures: Result<StackedValues, String>,
}

/// The values of a bar.
#[derive(Debug, Clone)]
pub struct StackedValues {
    /// The length of each part, and its text, which is shown where the part is long enough.
    pub parts: Vec<(f64, String)>,
    /// The length of the thin bar.
    pub under: f64,
}

impl StackedChart {
    /// Draws the chart.
    #[must_use]
    pub fn draw(&self) -> Markup {
        let left = label_room(self.rows.iter().map(|row| row.label.as_str()));
        let length = |figures: &StackedValues| figures.parts.iter().map(|(value, _)| value).sum::<f64>();
        let longest = self.rows.iter().filter_map(|row| row.figures.as_ref().ok()).map(length).fold(0.0, f64::max);
        let scale = Axis::from_zero(longest * (1.0 - 1e-9)).onto(left, WIDTH - 14.0);
        let (legend, top) = self.legend(left);
        let bottom = top + as_f64(self.rows.len()) * ROW + 6.0;
        let content = html! {
            defs { @for part in 0..self.parts.len().min(PARTS) { (pattern(&self.caption.id, part)) } }
            (legend)
            (bottom_axis(&scale, top, bottom, &self.unit))
            @for (index, row) in self.rows.iter().enumerate() {
                (self.row(row, &scale, left, top + as_f64(index) * ROW))
            }
        };
        svg(&self.caption, WIDTH, bottom + 36.0, &content)
    }

    /// Whether any row has this part: a legend of what is nowhere is noise.
    fn occurs(&self, part: usize) -> bool {
        let mut figures = self.rows.iter().filter_map(|row| row.figures.as_ref().ok());
        figures.any(|figures| figures.parts.get(part).is_some_and(|(value, _)| *value > 0.0))
    }

    fn has_thin_bar(&self) -> bool {
        self.rows.iter().filter_map(|row| row.figures.as_ref().ok()).any(|figures| figures.under > 0.0)
    }

    /// The legend of the patterns, in as many lines as it needs, and the coordinate where the rows begin below it.
    fn legend(&self, left: f64) -> (Markup, f64) {
        let (mut x, mut y) = (left, 14.0);
        let mut place = |text: &str| {
            let width = width_of(text) + 34.0;
            if x > left && x + width > WIDTH {
                (x, y) = (left, y + 18.0);
            }
            let placed = (x, y);
            x += width;
            placed
        };
        let entries = html! {
            @for (part, name) in self.parts.iter().enumerate().filter(|(part, _)| self.occurs(*part)) {
                @let (x, y) = place(name);
                rect.outline x=(px(x)) y=(px(y - 10.0)) width="14" height="11" fill=(self.fill(part)) {}
                text.legend x=(px(x + 19.0)) y=(px(y)) { (name) }
            }
            @if let Some(name) = self.under.as_ref().filter(|_| self.has_thin_bar()) {
                @let (x, y) = place(name);
                rect.under x=(px(x)) y=(px(y - 6.0)) width="14" height="3" {}
                text.legend x=(px(x + 19.0)) y=(px(y)) { (name) }
            }
        };
        (entries, y + 10.0)
    }

    fn fill(&self, part: usize) -> String {
        format!("url(#{}-part{})", self.caption.id, part % PARTS)
    }

    fn row(&self, row: &StackedBar, scale: &Axis, left: f64, top: f64) -> Markup {
        let baseline = top + ROW / 2.0 + 4.0;
        let mut end = 0.0;
        html! {
            (label(&row.label, left - 8.0, baseline, "label end"))
            @match &row.figures {
                Err(why) => text.note x=(px(left + 4.0)) y=(px(baseline)) { (why) },
                Ok(figures) => {
                    @for (part, (value, text)) in figures.parts.iter().enumerate() {
                        @let from = scale.at(end);
                        @let width = scale.at(end + value) - from;
                        @if width >= 0.1 {
                            rect.outline x=(px(from)) y=(px(top + 4.0)) width=(px(width)) height="15"
                                fill=(self.fill(part)) {}
                            @if width_of(text) + 6.0 < width {
                                text.inside.middle x=(px(from + width / 2.0)) y=(px(baseline - 1.0)) { (text) }
                            }
                        }
                        @let () = end += value;
                    }
                    @if figures.under > 0.0 {
                        rect.under x=(px(left)) y=(px(top + 21.0))
                            width=(px((scale.at(figures.under) - left).max(1.0))) height="3" {}
                    }
                }
            }
        }
    }
}

/// The pattern of a part: plain, slanted, dotted, crossed, upright.
fn pattern(id: &str, part: usize) -> Markup {
    let strokes = ["", "M-1 7L7 -1M-1 1L1 -1M5 7L7 5", "M3 2.5V3.5", "M0 3H6M3 0V6", "M3 0V6"];
    html! {
        pattern id={ (id) "-part" (part) } width="6" height="6" patternUnits="userSpaceOnUse" {
            rect class={ "part" (part) } width="6" height="6" {}
            @if let Some(stroke) = strokes.get(part).filter(|stroke| !stroke.is_empty()) { path.stroke d=(stroke) {} }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(rows: Vec<StackedBar>) -> String {
        let caption = Caption { id: "outcomes".to_owned(), ..Caption::default() };
        let parts = ["accepted", "refused"].map(str::to_owned).to_vec();
        StackedChart { caption, unit: "%".to_owned(), parts, under: Some("retried".to_owned()), rows }
            .draw()
            .into_string()
    }

    #[test]
    fn parts_follow_each_other_and_differ_in_pattern() {
        let parts = vec![(60.0, "60".to_owned()), (40.0, "40".to_owned())];
        let row = StackedBar { label: "naive".to_owned(), figures: Ok(StackedValues { parts, under: 5.0 }) };
        let drawn = chart(vec![row]);
        assert!(drawn.contains("url(#outcomes-part0)") && drawn.contains("url(#outcomes-part1)"), "{drawn}");
        assert!(drawn.contains(">60</text>") && drawn.contains(">40</text>"), "{drawn}");
        assert_eq!(drawn.matches("class=\"under\"").count(), 2, "one in the legend, one in the row: {drawn}");
    }

    #[test]
    fn a_row_without_values_shows_the_reason() {
        let drawn = chart(vec![StackedBar { label: "naive".to_owned(), figures: Err("no trace".to_owned()) }]);
        assert!(drawn.contains(">no trace</text>"), "{drawn}");
    }
}
