//! What a viewer has chosen to play: approach, scenario, clients, servers, isolation and schedule. A body and a link hold the same fields.

use serde::Deserialize;
use strum::{IntoEnumIterator as _, VariantNames as _};

use crate::explore::catalog::test_cases;
use crate::explore::findings::Servers;
use crate::explore::scenario::ExploreScenario;
use crate::explore::schedule::Schedule;
use crate::explore::search::STEPS_MAX;
use crate::explore::test_case::TestCase;
use crate::session::statement::Isolation;
use crate::strategy::Approach;

/// How many clients can be shown side by side.
pub const CLIENTS: std::ops::RangeInclusive<u8> = 2..=3;

/// The choice, as text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChoiceQuery {
    /// The approach's name, or one of its aliases.
    pub approach: String,
    /// The scenario's name.
    pub scenario: String,
    /// How many clients.
    pub clients: u8,
    /// `one` or `each`; `one` by default.
    pub servers: Option<String>,
    /// An isolation level for every transaction; by default the approach's own.
    pub isolation: Option<String>,
    /// The actor of each step, a letter each.
    #[serde(default)]
    pub schedule: String,
    /// Whether to continue to the end after the schedule.
    #[serde(default)]
    pub to_end: bool,
    /// Whether to continue by turns instead of one client after the other.
    #[serde(default)]
    pub by_turns: bool,
}

impl Default for ChoiceQuery {
    fn default() -> Self {
        Self {
            approach: Approach::Naive.name().to_owned(),
            scenario: ExploreScenario::LastMoney.to_string(),
            clients: *CLIENTS.start(),
            servers: None,
            isolation: None,
            schedule: String::new(),
            to_end: false,
            by_turns: false,
        }
    }
}

/// A choice that can be played.
pub struct PlayerChoice {
    /// The approach.
    pub approach: Approach,
    /// The clients and their operations.
    pub test_case: TestCase,
    /// The steps to play.
    pub schedule: Schedule,
}

impl ChoiceQuery {
    /// Reads the choice.
    ///
    /// # Errors
    /// The field that is wrong, its value, and what is allowed.
    pub fn read(&self) -> Result<PlayerChoice, String> {
        let approach = Approach::find(&self.approach).ok_or_else(|| {
            let names: Vec<&str> = Approach::iter().map(Approach::name).collect();
            format!("approach: {:?} is unknown; there are {}", self.approach, names.join(", "))
        })?;
        let scenario: ExploreScenario = self.scenario.parse().map_err(|_unknown| {
            format!("scenario: {:?} is unknown; there are {}", self.scenario, ExploreScenario::VARIANTS.join(", "))
        })?;
        if !CLIENTS.contains(&self.clients) {
            return Err(format!("clients: {} is not from {} to {}", self.clients, CLIENTS.start(), CLIENTS.end()));
        }
        let servers = match self.servers.as_deref() {
            None | Some("one") => Servers::One,
            Some("each") => Servers::Each,
            Some(other) => return Err(format!("servers: {other:?} is neither one nor each")),
        };
        let isolation = self.isolation.as_deref().map(|level| {
            let allowed = Isolation::VARIANTS.join(", ");
            level.parse::<Isolation>().map_err(|_unknown| format!("isolation: {level:?} is none of {allowed}"))
        });
        let isolation = isolation.transpose()?;
        let offered = test_cases(approach, scenario, self.clients);
        if offered.is_empty() {
            let because = approach.info().unsupported_because;
            return Err(format!(
                "scenario: {} does not offer {} ({scenario}): {because}",
                approach.name(),
                scenario.workload()
            ));
        }
        let test_case = offered.into_iter().find(|case| case.servers == servers).ok_or_else(|| {
            format!("servers: {} decides nothing by state in its process; only \"one\" is possible", approach.name())
        })?;
        let schedule: Schedule = self.schedule.parse().map_err(|error| format!("schedule: {error}"))?;
        if schedule.0.len() > STEPS_MAX {
            return Err(format!("schedule: {} steps are more than {STEPS_MAX}", schedule.0.len()));
        }
        Ok(PlayerChoice { approach, test_case: TestCase { isolation, ..test_case }, schedule })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(approach: &str, scenario: &str) -> ChoiceQuery {
        ChoiceQuery { approach: approach.to_owned(), scenario: scenario.to_owned(), ..ChoiceQuery::default() }
    }

    #[test]
    fn a_choice_that_can_be_played_is_read() {
        let choice = ChoiceQuery { schedule: "AB-ba".to_uppercase(), ..ChoiceQuery::default() }.read();
        let choice = choice.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((choice.approach, choice.test_case.clients, choice.schedule.to_string().as_str()), {
            (Approach::Naive, 2, "ABBA")
        });
        let each = ChoiceQuery { servers: Some("each".to_owned()), ..chosen("in-process-mutex", "increments") }.read();
        assert!(each.is_ok_and(|choice| choice.test_case.servers == Servers::Each && !choice.test_case.commits_apart));
        let level = ChoiceQuery { isolation: Some("serializable".to_owned()), ..chosen("naive", "last-money") }.read();
        assert!(level.is_ok_and(|choice| choice.test_case.isolation == Some(Isolation::Serializable)));
        assert!(chosen("self", "last-money").read().is_ok_and(|choice| choice.approach == Approach::AtomicReturning));
    }

    #[test]
    fn a_choice_that_cannot_be_played_names_field_value_and_what_is_allowed() {
        let with = |change: fn(&mut ChoiceQuery)| {
            let mut chosen = ChoiceQuery::default();
            change(&mut chosen);
            chosen
        };
        let table = [
            (chosen("nave", "last-money"), "approach: \"nave\" is unknown; there are naive, "),
            (chosen("naive", "withdrawals"), "scenario: \"withdrawals\" is unknown; there are last-money, "),
            (chosen("unique-constraint", "last-money"), "scenario: unique-constraint does not offer balance"),
            (with(|chosen| chosen.clients = 1), "clients: 1 is not from 2 to 3"),
            (with(|chosen| chosen.clients = 4), "clients: 4 is not from 2 to 3"),
            (with(|chosen| chosen.servers = Some("two".to_owned())), "servers: \"two\" is neither one nor each"),
            (
                with(|chosen| chosen.servers = Some("each".to_owned())),
                "servers: naive decides nothing by state in its process",
            ),
            (with(|chosen| chosen.isolation = Some("snapshot".to_owned())), "isolation: \"snapshot\" is none of "),
            (with(|chosen| chosen.schedule = "ABa".to_owned()), "schedule: 'a' at position 3 names no actor"),
            (with(|chosen| chosen.schedule = "A".repeat(2_001)), "schedule: 2001 steps are more than 2000"),
        ];
        for (chosen, expected) in table {
            let error = chosen.read().err().unwrap_or_default();
            assert!(error.starts_with(expected), "{chosen:?}: {error:?}");
        }
    }
}
