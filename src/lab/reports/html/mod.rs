//! `report.html`: the page of a run, in the frame of [`report::html`](crate::report::html).

pub(crate) mod charts;
mod courses;
mod sweep;
mod witness;

use maud::{Markup, html};

use super::conditions::{self, Condition};
use super::notes;
use super::table;
use super::view::{self, mark, ordered, verdict_counts};
use crate::lab::results::{ApproachResult, Run};
use crate::report::html::{document, warnings};

/// The page.
#[must_use]
pub fn page(run: &Run) -> String {
    let body = html! {
        (heading(run))
        main {
            (figures(run))
            (witness::section(run))
            (conditions_section(run))
        }
    };
    document(&format!("{} · {} · concurrency-lab", run.scenario, run.started), "", &body)
}

/// Verdicts and cost: all that needs no style of its own, so that it may stand on a page whose policy forbids that.
#[must_use]
pub fn figures(run: &Run) -> Markup {
    html! {
        (verdicts(run))
        @if let Some(swept) = &run.sweep { (sweep::section(run, swept)) }
        (charts::section(run))
        (courses::section(run))
    }
}

fn heading(run: &Run) -> Markup {
    let environment = &run.environment;
    let cores = format!("{} cores", environment.cores);
    let postgres = environment.server.as_ref().map(|server| format!("PostgreSQL {}", server.postgres));
    let pool = environment.server.as_ref().map(|server| format!("pool size {}", conditions::pool_size(run, server)));
    let machine = [environment.processor.clone(), Some(cores), Some(environment.system.clone()), postgres, pool];
    html! {
        header {
            h1 { (run.scenario) }
            p.tally { (verdict_counts(&run.results.iter().map(|result| result.verdict))) }
            p { (conditions::summary(run)) "; " (run.started) }
            p.soft { (machine.into_iter().flatten().collect::<Vec<_>>().join(" · ")) " · " a href="#conditions" { "all conditions" } }
            p { code { (environment.command_line.join(" ")) } }
            (warnings(&notes::warnings(run)))
        }
    }
}

fn verdicts(run: &Run) -> Markup {
    let remarks = notes::remarks(run);
    html! {
        section {
            h2 { "Verdicts" }
            (table::html(run.sweep.as_ref(), &ordered(run)))
            p.soft {
                "Figures are medians over the rounds of an approach. Correct approaches are sorted by their rate, the fastest first. \
                 Broken approaches are not ranked."
            }
            @if !remarks.is_empty() { ul.soft { @for remark in remarks { li { (remark) } } } }
        }
    }
}

/// All conditions, with what must be alike for a comparison.
#[must_use]
pub fn conditions_section(run: &Run) -> Markup {
    let list = |head: &str, conditions: Vec<Condition>| {
        html! {
            div {
                h3 { (head) }
                dl { @for (name, value) in conditions { div { dt { (name) } dd { (value) } } } }
            }
        }
    };
    html! {
        section #conditions {
            h2 { "Conditions" }
            p.soft {
                "Two runs can be compared only if their settings and their environment are the same. "
                @if notes::has_closed_loop(run) { (notes::CLOSED_LOOP) }
            }
            div.lists {
                (list("Settings", conditions::settings(run)))
                (list("Environment", conditions::environment(run)))
                (list("Origin", conditions::provenance(run)))
            }
        }
    }
}

/// The label of a result in a chart: with its sign, unless it is ranked.
fn chart_label(result: &ApproachResult) -> String {
    let value = result.value.as_ref().map(|value| format!(" {value}")).unwrap_or_default();
    let sign = if view::is_ranked(result) { String::new() } else { format!("{} ", mark(result.verdict).symbol) };
    format!("{sign}{}{value}", result.approach)
}

/// What the signs in labels mean; empty if there are none.
fn unranked_key(run: &Run) -> &'static str {
    if run.results.iter().all(view::is_ranked) {
        return "";
    }
    "Not ranked: ✗\u{a0}broken, ○\u{a0}claimed broken but not shown, ∅\u{a0}no evidence, ?\u{a0}undecided."
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::report::INTERRUPTED;

    #[test]
    fn ids_are_unique_and_every_reference_is_to_one() {
        let page = page(&sample::swept());
        let values = |attribute: &str| -> Vec<&str> {
            page.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()).collect()
        };
        let mut ids = values(" id=\"");
        for labels in values("aria-labelledby=\"") {
            assert!(labels.split(' ').all(|label| ids.contains(&label)), "{labels}");
        }
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }

    #[test]
    fn warnings_stand_at_the_top() {
        let page = page(&sample::hostile());
        assert!(page.find(INTERRUPTED).unwrap() < page.find("<main").unwrap());
    }
}
