//! Charts as SVG, to put into a page: the lab's `report.html` and its dashboard use them.
//!
//! - [`scale`]: axes from values to coordinates, round ticks, numbers as text
//! - [`lines`]: several series over time, or over the values of a sweep
//! - [`distribution`]: latencies on a logarithmic axis, a row for each approach
//! - [`heatmap`]: the number of values in each range, over time
//! - [`stacked`]: horizontal bars made of parts
//! - [`bars`]: horizontal bars, each with the range of its value
//!
//! A chart takes numbers and finished texts, and knows nothing of the lab. It needs no script and loads nothing. Its colours are
//! classes of [`STYLE`], which a page includes once; the page decides between light and dark. No information is in the colour alone:
//! lines differ in dashes and markers, parts in their pattern, and both are named. Texts are escaped.
//!
//! Every chart is about [`WIDTH`] wide and scales with the space that the page gives it. So its letters are legible on a telephone,
//! and a wide page can show several charts side by side.

pub mod bars;
pub mod distribution;
pub mod heatmap;
pub mod lines;
pub mod scale;
pub mod stacked;

use maud::{Markup, html};

/// The style sheet of all charts.
pub const STYLE: &str = include_str!("chart.css");

/// Width of a chart that stands alone, in the units of its drawing.
pub const WIDTH: f64 = 400.0;

/// The estimated width of a letter of a label. Fonts differ, and a drawing cannot measure them.
const LETTER: f64 = 6.6;

/// The height of a row, in charts that consist of rows.
const ROW: f64 = 26.0;

/// The texts of a chart for screen readers; browsers also show the title under the pointer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caption {
    /// Unique in the page: letters, digits and hyphens.
    pub id: String,
    /// What the chart shows.
    pub title: String,
    /// What can be read from the chart, with the important figures.
    pub description: String,
}

/// The SVG element with its title and description, around the content.
fn svg(caption: &Caption, width: f64, height: f64, content: &Markup) -> Markup {
    let (title, description) = (format!("{}-title", caption.id), format!("{}-description", caption.id));
    html! {
        svg.chart xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby={ (title) " " (description) }
            viewBox={ "0 0 " (px(width)) " " (px(height)) } {
            title id=(title) { (caption.title) }
            desc id=(description) { (caption.description) }
            (content)
        }
    }
}

/// A coordinate as text, rounded to a tenth, which is finer than a screen shows.
fn px(place: f64) -> String {
    let text = format!("{place:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// The estimated width of a text.
fn width_of(text: &str) -> f64 {
    as_f64(text.chars().count()) * LETTER
}

/// The width for the labels of rows. It has a maximum; longer labels are cut.
fn label_room<'a>(labels: impl Iterator<Item = &'a str>) -> f64 {
    labels.map(width_of).fold(40.0, f64::max).min(as_f64(LABEL_LETTERS) * LETTER) + 10.0
}

/// The maximum number of letters of a label.
const LABEL_LETTERS: usize = 22;

/// A label, cut to the maximum length. The tooltip shows the whole text.
fn label(text: &str, x: f64, y: f64, class: &str) -> Markup {
    let cut = text.chars().count() > LABEL_LETTERS;
    html! {
        text class=(class) x=(px(x)) y=(px(y)) {
            @if cut { title { (text) } (text.chars().take(LABEL_LETTERS - 1).collect::<String>()) "…" } @else { (text) }
        }
    }
}

/// The axis of values below a chart of rows: vertical grid lines, numbers, and the unit.
fn bottom_axis(scale: &scale::Axis, top: f64, bottom: f64, unit: &str) -> Markup {
    let width = width_of(&scale::number(scale.domain().1)) + 12.0;
    html! {
        @for tick in scale.ticks(scale.room_for(width).min(8)) {
            @let x = px(scale.at(tick));
            line.grid x1=(x) x2=(x) y1=(px(top)) y2=(px(bottom)) {}
            text.tick.middle x=(x) y=(px(bottom + 15.0)) { (scale::number(tick)) }
        }
        text.unit.end x=(px(scale.at(f64::INFINITY))) y=(px(bottom + 31.0)) { (unit) }
    }
}

/// A count as a coordinate.
#[expect(clippy::cast_precision_loss, reason = "drawings: counts beyond 2^53 differ by less than a pixel")]
fn as_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::bars::{Bar, BarChart};
    use super::*;

    #[test]
    fn a_chart_has_its_title_and_escapes_its_texts() {
        let caption =
            Caption { id: "rate".to_owned(), title: "Rate <b>".to_owned(), description: "\"fast\" & more".to_owned() };
        let script = "<script>alert('1')</script>";
        let bar = Bar { label: script.to_owned(), figure: Err(script.to_owned()) };
        let drawn = BarChart { caption, unit: script.to_owned(), bars: vec![bar] }.draw().into_string();
        assert!(drawn.starts_with("<svg class=\"chart\" xmlns=\"http://www.w3.org/2000/svg\" role=\"img\""), "{drawn}");
        assert!(drawn.contains("<title id=\"rate-title\">Rate &lt;b&gt;</title>"), "{drawn}");
        assert!(drawn.contains("aria-labelledby=\"rate-title rate-description\""), "{drawn}");
        assert!(!drawn.contains("<script") && !drawn.contains("<b>"), "{drawn}");
    }

    #[test]
    fn coordinates_are_short() {
        assert_eq!((px(12.0), px(0.25), px(-0.04)), ("12".to_owned(), "0.2".to_owned(), "-0".to_owned()));
    }
}
