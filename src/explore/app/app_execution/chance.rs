//! Values that differ between two runs of the same order, as an outcome shows them: not at all, so that equal outcomes look equal.

use std::collections::{BTreeMap, BTreeSet};

use crate::explore::app::actor_record::ActorEnd;
use crate::explore::run::observations::Observations;
use crate::explore::schedule::Actor;

/// What stands for such a value.
const HIDDEN: &str = "…";

/// A shorter value, such as a number, could be a part of others.
const HIDDEN_LENGTH: usize = 4;

/// A column as `name = value`, without its value if the name is among these.
pub fn without_chance(column: &str, not_compared: &BTreeSet<String>) -> String {
    match column.split_once(" = ") {
        Some((name, _)) if not_compared.contains(name) => format!("{name} = {HIDDEN}"),
        _ => column.to_owned(),
    }
}

/// Hides such values in what the requests were answered.
pub fn hide_chance(seen: &mut Observations, ends: &BTreeMap<Actor, ActorEnd>, not_compared: &BTreeSet<String>) {
    for (actor, end) in ends {
        let hidden: Vec<String> = end
            .compared(&actor.to_string())
            .into_iter()
            .filter_map(|column| column.split_once(" = ").map(|(name, value)| (name.to_owned(), value.to_owned())))
            .filter(|(name, value)| not_compared.contains(name) && value.len() >= HIDDEN_LENGTH)
            .map(|(_, value)| value)
            .collect();
        let hide = |heard: &mut String| {
            for value in &hidden {
                *heard = heard.replace(value, HIDDEN);
            }
        };
        seen.heard.get_mut(actor).into_iter().for_each(hide);
        let own = seen.entries.iter_mut().filter(|entry| entry.actor == *actor);
        own.filter_map(|entry| entry.ended.as_mut()).for_each(hide);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_a_column_that_is_not_compared_is_hidden() {
        let not_compared = BTreeSet::from(["bookings.at".to_owned()]);
        assert_eq!(without_chance("bookings.at = 2026-01-01", &not_compared), "bookings.at = …");
        assert_eq!(without_chance("bookings.n = 1", &not_compared), "bookings.n = 1");
    }
}
