//! How far a run is: the round under load, and the verdicts of the rounds that are judged.

use maud::{Markup, html};

use crate::dashboard::model::live_round::LiveRound;
use crate::dashboard::model::snapshot::LiveRun;
use crate::feed::{LiveSlice, bounds_us};
use crate::lab::reports::html::charts::waits_of;
use crate::lab::reports::table;
use crate::report::figures::{NONE, float, ms, whole};
use crate::report::html::figure;
use charts::heatmap::{Heatmap, HeatmapCell, HeatmapColumn};
use charts::lines::{LineChart, LineSeries, XAxis};
use charts::scale::{Spacing, grouped};
use charts::{Caption, WIDTH};

/// The present rate and latency are those of so many last ms.
const PRESENT_MS: u64 = 1_000;

/// Height of a chart.
const HEIGHT: f64 = 240.0;

/// The percentiles that are drawn.
const PERCENTILES: [(&str, f64); 2] = [("p50", 0.5), ("p99", 0.99)];

/// The progress in a sentence.
pub fn sentence(run: &LiveRun) -> Markup {
    let Some(round) = &run.round else { return html! { "Starting the experiment's server." } };
    let number = run.rounds_done() + 1;
    html! {
        @if number as u64 > run.rounds { "All " (run.rounds) " rounds are over; the report is being written." } @else {
            "Running round " (number) " of " (run.rounds) ": " strong { (round.title.approach) }
            @if round.title.round > 1 { ", its " (ordinal(round.title.round)) " round" }
            @if round.judging { "; the load is over, and the referee judges the answers" }
        }
    }
}

