//! The table of verdicts: claim beside evidence, and figures of speed only where they may be compared.

use maud::{Markup, html};

use super::super::figures::{LATENCIES, NONE, attempts, float, hundredths, median, ms, other, whole};
use super::super::notes;
use super::super::view::{self, claim, is_ranked, ordered};
use super::{class, symbol, wide};
use crate::lab::results::{ApproachResult, Run, Sweep};
use charts::scale::grouped;

/// Columns of speed: what is not ranked has a text in their place.
const SPEED_COLUMNS: usize = 2 + LATENCIES.len();

pub(super) fn section(run: &Run) -> Markup {
    html! {
        section {
            h2 { "Verdicts" }
            (wide("Verdicts", &table(run.sweep.as_ref(), &ordered(run))))
            p.soft {
                "Accepted to max are medians over the rounds of an approach; the range is from its slowest round to its fastest. "
                "Sound approaches stand by their rate, best first. A broken one is never ranked by its speed."
            }
            @let remarks = notes::remarks(run);
            @if !remarks.is_empty() { ul.soft { @for remark in remarks { li { (remark) } } } }
        }
    }
}

/// The table of these results, in this order.
pub(crate) fn table(sweep: Option<&Sweep>, results: &[&ApproachResult]) -> Markup {
    html! {
        table {
            thead { (head(sweep)) }
            tbody { @for result in results { (row(sweep, result)) } }
        }
    }
}

fn head(sweep: Option<&Sweep>) -> Markup {
    html! {
        tr {
            th { "verdict" }
            th.name { "approach" }
            th { "claim" }
            @if let Some(sweep) = sweep { th.figure { (sweep.parameter) } }
            @for head in ["accepted", "refused", "other", "distinct answers", "attempts", "req/s", "range"] {
                th.figure { (head) }
            }
            @for (head, _) in LATENCIES { th.figure { (head) span.unit { " ms" } } }
        }
    }
}

fn row(sweep: Option<&Sweep>, result: &ApproachResult) -> Markup {
    let count = |median: f64| grouped(&whole(median));
    html! {
        tr {
            td { span class=(class(result.verdict)) { (symbol(result.verdict)) " " (result.verdict) } }
            th.name scope="row" { (result.approach) }
            td { (claim(result.claim)) }
            @if sweep.is_some() { td.figure { (result.value.as_deref().unwrap_or(NONE)) } }
            td.figure { (count(median(result, |round| round.judgement.counts.done))) }
            td.figure { (count(median(result, |round| round.judgement.counts.refused))) }
            td.figure { (count(median(result, other))) }
            td.figure { (count(median(result, |round| round.distinct_answers))) }
            td.figure { (attempts(result).map_or(NONE.to_owned(), |attempts| hundredths(attempts.median))) }
            @if is_ranked(result) { (speed(result)) } @else {
                td.found.bad[result.verdict.is_broken()].open[!result.verdict.is_broken()] colspan=(SPEED_COLUMNS) { (view::why_unranked(result)) }
            }
        }
    }
}

fn speed(result: &ApproachResult) -> Markup {
    let rate = result.spread(|round| round.rate_per_s);
    html! {
        td.figure { strong { (grouped(&whole(rate.median))) } }
        td.figure.soft {
            @if result.rounds.len() > 1 { (grouped(&whole(rate.min))) "…" (grouped(&whole(rate.max))) } @else { "one round" }
        }
        @for (_, of) in LATENCIES { td.figure { (grouped(&ms(result.spread(|round| float(of(round))).median))) } }
    }
}
