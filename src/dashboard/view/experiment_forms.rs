//! The forms that start an experiment. Their page needs the script `experiment.js`, which sends them and shows the server's answer.

use maud::{Markup, html};
use strum::{IntoEnumIterator as _, VariantNames as _};

use super::links;
use crate::dashboard::model::experiment_request::{
    CLIENTS, CONCURRENCY, DURATION_S, INTERLEAVINGS_MAX, REPEAT, REQUESTS, THINK_TIME_MS,
};
use crate::dashboard::model::permission::{CLOSED, ExperimentPermission};
use crate::explore;
use crate::lab::scenario::Scenario;
use crate::strategy::Approach;
use charts::scale::grouped;

/// A form to run a scenario, and one to explore interleavings. `under_way` is the name of the experiment under way, if there is one.
#[must_use]
pub fn forms(permission: &ExperimentPermission, under_way: Option<&str>) -> Markup {
    let state = match (permission, under_way) {
        (ExperimentPermission::Closed, _) => FormState::Forbidden,
        (_, Some(_)) => FormState::Waiting,
        _ => FormState::Ready,
    };
    html! {
        @if state == FormState::Forbidden {
            p.blocked-note role="note" { (CLOSED) "." }
        } @else {
            p.blocked-note role="note" hidden[under_way.is_none()] {
                "Only one experiment can run at a time. Under way: "
                a data-under-way="" href=(links::LIVE) { (under_way.unwrap_or("another experiment")) } "."
            }
        }
        div.experiment-forms {
            (run(state))
            (exploration(state))
        }
    }
}

/// Whether the form can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FormState {
    Ready,
    /// Disabled while an experiment is under way; the script enables it at its end.
    Waiting,
    Forbidden,
}

fn button(name: &str, state: FormState) -> Markup {
    html! {
        button.main type="submit" data-waits=[(state != FormState::Forbidden).then_some("")] disabled[state != FormState::Ready] { (name) }
    }
}

fn run(state: FormState) -> Markup {
    html! {
        form.fields data-kind="run" aria-labelledby="form-run" {
            h3 #form-run { "Run a scenario under load" }
            label { "Scenario" (names("scenario", Scenario::VARIANTS, None)) }
            label { "Approach" (approaches()) }
            (number("requests", "Requests per round", &REQUESTS, None, "10000"))
            (number("concurrency", "Concurrent clients", &CONCURRENCY, Some(256), ""))
            (number("repeat", "Rounds per approach", &REPEAT, Some(1), ""))
            (number("thinkTimeMs", "Pause before each write (ms)", &THINK_TIME_MS, None, "none"))
            (number("durationS", "Duration of a round (s)", &DURATION_S, None, "until done"))
            (button("Run", state))
            p.soft.hint {
                "By default a round has 10000 requests (mixed: 600). With a duration, a round ends after that time; with both, it ends at \
                 whichever comes first."
            }
            p.message role="alert" {}
        }
    }
}

fn exploration(state: FormState) -> Markup {
    html! {
        form.fields data-kind="explore" aria-labelledby="form-explore" {
            h3 #form-explore { "Explore all interleavings" }
            label { "Scenario" (names("scenario", explore::scenario::ExploreScenario::VARIANTS, Some("all"))) }
            label { "Approach" (approaches()) }
            label { "Clients" select name="clients" data-number="" {
                @for clients in CLIENTS { option value=(clients) { (clients) } }
            } }
            label.check { input type="checkbox" name="reduce"; " skip equivalent interleavings" }
            (button("Explore", state))
            p.soft.hint {
                "With two clients, every interleaving is run. With three, at most " (grouped(&INTERLEAVINGS_MAX.to_string()))
                " of each approach and scenario are run; approaches that retry have more."
            }
            p.message role="alert" {}
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

/// A choice of one approach, or all.
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
    fn the_initial_values_of_the_forms_are_allowed() {
        for (markup, kind) in [(run(FormState::Ready), "run"), (exploration(FormState::Ready), "explore")] {
            let text = markup.into_string();
            let scenario = text.split("<option value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
            let body = serde_json::json!({ "kind": kind, "scenario": scenario, "approaches": [] });
            let serde_json::Value::Object(fields) = body else { unreachable!("it is an object") };
            assert!(crate::dashboard::model::experiment_request::ExperimentRequest::read(fields).is_ok(), "{scenario}");
            assert!(!text.contains(" disabled"), "{text}");
        }
        assert!(run(FormState::Waiting).into_string().contains("data-waits=\"\" disabled>"));
        assert!(
            run(FormState::Forbidden).into_string().contains("type=\"submit\" disabled>"),
            "no script may enable it"
        );
    }
}
