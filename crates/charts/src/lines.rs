//! Lines: several series over time, or over the values of a sweep.
//!
//! The name of each line is at its end, so the reader needs no legend; names that would overlap are moved apart. If there are too many
//! lines for one drawing, make one drawing for each line: all with the same series, and a different one [`LineChart::highlighted`].

use maud::{Markup, html};

use super::scale::{Axis, Spacing, number};
use super::{Caption, LABEL_LETTERS, LETTER, as_f64, label, px, svg, width_of};

/// The number of colours. Further lines use the same colours with other dashes.
const COLOURS: usize = 6;

/// The height of a number at the axis, with the space around it.
const NUMBER: f64 = 20.0;

/// The height of a name at the end of a line.
const NAME: f64 = 14.0;

/// The chart.
#[derive(Debug, Clone)]
pub struct LineChart {
    /// Title and description.
    pub caption: Caption,
    /// The width of the drawing: [`super::WIDTH`], or less for one of many.
    pub width: f64,
    /// The height of the drawing.
    pub height: f64,
    /// The horizontal axis.
    pub across: XAxis,
    /// The unit of the vertical axis.
    pub unit: String,
    /// The spacing of the vertical axis.
    pub spacing: Spacing,
    /// The series.
    pub series: Vec<LineSeries>,
    /// The index of a series to highlight: the others are drawn as its background, and no line is named.
    pub highlighted: Option<usize>,
}

/// The horizontal axis.
#[derive(Debug, Clone, PartialEq)]
pub enum XAxis {
    /// Time from 0 to this, in s.
    Time(f64),
    /// The values of a parameter, at equal distances: the points are at 0, 1, 2, …
    Steps {
        /// The name of the parameter.
        name: String,
        /// Its values.
        values: Vec<String>,
    },
}

/// A line.
#[derive(Debug, Clone)]
pub struct LineSeries {
    /// The name of the series.
    pub name: String,
    /// The horizontal and the vertical value of each point. The line has a gap where there is no value.
    pub points: Vec<(f64, Option<f64>)>,
}

