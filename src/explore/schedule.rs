//! Schedules: which actor takes each step.
//!
//! A schedule determines an interleaving, so it is all that is needed to run it again. It is written with one letter per step, so
//! that it fits into a link or a bug report: in `AABB`, A takes two steps, then B two.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What takes steps: a client, or a writer of batches that works for clients. Clients come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Actor {
    /// A client, from 0: `A`, `B`, `C` …
    Client(u8),
    /// The writer of batches of a server, from 0: `w` of the first server, `x` of the second …
    Writer(u8),
}

/// Clients that a schedule can name: `A` to `V`, far more than can be explored.
pub const CLIENTS_MAX: u8 = 22;

/// Servers that a schedule can name: `w` to `z`.
pub const SERVERS_MAX: u8 = 4;

impl Actor {
    /// The letter in a schedule.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::Client(number) => char::from(b'A' + number.min(CLIENTS_MAX - 1)),
            Self::Writer(server) => char::from(b'w' + server.min(SERVERS_MAX - 1)),
        }
    }

    /// The actor with this letter.
    #[must_use]
    pub fn of_letter(letter: char) -> Option<Self> {
        let letter = u8::try_from(letter).ok()?;
        match letter {
            b'A'.. if letter < b'A' + CLIENTS_MAX => Some(Self::Client(letter - b'A')),
            b'w'.. if letter < b'w' + SERVERS_MAX => Some(Self::Writer(letter - b'w')),
            _ => None,
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.letter())
    }
}

/// The actor of each step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Schedule(pub Vec<Actor>);

/// A letter that names no actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{letter:?} at position {position} names no actor; a schedule has one letter per step, A to V for clients and w to z for \
     writers of batches"
)]
pub struct ScheduleError {
    letter: char,
    position: usize,
}

impl Schedule {
    /// How often the actor changes from one step to the next. The fewer changes, the easier an interleaving is to read.
    #[must_use]
    pub fn switches(&self) -> usize {
        self.0.windows(2).filter(|pair| pair[0] != pair[1]).count()
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|actor| actor.fmt(formatter))
    }
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    /// Spaces, commas and hyphens between letters are ignored.
    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let letters = text.chars().enumerate().filter(|(_, letter)| !matches!(letter, ' ' | ',' | '-'));
        let actors =
            letters.map(|(at, letter)| Actor::of_letter(letter).ok_or(ScheduleError { letter, position: at + 1 }));
        actors.collect::<Result<Vec<_>, _>>().map(Self)
    }
}

macro_rules! as_text {
    ($type:ty, $name:literal, $about:literal) => {
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "description": $about })
            }
        }
    };
}

as_text!(Schedule, "Schedule", "One letter per step: A to V for clients, w to z for writers of batches.");
as_text!(Actor, "Actor", "A to V for a client, w to z for a writer of batches.");

impl FromStr for Actor {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let mut letters = text.chars();
        match (letters.next(), letters.next()) {
            (Some(letter), None) => Self::of_letter(letter).ok_or(ScheduleError { letter, position: 1 }),
            (_, second) => Err(ScheduleError { letter: second.unwrap_or(' '), position: 2 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_schedule_is_parsed_as_it_is_printed() {
        let schedule: Schedule = "AAB-w, xA".parse().unwrap();
        assert_eq!(schedule.to_string(), "AABwxA");
        assert_eq!(schedule.switches(), 4);
        for (text, letter, position) in [("AaB", 'a', 2), ("W", 'W', 1), ("A1", '1', 2), ("ä", 'ä', 1)] {
            assert_eq!(text.parse::<Schedule>(), Err(ScheduleError { letter, position }), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_actor_has_a_letter_of_its_own(actors in prop::collection::vec((any::<bool>(), 0..CLIENTS_MAX), 0..20)) {
            let actor = |(client, number): (bool, u8)| {
                if client { Actor::Client(number) } else { Actor::Writer(number % SERVERS_MAX) }
            };
            let schedule = Schedule(actors.into_iter().map(actor).collect());
            prop_assert_eq!(schedule.to_string().parse::<Schedule>(), Ok(schedule.clone()));
            let json = serde_json::to_string(&schedule).unwrap();
            prop_assert_eq!(serde_json::from_str::<Schedule>(&json).unwrap(), schedule);
        }
    }
}
