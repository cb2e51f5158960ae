//! The charts of the whole run: rate, latencies, outcomes, waits.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::super::figures::{LATENCIES, median};
use super::super::view::{is_ranked, ordered};
use super::{chart_label, unranked_key};
use crate::lab::results::{ApproachResult, Round, Run, RunVerdict, Waits};
use crate::report::figures::{float, listed, ms, whole};
use crate::report::html::figure;
use charts::Caption;
use charts::bars::{Bar, BarChart, BarValue};
use charts::distribution::{self, DistributionChart};
use charts::scale::grouped;
use charts::stacked::{self, StackedChart, StackedValues};

pub(super) fn section(run: &Run) -> Markup {
    let results = ordered(run);
    if results.iter().all(|result| result.rounds.is_empty()) {
        return html! {};
    }
    html! {
        section {
            h2 { "Cost" }
            div.figures {
                @if run.sweep.is_none() {
                    (throughput(run, None))
                }
                @if results.iter().any(|result| is_ranked(result)) {
                (figure("Latency", "How many requests took how long, over all rounds, on a logarithmic axis; marks are medians of the rounds. \
                    Broken approaches are not ranked.", &latencies(&results)))
                }
                (figure("Outcomes", &format!("Share of all requests. The thin line below a bar is the share that took more than one attempt. {}",
                    unranked_key(run)), &outcomes(&results)))
                (figure("Where the time goes", &format!("Means over traced requests. A statement that takes longer than the fastest of its kind is \
                    counted as waiting for locks. {}", unranked_key(run)), &waits(&results)))
            }
        }
    }
}

/// Answers a second of all approaches; the approach that the page is about has a sign.
#[must_use]
pub fn throughput(run: &Run, about: Option<&str>) -> Markup {
    figure(
        "Throughput",
        "Median of the rounds; the thin line goes from the slowest to the fastest round. Broken approaches are not ranked and have no bar.",
        &rates(&ordered(run), about),
    )
}

fn caption(id: &str, title: &str, description: String) -> Caption {
    Caption { id: id.to_owned(), title: title.to_owned(), description }
}

/// For screen readers: each row in words.
fn in_words(rows: impl Iterator<Item = (String, String)>) -> String {
    rows.map(|(name, text)| format!("{name}: {text}.")).collect::<Vec<_>>().join(" ")
}

fn rates(results: &[&ApproachResult], about: Option<&str>) -> Markup {
    let bar = |result: &&ApproachResult| {
        let rate = result.spread(|round| round.rate_per_s);
        let figure = match result.verdict {
            _ if is_ranked(result) => {
                Ok(BarValue { value: rate.median, range: (rate.min, rate.max), text: grouped(&whole(rate.median)) })
            }
            RunVerdict::BrokenAsClaimed | RunVerdict::ClaimFailed => Err("broken: not ranked".to_owned()),
            RunVerdict::NoEvidence => Err("nothing was accepted or refused".to_owned()),
            _ => Err("claimed broken: not ranked".to_owned()),
        };
        let sign = if about == Some(result.approach.as_str()) { "▸ " } else { "" };
        Bar { label: format!("{sign}{}", chart_label(result)), figure }
    };
    let bars: Vec<Bar> = results.iter().map(bar).collect();
    let words =
        |bar: &Bar| (bar.label.clone(), bar.figure.as_ref().map_or_else(Clone::clone, |figure| figure.text.clone()));
    let caption = caption("rate", "Answers a second", in_words(bars.iter().map(words)));
    BarChart { caption, unit: "req/s".to_owned(), bars }.draw()
}

fn latencies(results: &[&ApproachResult]) -> Markup {
    let row = |result: &&&ApproachResult| {
        let mut buckets: BTreeMap<u64, u64> = BTreeMap::new();
        for bucket in result.rounds.iter().flat_map(|round| &round.latency.buckets) {
            *buckets.entry(bucket.up_to_us).or_default() += bucket.count;
        }
        distribution::Distribution {
            label: chart_label(result),
            buckets: buckets.into_iter().map(|(up_to_us, count)| (float(up_to_us) / 1e3, count)).collect(),
            marks: LATENCIES.map(|(_, of)| median(result, of) / 1e3).to_vec(),
        }
    };
    let rows: Vec<distribution::Distribution> =
        results.iter().filter(|result| is_ranked(result)).map(|result| row(&result)).collect();
    let words = |row: &distribution::Distribution| {
        let marks = LATENCIES.iter().zip(&row.marks).map(|((name, _), value)| format!("{name} {value:.1} ms"));
        (row.label.clone(), listed(&marks.collect::<Vec<_>>()))
    };
    let caption = caption("latency", "Latency", in_words(rows.iter().map(words)));
    let marks = LATENCIES.map(|(name, _)| name.to_owned()).to_vec();
    DistributionChart { caption, unit: "ms".to_owned(), marks, rows }.draw()
}