fn ordinal(number: u32) -> String {
    let ending = match (number % 10, number % 100) {
        (1, not) if not != 11 => "st",
        (2, not) if not != 12 => "nd",
        (3, not) if not != 13 => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// The round under load, or the last round of a run that is over.
pub fn now(run: &LiveRun, over: bool) -> Markup {
    let Some(round) = &run.round else { return html! {} };
    let percent = 100.0 * round.share();
    html! {
        h3 { @if over { "The last round: " } @else { "The present round: " } (round.title.approach) }
        p.progress {
            progress max="100" value=(format!("{percent:.0}")) aria-label="Share of the round that is done" {}
            " " span.figure { (format!("{percent:.0}")) " %, " (format!("{:.1}", round.elapsed_s())) " s" }
        }
        (figures(round, over))
        @if round.slices.is_empty() {
            p.soft { "The data is being reset; there are no answers yet." }
        } @else {
            div.figures {
                (figure("Throughput", "Answers per second, by outcome.", &throughput(round)))
                (figure("Latency", "Answers by latency, on a logarithmic axis; a darker cell has more answers. Lines: percentiles.", &latency(round)))
                (figure("Where the time goes", "Means of the traced requests of this round: queued for the row, waiting for a connection, waiting for \
                    PostgreSQL's locks, executing statements, and waiting for the commit to be durable.",
                    &waits_of("live-waits", vec![(round.title.approach.clone(), round.waits.map(Into::into))])))
            }
        }
    }
}

/// The figures of the round, with their units.
fn figures(round: &LiveRound, over: bool) -> Markup {
    let recent = present(&round.slices);
    let rate = recent.as_ref().map(|slice| float(slice.counts.answers()) / seconds(slice));
    let percentile = |share| recent.as_ref().and_then(|slice| slice.quantile_us(share)).map_or(NONE.to_owned(), ms);
    let count = |count: u64| grouped(&count.to_string());
    let counts = &round.counts;
    let mut figures: Vec<(&str, String, &str)> = vec![
        ("accepted", count(counts.done), "requests"),
        ("refused", count(counts.refused), "requests"),
        ("retried", count(counts.retried), "requests"),
        ("gave up", count(counts.gave_up), "requests"),
        ("unknown outcome or unexpected answer", count(counts.other), "requests"),
    ];
    // Figures of the present moment are shown only while the round is under way.
    let present: [(&str, String, &str); 3] = [
        ("rate in the last second", rate.map_or(NONE.to_owned(), |rate| grouped(&whole(rate))), "answers/s"),
        ("median latency (p50) in the last second", percentile(0.5), "ms"),
        ("99th percentile of latency (p99) in the last second", percentile(0.99), "ms"),
    ];
    figures.extend(present.into_iter().filter(|_| !over));
    if let Some(pool) = round.pool.as_ref().filter(|_| !over) {
        figures.push(("database connections in use", format!("{} of {}", pool.in_use, pool.limit), ""));
        figures.push(("waiting for a connection", count(pool.waiting_for_connection), "requests"));
        figures.push(("queued for a row", count(pool.waiting_for_row), "requests"));
        // Only two approaches have these waits.
        let others = [
            ("waiting for a row's mutex", pool.waiting_for_mutex),
            ("waiting for their batch (group-commit)", pool.waiting_for_batch),
        ];
        figures.extend(others.into_iter().filter(|(_, of)| *of > 0).map(|(name, of)| (name, count(of), "requests")));
    }
    html! {
        dl.figures-now {
            @for (name, value, unit) in figures {
                div { dt { (name) } dd { strong.figure { (value) } " " span.unit { (unit) } } }
            }
        }
    }
}

/// The last second as one slice.
fn present(slices: &[LiveSlice]) -> Option<LiveSlice> {
    let end = slices.last()?.to_ms;
    let mut recent = slices.iter().filter(|slice| slice.from_ms + PRESENT_MS >= end);
    let mut sum = recent.next()?.clone();
    recent.for_each(|slice| sum.append(slice));
    Some(sum)
}

fn seconds(slice: &LiveSlice) -> f64 {
    float(slice.to_ms.saturating_sub(slice.from_ms).max(1)) / 1e3
}

/// The middle of a slice, in s.
fn middle(slice: &LiveSlice) -> f64 {
    float(slice.from_ms + slice.to_ms) / 2e3
}

fn throughput(round: &LiveRound) -> Markup {
    type Of = fn(&LiveSlice) -> u64;
    let kinds: [(&str, Of); 3] = [
        ("accepted", |slice| slice.counts.done),
        ("refused", |slice| slice.counts.refused),
        ("gave up, other", |slice| slice.counts.gave_up + slice.counts.other),
    ];
    let rate = |slice: &LiveSlice, of: Of| float(of(slice)) / seconds(slice);
    let occurs = |(_, of): &(&str, Of)| round.slices.iter().any(|slice| of(slice) > 0);
    let series = |(name, of): (&str, Of)| LineSeries {
        name: name.to_owned(),
        points: round.slices.iter().map(|slice| (middle(slice), Some(rate(slice, of)))).collect(),
    };
    let words = kinds.iter().filter(|kind| occurs(kind)).map(|(name, of)| {
        let highest = round.slices.iter().map(|slice| rate(slice, *of)).fold(0.0, f64::max);
        let last = round.slices.last().map_or(0.0, |slice| rate(slice, *of));
        format!("{name}: {last:.0} per second now, {highest:.0} at most.")
    });
    let caption = Caption {
        id: "live-rate".to_owned(),
        title: format!("{}: answers per second", round.title.approach),
        description: words.collect::<Vec<_>>().join(" "),
    };
    let series = kinds.into_iter().filter(occurs).map(series).collect();
    let (across, unit) = (XAxis::Time(round.elapsed_s()), "answers/s".to_owned());
    LineChart {
        caption,
        width: WIDTH,
        height: HEIGHT,
        across,
        unit,
        spacing: Spacing::Linear,
        series,
        highlighted: None,
    }
    .draw()
}

fn latency(round: &LiveRound) -> Markup {
    let column = |slice: &LiveSlice| HeatmapColumn {
        time: (float(slice.from_ms) / 1e3, float(slice.to_ms) / 1e3),
        cells: slice.latencies.iter().map(|(bucket, count)| cell(*bucket, *count)).collect(),
    };
    let series = |(name, share): (&str, f64)| LineSeries {
        name: name.to_owned(),
        points: round.slices.iter().map(|slice| (middle(slice), slice.quantile_us(share).map(|us| us / 1e3))).collect(),
    };
    let mut all = LiveSlice::default();
    round.slices.iter().for_each(|slice| all.append(slice));
    let words = PERCENTILES.map(|(name, share)| match all.quantile_us(share) {
        Some(us) => format!("{name} of the round so far: about {} ms.", ms(us)),
        None => format!("{name}: no request was accepted or refused yet."),
    });
    let chart = Heatmap {
        caption: Caption {
            id: "live-latency".to_owned(),
            title: format!("{}: latency over time", round.title.approach),
            description: words.join(" "),
        },
        width: WIDTH,
        height: HEIGHT,
        end_s: round.elapsed_s(),
        unit: "ms".to_owned(),
        counted: "answers".to_owned(),
        columns: round.slices.iter().map(column).collect(),
        lines: PERCENTILES.map(series).to_vec(),
    };
    chart.draw()
}

fn cell(bucket: u8, count: u64) -> HeatmapCell {
    let (low_us, high_us) = bounds_us(bucket);
    HeatmapCell { low: low_us / 1e3, high: high_us / 1e3, count }
}

/// The rounds that are judged.
pub fn results(run: &LiveRun) -> Markup {
    let results: Vec<_> = run.results.iter().map(AsRef::as_ref).collect();
    html! {
        @if !results.is_empty() {
            h3 { (run.rounds_done()) " of " (run.rounds) " rounds are judged" }
            (table::html(None, &results))
        }
        @if !run.not_offered.is_empty() {
            p.soft { "Not run, because they do not offer the scenario: " (run.not_offered.join(", ")) "." }
        }
    }
}
