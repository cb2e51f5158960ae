//! The forms that start an experiment, for whichever page has room for them. Their page needs the script `experiment.js`, which sends
//! them and shows what the server answers.

use maud::{Markup, html};
use strum::{IntoEnumIterator as _, VariantNames as _};

use super::PATH;
use super::parts::PHASE;
use super::request::{CLIENTS, CONCURRENCY, DURATION_S, INTERLEAVINGS_MAX, REPEAT, REQUESTS, THINK_TIME_MS};
use crate::dashboard::Dashboard;
use crate::dashboard::permission::{ExperimentPermission, NOBODY};
use crate::explore;
use crate::lab::scenario::Scenario;
use crate::strategy::Approach;
use charts::scale::grouped;

/// One form to run a scenario, one to explore interleavings.
#[must_use]
pub fn forms(dashboard: &Dashboard) -> Markup {
    let under_way = dashboard.bench.under_way();
    let may = match (&dashboard.permission, &under_way) {
        (ExperimentPermission::Nobody, _) => May::Never,
        (_, Some(_)) => May::Later,
        _ => May::Now,
    };
    html! {
        @if may == May::Never {
            p.why-not role="note" { (NOBODY) "." }
        } @else {
            p.why-not role="note" hidden[under_way.is_none()] {
                "There is one experiment at a time, and "
                a data-under-way="" href=(PATH) { (under_way.as_deref().unwrap_or("another one")) } " is under way."
            }
        }
        div.orders {
            (run(may))
            (exploration(may))
        }
    }
}

/// How far the one that is under way is, in a sentence that stays true: for pages that do not show the rest of it.
#[must_use]
pub fn progress(dashboard: &Dashboard) -> Markup {
    let snapshot = dashboard.bench.snapshot();
    let phase = snapshot.parts().with_ids().into_iter().find(|(id, _)| *id == PHASE);
    html! {
        @if let Some((id, part)) = phase {
            section.progress-line aria-label="The newest experiment" hidden[snapshot.experiment.is_none()] {
                div id=(id) role="status" data-reload="" { (part) }
            }
        }
    }
}

/// Whether an experiment may be started from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum May {
    Now,
    /// When the place is free, which a page that follows the experiment sees.
    Later,
    Never,
}

fn button(name: &str, may: May) -> Markup {
    html! {
        button.main type="submit" data-free=[(may != May::Never).then_some("")] disabled[may != May::Now] { (name) }
    }
}

fn run(may: May) -> Markup {
    html! {
        form.order data-order="run" aria-labelledby="order-run" {
            h3 #order-run { "Run a scenario under load" }
            label { "Scenario" (names("scenario", Scenario::VARIANTS, None)) }
            label { "Approach" (approaches()) }
            (number("requests", "Requests a round", &REQUESTS, None, "10000"))
            (number("concurrency", "Clients", &CONCURRENCY, Some(256), ""))
            (number("repeat", "Rounds of each", &REPEAT, Some(1), ""))
            (number("thinkTimeMs", "Think time, ms", &THINK_TIME_MS, None, "none"))
            (number("durationS", "Duration of a round, s", &DURATION_S, None, "by requests"))
            (button("Run", may))
            p.soft.hint {
                "Of the scenario mixed 600 requests, if not said otherwise. With a duration, as many as there is time for; with both, \
                 whichever comes first."
            }
            p.said role="alert" {}
        }
    }
}

fn exploration(may: May) -> Markup {
    html! {
        form.order data-order="explore" aria-labelledby="order-explore" {
            h3 #order-explore { "Explore interleavings" }
            label { "Scenario" (names("scenario", explore::scenario::ExploreScenario::VARIANTS, Some("all"))) }
            label { "Approach" (approaches()) }
            label { "Clients" select name="clients" data-number="" {
                @for clients in CLIENTS { option value=(clients) { (clients) } }
            } }
            label.check { input type="checkbox" name="reduce"; " leave out equivalent interleavings" }
            (button("Explore", may))
            p.soft.hint {
                "Two clients: all interleavings. Three: up to " (grouped(&INTERLEAVINGS_MAX.to_string()))
                " of each; those that retry have more."
            }
            p.said role="alert" {}
        }
    }
}

fn names(name: &str, values: &[&str], first: Option<&str>) -> Markup {
    html! {
        select name=(name) {
            @for value in first.iter().chain(values) { option value=(value) { (value) } }
        }
    }
}

/// One of them, or all.
fn approaches() -> Markup {
    html! {
        select name="approaches" data-list="" {
            option value="" { "all" }
            @for approach in Approach::iter() { option value=(approach) { (approach) } }
        }
    }
}

fn number(
    name: &str,
    label: &str,
    allowed: &std::ops::RangeInclusive<u64>,
    value: Option<u64>,
    placeholder: &str,
) -> Markup {
    html! {
        label {
            (label)
            input type="number" name=(name) data-number="" min=(allowed.start()) max=(allowed.end()) step="1"
                value=[value] placeholder=[(!placeholder.is_empty()).then_some(placeholder)] inputmode="numeric";
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_form_holds_at_first_is_allowed() {
        for (markup, kind) in [(run(May::Now), "run"), (exploration(May::Now), "explore")] {
            let text = markup.into_string();
            let scenario = text.split("<option value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
            let asked = serde_json::json!({ "kind": kind, "scenario": scenario, "approaches": [] });
            let serde_json::Value::Object(fields) = asked else { unreachable!("it is an object") };
            assert!(crate::dashboard::experiment::ExperimentRequest::read(fields).is_ok(), "{scenario}");
            assert!(!text.contains(" disabled"), "{text}");
        }
        assert!(run(May::Later).into_string().contains("data-free=\"\" disabled>"));
        assert!(run(May::Never).into_string().contains("type=\"submit\" disabled>"), "no script may enable it");
    }
}