fn outcomes(results: &[&ApproachResult]) -> Markup {
    let names = ["accepted", "refused", "gave up", "unknown", "unexpected"];
    let row = |result: &&ApproachResult| {
        let sum = |count: fn(&Round) -> u64| result.rounds.iter().map(count).sum::<u64>();
        let counts = [
            sum(|round| round.judgement.counts.done),
            sum(|round| round.judgement.counts.refused),
            sum(|round| round.judgement.counts.not_done),
            sum(|round| round.judgement.counts.unknown),
            sum(|round| round.judgement.counts.unexpected),
        ];
        let total = counts.iter().sum::<u64>();
        let share = |count: u64| 100.0 * float(count) / float(total.max(1));
        let parts = counts.map(|count| (share(count), format!("{:.0}%", share(count)))).to_vec();
        let figures = StackedValues { parts, under: share(sum(|round| round.retried)) };
        let figures = if total > 0 { Ok(figures) } else { Err("no request".to_owned()) };
        stacked::StackedBar { label: chart_label(result), figures }
    };
    let rows: Vec<stacked::StackedBar> = results.iter().map(row).collect();
    let caption = caption("outcomes", "Outcomes", words_of_parts(&names, &rows));
    let parts = names.map(str::to_owned).to_vec();
    StackedChart { caption, unit: "% of requests".to_owned(), parts, under: Some("retried".to_owned()), rows }.draw()
}

fn waits(results: &[&ApproachResult]) -> Markup {
    let row = |result: &&ApproachResult| {
        let part = |of: fn(&Waits) -> f64| mean_over_traces(result, of);
        let traced = result.rounds.iter().filter_map(|round| round.waits).map(|waits| waits.traced).sum();
        let waits = Waits {
            traced,
            row_us: part(|waits| waits.row_us),
            pool_us: part(|waits| waits.pool_us),
            locks_us: part(|waits| waits.locks_us),
            statements_us: part(|waits| waits.statements_us),
            commit_us: part(|waits| waits.commit_us),
        };
        (chart_label(result), Some(waits))
    };
    waits_of("waits", results.iter().map(row).collect())
}

/// Where the time of a request goes: a bar for each of these.
pub(crate) fn waits_of(id: &str, rows: Vec<(String, Option<Waits>)>) -> Markup {
    let names = ["queued for the row", "waiting for a connection", "waiting for locks", "statements", "commit"];
    let row = |(label, waits): (String, Option<Waits>)| {
        let part = |mean_us: f64| (mean_us / 1e3, ms(mean_us));
        let parts = |waits: Waits| {
            [waits.row_us, waits.pool_us, waits.locks_us, waits.statements_us, waits.commit_us].map(part).to_vec()
        };
        let figures = match waits.filter(|waits| waits.traced > 0) {
            Some(waits) => Ok(StackedValues { parts: parts(waits), under: 0.0 }),
            None => Err("no trace".to_owned()),
        };
        stacked::StackedBar { label, figures }
    };
    let rows: Vec<stacked::StackedBar> = rows.into_iter().map(row).collect();
    let caption = caption(id, "Where the time of a request goes", words_of_parts(&names, &rows));
    StackedChart {
        caption,
        unit: "mean ms per request".to_owned(),
        parts: names.map(str::to_owned).to_vec(),
        under: None,
        rows,
    }
    .draw()
}

/// A mean over the rounds, each by how many requests it traced.
fn mean_over_traces(result: &ApproachResult, of: fn(&Waits) -> f64) -> f64 {
    let waits = || result.rounds.iter().filter_map(|round| round.waits.as_ref());
    let traced: u64 = waits().map(|waits| waits.traced).sum();
    waits().map(|waits| of(waits) * float(waits.traced)).sum::<f64>() / float(traced.max(1))
}

fn words_of_parts(names: &[&str], rows: &[stacked::StackedBar]) -> String {
    let words = |row: &stacked::StackedBar| {
        let text = match &row.figures {
            Ok(figures) => {
                let parts = names.iter().zip(&figures.parts).filter(|(_, (value, _))| *value > 0.0);
                listed(&parts.map(|(name, (_, text))| format!("{name} {text}")).collect::<Vec<_>>())
            }
            Err(why) => why.clone(),
        };
        (row.label.clone(), text)
    };
    in_words(rows.iter().map(words))
}
