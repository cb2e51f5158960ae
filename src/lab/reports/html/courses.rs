//! Throughput over time: a small drawing for each approach, with all others behind it on the same axes.

use maud::{Markup, html};

use super::super::view::{is_ranked, ordered};
use super::chart_label;
use crate::lab::results::{ApproachResult, Round, Run};
use crate::report::figures::{float, whole};
use charts::Caption;
use charts::lines::{LineChart, LineSeries, XAxis};
use charts::scale::{Spacing, grouped};

/// A drawing is as wide as two of them are on a telephone.
const WIDTH: f64 = 190.0;
const HEIGHT: f64 = 128.0;

/// With fewer points than this, nothing is drawn.
const SECONDS_MIN: usize = 3;

/// From this ratio of the highest to the lowest rate on, the lowest would lie flat on a linear axis.
const RATIO_MAX: f64 = 6.0;

/// A last second shorter than this is too short to be scaled up to a second.
const PARTIAL_MIN: f64 = 0.3;

pub(super) fn section(run: &Run) -> Markup {
    let results: Vec<&ApproachResult> = ordered(run).into_iter().filter(|result| is_ranked(result)).collect();
    let courses: Vec<(&ApproachResult, &Round)> = results
        .iter()
        .filter_map(|result| Some((*result, typical(result)?)))
        .filter(|(_, round)| round.series.len() >= SECONDS_MIN)
        .collect();
    let too_short = results.len() - courses.len();
    if results.is_empty() {
        return html! {};
    }
    let medians = || courses.iter().map(|(_, round)| round.rate_per_s);
    let ratio = medians().fold(0.0, f64::max) / medians().fold(f64::INFINITY, f64::min);
    let spacing = if ratio > RATIO_MAX { Spacing::Log } else { Spacing::Linear };
    html! {
        section {
            h2 { "Throughput over time" }
            p.soft {
                "Answers in each second of the round whose rate is nearest to the median"
                @if spacing == Spacing::Log { ", on a logarithmic axis" }
                ". Grey lines are the other approaches"
                @if let Some(sweep) = &run.sweep { " at the same " (sweep.parameter) }
                ". A dip is a stall, such as a checkpoint or many retries at once."
                @if too_short > 0 { " Not drawn: " (too_short) " whose rounds are shorter than " (SECONDS_MIN) " s." }
            }
            div.panels {
                @for (index, (result, round)) in courses.iter().enumerate() {
                    figure {
                        figcaption { strong { (chart_label(result)) } " " span.soft { (grouped(&whole(round.rate_per_s))) " req/s" } }
                        (panel(index, &courses, spacing))
                    }
                }
            }
        }
    }
}

fn panel(index: usize, courses: &[(&ApproachResult, &Round)], spacing: Spacing) -> Markup {
    let (result, round) = courses[index];
    let mut series: Vec<LineSeries> = Vec::new();
    let mut highlighted = None;
    for (other_index, (other, round)) in
        courses.iter().enumerate().filter(|(_, (other, _))| other.value == result.value)
    {
        if other_index == index {
            highlighted = Some(series.len());
        }
        series.push(LineSeries { name: other.approach.clone(), points: points(round) });
    }
    let end_s = courses.iter().map(|(_, round)| round.elapsed_s).fold(0.0, f64::max);
    let rates = || points(round).into_iter().filter_map(|(_, rate)| rate);
    let (low, high) = (rates().fold(f64::INFINITY, f64::min), rates().fold(0.0, f64::max));
    let caption = Caption {
        id: format!("course{index}"),
        title: format!("{}: answers in each second", chart_label(result)),
        description: format!("Between {low:.0} and {high:.0} a second over {:.0} s.", round.elapsed_s),
    };
    let (across, unit) = (XAxis::Time(end_s), "req/s".to_owned());
    LineChart { caption, width: WIDTH, height: HEIGHT, across, unit, spacing, series, highlighted }.draw()
}

/// The round that stands for all: its rate is the nearest to the median.
fn typical(result: &ApproachResult) -> Option<&Round> {
    let median = result.spread(|round| round.rate_per_s).median;
    let distance = |round: &Round| (round.rate_per_s - median).abs();
    result.rounds.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)))
}

/// The rate of each second, in its middle. The last one is shorter than a second, and counts by its length.
fn points(round: &Round) -> Vec<(f64, Option<f64>)> {
    let mut points = Vec::with_capacity(round.series.len());
    let mut from = 0.0;
    for second in &round.series {
        let length = (round.elapsed_s - from).min(1.0);
        if length >= PARTIAL_MIN {
            let answers = float(second.done + second.refused + second.other);
            points.push((from + length / 2.0, Some(answers / length)));
        }
        from += 1.0;
    }
    points
}

#[cfg(test)]
mod tests {
    use super::super::super::sample;
    use super::*;

    #[test]
    fn the_last_second_counts_by_its_length() {
        let mut round = sample::run().results.remove(2).rounds.remove(0);
        round.series.truncate(3);
        for second in &mut round.series {
            (second.done, second.refused, second.other) = (100, 0, 0);
        }
        round.elapsed_s = 2.5;
        assert_eq!(points(&round), [(0.5, Some(100.0)), (1.5, Some(100.0)), (2.25, Some(200.0))]);
        round.elapsed_s = 2.01;
        assert_eq!(points(&round).len(), 2, "a hundredth of a second says nothing");
    }
}
