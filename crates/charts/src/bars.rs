//! Horizontal bars, each with the range of its value as a whisker.

use maud::{Markup, html};

use super::scale::Axis;
use super::{Caption, ROW, WIDTH, bottom_axis, label, label_room, px, svg, width_of};

/// The chart.
#[derive(Debug, Clone)]
pub struct BarChart {
    /// Title and description.
    pub caption: Caption,
    /// The unit of the values.
    pub unit: String,
    /// The bars, from top to bottom.
    pub bars: Vec<Bar>,
}

/// A bar.
#[derive(Debug, Clone)]
pub struct Bar {
    /// The name at the left.
    pub label: String,
    /// The value, or the reason why there is none.
    pub figure: Result<BarValue, String>,
}

/// The value of a bar.
#[derive(Debug, Clone, PartialEq)]
pub struct BarValue {
    /// The length of the bar.
    pub value: f64,
    /// The start and the end of the whisker. If both are the same, there is no whisker.
    pub range: (f64, f64),
    /// The text at the end of the bar.
    pub text: String,
}

impl BarChart {
    /// Draws the chart.
    #[must_use]
    pub fn draw(&self) -> Markup {
        let figures = || self.bars.iter().filter_map(|bar| bar.figure.as_ref().ok());
        let left = label_room(self.bars.iter().map(|bar| bar.label.as_str()));
        let right = figures().map(|figure| width_of(&figure.text)).fold(0.0, f64::max) + 14.0;
        let longest = figures().map(|figure| figure.value.max(figure.range.1)).fold(0.0, f64::max);
        let scale = Axis::from_zero(longest).onto(left, WIDTH - right);
        let bottom = super::as_f64(self.bars.len()) * ROW + 6.0;
        let content = html! {
            (bottom_axis(&scale, 0.0, bottom, &self.unit))
            @for (index, bar) in self.bars.iter().enumerate() { (row(bar, &scale, left, super::as_f64(index) * ROW)) }
        };
        svg(&self.caption, WIDTH, bottom + 36.0, &content)
    }
}

fn row(bar: &Bar, scale: &Axis, left: f64, top: f64) -> Markup {
    let middle = top + ROW / 2.0;
    html! {
        (label(&bar.label, left - 8.0, middle + 4.0, "label end"))
        @match &bar.figure {
            Err(why) => text.note x=(px(left + 4.0)) y=(px(middle + 4.0)) { (why) },
            Ok(BarValue { value, range: (low, high), text }) => {
                rect.bar x=(px(left)) y=(px(top + 5.0)) width=(px(scale.at(*value) - left)) height=(px(ROW - 10.0)) {}
                @if high > low { (whisker(scale.at(*low), scale.at(*high), middle)) }
                text.value x=(px(scale.at(value.max(*high)) + 7.0)) y=(px(middle + 4.0)) { (text) }
            }
        }
    }
}

fn whisker(low: f64, high: f64, middle: f64) -> Markup {
    let (top, bottom) = (px(middle - 4.0), px(middle + 4.0));
    html! {
        path.whisker d={ "M" (px(low)) " " (px(middle)) "H" (px(high))
            "M" (px(low)) " " (top) "V" (bottom) "M" (px(high)) " " (top) "V" (bottom) } {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(figure: Result<BarValue, String>) -> String {
        let bar = Bar { label: "pessimistic".to_owned(), figure };
        BarChart { caption: Caption::default(), unit: "req/s".to_owned(), bars: vec![bar] }.draw().into_string()
    }

    #[test]
    fn a_bar_without_a_value_shows_the_reason() {
        let drawn = bar(Err("broken".to_owned()));
        assert!(drawn.contains(">broken</text>") && !drawn.contains("<rect"), "{drawn}");
    }

    #[test]
    fn a_value_that_was_measured_once_has_no_whisker() {
        let figure = |low, high| Ok(BarValue { value: 100.0, range: (low, high), text: "100".to_owned() });
        assert!(!bar(figure(100.0, 100.0)).contains("whisker"));
        assert!(bar(figure(90.0, 110.0)).contains("whisker"));
    }
}