/// The part of the drawing inside the axes.
pub(super) struct PlotArea {
    pub across: Axis,
    pub up: Axis,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl LineChart {
    /// Draws the chart.
    #[must_use]
    pub fn draw(&self) -> Markup {
        let frame = self.frame(&[]);
        let (front, back): (Vec<_>, Vec<_>) =
            self.series.iter().enumerate().partition(|(index, _)| self.highlighted.is_none_or(|only| only == *index));
        let content = html! {
            (self.axes(&frame))
            @for (_, series) in back { path.line.back d=(path(series, &frame)) {} }
            @for (index, series) in &front { (self.line(*index, series, &frame)) }
            @if self.highlighted.is_none() { (names(&front, &frame)) }
        };
        svg(&self.caption, self.width, self.height, &content)
    }

    /// Draws the chart over another drawing, on axes that include these values. The lines differ in dashes only, because the other
    /// drawing uses the colour.
    pub(super) fn draw_over(&self, values: &[f64], under: impl FnOnce(&PlotArea) -> Markup) -> Markup {
        let frame = self.frame(values);
        // Such an index gives each line the next kind of dashes, and the first colour.
        let lines: Vec<_> = self.series.iter().enumerate().map(|(index, series)| (index * COLOURS, series)).collect();
        let content = html! {
            (under(&frame))
            (self.axes(&frame))
            g.over {
                @for (index, series) in &lines {
                    path.halo d=(path(series, &frame)) {}
                    (self.line(*index, series, &frame))
                }
                (names(&lines, &frame))
            }
        };
        svg(&self.caption, self.width, self.height, &content)
    }

    fn frame(&self, others: &[f64]) -> PlotArea {
        let drawn = || self.series.iter().flat_map(|series| &series.points).filter_map(|(_, value)| *value);
        let values = || drawn().chain(others.iter().copied());
        let positive = || values().filter(|value| *value > 0.0);
        let up = match self.spacing {
            Spacing::Linear => Axis::from_zero(values().fold(0.0, f64::max)),
            Spacing::Log => Axis::log(positive().fold(f64::INFINITY, f64::min), positive().fold(0.0, f64::max)),
        };
        let (top, bottom) = (22.0, self.height - 36.0);
        let up = up.onto(bottom, top);
        let numbers = up.ticks(up.room_for(NUMBER)).into_iter().map(|tick| width_of(&number(tick))).fold(0.0, f64::max);
        let names = self.series.iter().map(|series| width_of(&series.name)).fold(0.0, f64::max);
        let right = if self.highlighted.is_some() { 10.0 } else { names.min(as_f64(LABEL_LETTERS) * LETTER) + 26.0 };
        let (left, right) = (numbers + 10.0, self.width - right);
        let across = match &self.across {
            XAxis::Time(end_s) => Axis::up_to(*end_s),
            XAxis::Steps { values, .. } => Axis::up_to(as_f64(values.len().saturating_sub(1))),
        };
        PlotArea { across: across.onto(left + 2.0, right), up, left, right, top, bottom }
    }

    fn axes(&self, frame: &PlotArea) -> Markup {
        let &PlotArea { left, right, bottom, .. } = frame;
        let ticks: Vec<(f64, String)> = match &self.across {
            XAxis::Time(_) => frame.across.ticks(6).into_iter().map(|tick| (tick, number(tick))).collect(),
            XAxis::Steps { values, .. } => {
                values.iter().enumerate().map(|(index, value)| (as_f64(index), value.clone())).collect()
            }
        };
        let name = match &self.across {
            XAxis::Time(_) => "s",
            XAxis::Steps { name, .. } => name,
        };
        html! {
            @for tick in frame.up.ticks(frame.up.room_for(NUMBER)) {
                @let y = frame.up.at(tick);
                line.grid x1=(px(left)) x2=(px(right)) y1=(px(y)) y2=(px(y)) {}
                text.tick.end x=(px(left - 5.0)) y=(px(y + 4.0)) { (number(tick)) }
            }
            @for (at, text) in ticks {
                @let x = px(frame.across.at(at));
                line.tick x1=(x) x2=(x) y1=(px(bottom)) y2=(px(bottom + 4.0)) {}
                text.tick.middle x=(x) y=(px(bottom + 16.0)) { (text) }
            }
            text.unit x="0" y="11" { (self.unit) }
            text.unit.end x=(px(right)) y=(px(bottom + 32.0)) { (name) }
        }
    }

    fn line(&self, index: usize, series: &LineSeries, frame: &PlotArea) -> Markup {
        // A highlighted line needs no markers. Steps are few, so markers show where they are.
        let marked = self.highlighted.is_none() && matches!(self.across, XAxis::Steps { .. });
        let style = if self.highlighted.is_some() { 0 } else { index };
        html! {
            path class={ "line " (class(style)) } d=(path(series, frame)) {}
            @for (x, y) in points(series, frame).flatten() {
                @if marked { (marker(style, x, y)) }
            }
        }
    }
}

/// The CSS classes for the colour and the dashes of a line.
fn class(index: usize) -> String {
    format!("series{} dash{}", index % COLOURS, index / COLOURS % 3)
}

fn points(series: &LineSeries, frame: &PlotArea) -> impl Iterator<Item = Option<(f64, f64)>> {
    series.points.iter().map(|(x, value)| value.map(|value| (frame.across.at(*x), frame.up.at(value))))
}

fn path(series: &LineSeries, frame: &PlotArea) -> String {
    let mut pen_down = false;
    let stroke = |point: Option<(f64, f64)>| {
        let command = if pen_down { 'L' } else { 'M' };
        pen_down = point.is_some();
        point.map(|(x, y)| format!("{command}{} {}", px(x), px(y)))
    };
    points(series, frame).filter_map(stroke).collect()
}

/// A marker on a line. Five shapes, six colours and three kinds of dashes are enough for all approaches to differ.
fn marker(index: usize, x: f64, y: f64) -> Markup {
    let class = format!("marker series{}", index % COLOURS);
    let at = |dx: f64, dy: f64| format!("{} {}", px(x + dx), px(y + dy));
    html! {
        @match index % 5 {
            0 => circle class=(class) cx=(px(x)) cy=(px(y)) r="3.2" {},
            1 => rect class=(class) x=(px(x - 3.0)) y=(px(y - 3.0)) width="6" height="6" {},
            2 => path class=(class) d={ "M" (at(0.0, -4.0)) "L" (at(4.0, 3.0)) "L" (at(-4.0, 3.0)) "Z" } {},
            3 => path class=(class) d={ "M" (at(0.0, -4.2)) "L" (at(4.2, 0.0)) "L" (at(0.0, 4.2)) "L" (at(-4.2, 0.0)) "Z" } {},
            _ => path class=(class) d={ "M" (at(-3.2, -3.2)) "L" (at(3.2, 3.2)) "M" (at(-3.2, 3.2)) "L" (at(3.2, -3.2)) } {},
        }
    }
}

/// The name of each line at its end. Names that would overlap are moved apart.
fn names(series: &[(usize, &LineSeries)], frame: &PlotArea) -> Markup {
    let mut ends: Vec<(f64, f64, usize, &str)> = series
        .iter()
        .filter_map(|(index, series)| {
            let (x, y) = points(series, frame).flatten().last()?;
            Some((x, y, *index, series.name.as_str()))
        })
        .collect();
    ends.sort_by(|a, b| a.1.total_cmp(&b.1));
    let places = apart(&ends.iter().map(|end| end.1).collect::<Vec<_>>(), frame.top, frame.bottom);
    html! {
        @for ((x, y, index, name), place) in ends.into_iter().zip(places) {
            path class={ "leader " (class(index)) }
                d={ "M" (px(x + 5.0)) " " (px(y)) "L" (px(frame.right + 14.0)) " " (px(place)) } {}
            (label(name, frame.right + 18.0, place + 4.0, "label"))
        }
    }
}

/// Coordinates near the wanted ones (ascending), at least [`NAME`] apart, and between `top` and `bottom` if they fit.
fn apart(wanted: &[f64], top: f64, bottom: f64) -> Vec<f64> {
    let mut places: Vec<f64> = Vec::with_capacity(wanted.len());
    for place in wanted {
        let least = places.last().map_or(top, |before| before + NAME);
        places.push(place.max(least));
    }
    let mut most = bottom;
    for place in places.iter_mut().rev() {
        *place = place.min(most);
        most = *place - NAME;
    }
    places
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chart(highlighted: Option<usize>) -> String {
        let series = |name: &str, points: &[Option<f64>]| LineSeries {
            name: name.to_owned(),
            points: points.iter().enumerate().map(|(index, value)| (as_f64(index), *value)).collect(),
        };
        let series =
            vec![series("one", &[Some(1.0), None, Some(3.0)]), series("two", &[Some(2.0), Some(2.0), Some(2.0)])];
        let across = XAxis::Steps { name: "pool-size".to_owned(), values: ["2", "4", "8"].map(str::to_owned).to_vec() };
        let unit = "req/s".to_owned();
        let caption = Caption::default();
        let chart = LineChart {
            caption,
            width: 480.0,
            height: 200.0,
            across,
            unit,
            spacing: Spacing::Linear,
            series,
            highlighted,
        };
        chart.draw().into_string()
    }

    #[test]
    fn lines_are_named_differ_in_more_than_colour_and_have_gaps_without_values() {
        let drawn = chart(None);
        assert!(drawn.contains(">one</text>") && drawn.contains(">two</text>"), "{drawn}");
        assert_eq!(drawn.matches("<circle").count(), 2, "the markers of one: {drawn}");
        assert_eq!(drawn.matches("<rect").count(), 3, "the markers of two: {drawn}");
        let one = drawn.split("class=\"line series0 dash0\" d=\"").nth(1).and_then(|rest| rest.split('"').next());
        assert_eq!(one.map(|path| path.matches('M').count()), Some(2), "{one:?}");
    }

    #[test]
    fn a_point_is_at_the_height_of_its_value() {
        let drawn = chart(Some(1));
        let attribute = |from: &str| -> f64 {
            let value = drawn.split(from).nth(1).and_then(|rest| rest.split('"').next()).unwrap();
            value.split([' ', 'L']).nth(1).unwrap_or(value).parse().unwrap()
        };
        // The grid from 0 to 3 goes from the bottom, 164, to the top, 22; two are two thirds of that.
        assert!(drawn.contains("y1=\"164\"") && drawn.contains("y1=\"22\""), "{drawn}");
        let place = attribute("class=\"line series0 dash0\" d=\"");
        assert!((place - (164.0 - 142.0 * 2.0 / 3.0)).abs() < 0.1, "{place} in {drawn}");
    }

    #[test]
    fn a_highlighted_line_is_drawn_over_the_others() {
        let drawn = chart(Some(1));
        assert!(drawn.contains("line back") && !drawn.contains(">one</text>"), "{drawn}");
    }

    proptest! {
        #[test]
        fn names_do_not_overlap(mut wanted in prop::collection::vec(20.0..260.0_f64, 0..17)) {
            wanted.sort_by(f64::total_cmp);
            let places = apart(&wanted, 20.0, 260.0);
            prop_assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= NAME - 1e-9), "{places:?}");
            prop_assert!(places.iter().all(|place| (19.999..=260.001).contains(place)), "{places:?}");
        }
    }
}
