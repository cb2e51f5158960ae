//! The results of varying a parameter: two charts over its values, and a table.

use maud::{Markup, html};

use super::super::figures::median;
use super::super::view::{is_ranked, mark};
use crate::lab::results::{ApproachResult, Run, Sweep};
use crate::report::figures::{NONE, float, ms, whole};
use crate::report::html::{figure, wide};
use charts::Caption;
use charts::lines::{LineChart, LineSeries, XAxis};
use charts::scale::{Spacing, grouped};

/// Wider than other charts: the names of the lines stand inside.
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 300.0;

pub(super) fn section(run: &Run, sweep: &Sweep) -> Markup {
    let rate = chart(run, sweep, "sweep-rate", "req/s", |result| result.spread(|round| round.rate_per_s).median);
    let p99 = chart(run, sweep, "sweep-p99", "ms", |result| median(result, |round| round.latency.p99_us) / 1e3);
    html! {
        section {
            h2 { "Sweep of " (sweep.parameter) }
            div.figures.large {
                (figure("Throughput", "Median of the rounds. A line stops where the approach was broken or gave no evidence.", &rate))
                (figure("99th percentile of latency", "Median of the rounds, on a logarithmic axis.", &p99))
            }
            (wide("Figures of the sweep", &table(run, sweep)))
        }
    }
}

/// The approaches, once each, in the order of the run.
fn approaches(run: &Run) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for result in &run.results {
        if !names.contains(&result.approach.as_str()) {
            names.push(&result.approach);
        }
    }
    names
}

fn at<'a>(run: &'a Run, approach: &str, value: &str) -> Option<&'a ApproachResult> {
    run.results.iter().find(|result| result.approach == approach && result.value.as_deref() == Some(value))
}

fn chart(run: &Run, sweep: &Sweep, id: &str, unit: &str, of: impl Fn(&ApproachResult) -> f64) -> Markup {
    let point = |approach: &str, value: &String| {
        at(run, approach, value).filter(|result| is_ranked(result)).map(&of).filter(|figure| figure.is_finite())
    };
    let series = |approach: &&str| {
        let values = sweep.values.iter().enumerate();
        let points = values.map(|(index, value)| (float(index as u64), point(approach, value))).collect();
        LineSeries { name: (*approach).to_owned(), points }
    };
    let all: Vec<LineSeries> = approaches(run).iter().map(series).collect();
    let series: Vec<LineSeries> =
        all.into_iter().filter(|series| series.points.iter().any(|(_, figure)| figure.is_some())).collect();
    let title = format!("{unit} over {}", sweep.parameter);
    let description = "The table below has the same figures.".to_owned();
    let caption = Caption { id: id.to_owned(), title, description };
    let across = XAxis::Steps { name: sweep.parameter.clone(), values: sweep.values.clone() };
    let spacing = if unit == "ms" { Spacing::Log } else { Spacing::Linear };
    let unit = unit.to_owned();
    LineChart { caption, width: WIDTH, height: HEIGHT, across, unit, spacing, series, highlighted: None }.draw()
}

fn table(run: &Run, sweep: &Sweep) -> Markup {
    html! {
        table {
            thead {
                tr {
                    th.name { "req/s, and p99 in ms" }
                    @for value in &sweep.values { th.figure colspan="2" { (sweep.parameter) "=" (value) } }
                }
            }
            tbody {
                @for approach in approaches(run) {
                    tr {
                        th.name scope="row" { (approach) }
                        @for value in &sweep.values { (cells(at(run, approach, value))) }
                    }
                }
            }
        }
    }
}

fn cells(result: Option<&ApproachResult>) -> Markup {
    html! {
        @match result {
            Some(result) if is_ranked(result) => {
                td.figure { (grouped(&whole(result.spread(|round| round.rate_per_s).median))) }
                td.figure.soft { (grouped(&ms(median(result, |round| round.latency.p99_us)))) }
            }
            Some(result) => td.figure colspan="2" { (mark(result.verdict).symbol) " " (result.verdict) },
            None => td.figure colspan="2" { (NONE) },
        }
    }
}
