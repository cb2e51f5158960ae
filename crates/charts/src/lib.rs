//! Charts as SVG: strings to put into a page, of `report.html` as of the dashboard.
//!
//! - [`scale`]: from values to places, round ticks, numbers as text
//! - [`lines`]: several series over time, or over the values of a sweep
//! - [`distribution`]: latencies on a logarithmic axis, a row for each approach
//! - [`heatmap`]: how many of which value, over time
//! - [`stacked`]: horizontal bars made of parts
//! - [`bars`]: horizontal bars with the spread of their figure
//!
//! A chart takes numbers and finished texts and knows nothing of the lab. It is drawn without script and loads nothing. Its colours
//! are classes of [`STYLE`], which a page includes once, so light and dark are the page's matter; colour never says anything
//! alone: lines differ in dashes and markers, parts in their pattern, and both are named. Texts are escaped.
//!
//! Every chart is about [`WIDTH`] wide and scales with its place, so that its letters are legible on a telephone without
//! being posters on a wall: a page puts several side by side where it has room.

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

/// Width of a letter of a label, about: fonts differ, and a drawing cannot ask.
const LETTER: f64 = 6.6;

/// From one row of a chart of rows to the next.
const ROW: f64 = 26.0;

/// What a chart says to those who do not see it, and to whoever rests the pointer on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caption {
    /// Unique in the page: letters, digits and hyphens.
    pub id: String,
    /// What is shown.
    pub title: String,
    /// What can be read from it, with the figures that matter.
    pub description: String,
}

/// The drawing around what is drawn.
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

/// A coordinate: a tenth is finer than any screen.
fn px(place: f64) -> String {
    let text = format!("{place:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// About how wide a text is.
fn width_of(text: &str) -> f64 {
    as_f64(text.chars().count()) * LETTER
}

/// Room for the labels of rows, within reason: longer ones are cut short.
fn label_room<'a>(labels: impl Iterator<Item = &'a str>) -> f64 {
    labels.map(width_of).fold(40.0, f64::max).min(as_f64(LABEL_LETTERS) * LETTER) + 10.0
}

/// Letters of a label at most.
const LABEL_LETTERS: usize = 22;

/// A label in the room there is for it; the whole of it is in its tooltip.
fn label(text: &str, x: f64, y: f64, class: &str) -> Markup {
    let cut = text.chars().count() > LABEL_LETTERS;
    html! {
        text class=(class) x=(px(x)) y=(px(y)) {
            @if cut { title { (text) } (text.chars().take(LABEL_LETTERS - 1).collect::<String>()) "…" } @else { (text) }
        }
    }
}

/// The axis of values below a chart of rows: lines up through all of them, numbers, and the unit.
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
    fn a_chart_names_itself_and_escapes_what_it_is_given() {
        let caption =
            Caption { id: "rate".to_owned(), title: "Rate <b>".to_owned(), description: "\"fast\" & more".to_owned() };
        let nasty = "<script>alert('1')</script>";
        let bar = Bar { label: nasty.to_owned(), figure: Err(nasty.to_owned()) };
        let drawn = BarChart { caption, unit: nasty.to_owned(), bars: vec![bar] }.draw().into_string();
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
