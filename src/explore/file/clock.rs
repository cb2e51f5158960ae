//! Statements whose effect depends on the time that something takes, which the explorer does not control.

use std::collections::BTreeSet;

use super::script::SessionScript;
use super::session_end::SessionResult;
use crate::explore::schedule::Actor;
use crate::explore::sql_words::{has_anywhere, statements};

/// Settings after which a statement or a session ends by the clock.
pub const TIMEOUTS: &[&str] = &[
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "lock_timeout",
    "statement_timeout",
    "transaction_timeout",
];

/// Functions that take time.
const SLEEPS: &[&str] = &["pg_sleep", "pg_sleep_for", "pg_sleep_until"];

/// Functions and constants of the clock.
const CLOCK: &[&str] = &[
    "now",
    "transaction_timestamp",
    "statement_timestamp",
    "clock_timestamp",
    "timeofday",
    "current_timestamp",
    "current_date",
    "current_time",
    "localtime",
    "localtimestamp",
    "today",
    "tomorrow",
    "yesterday",
];

/// Functions of chance.
const CHANCE: &[&str] = &[
    "gen_random_bytes",
    "gen_random_uuid",
    "random",
    "random_normal",
    "tablesample",
    "uuid_generate_v1",
    "uuid_generate_v4",
    "uuidv4",
    "uuidv7",
];

/// What may make two runs of the same order differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Variation {
    /// Something reads the clock.
    pub clock: bool,
    /// Something uses chance.
    pub chance: bool,
}

impl Variation {
    /// Of texts that have a name of the clock or of chance anywhere.
    #[must_use]
    pub fn of<'t>(texts: impl IntoIterator<Item = &'t String>) -> Self {
        texts.into_iter().fold(Self::default(), |found, text| Self {
            clock: found.clock || may_read_the_clock(text),
            chance: found.chance || has_anywhere(text, |word| CHANCE.contains(&word)),
        })
    }

    /// Either of the two.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self { clock: self.clock || other.clock, chance: self.chance || other.chance }
    }
}

/// Whether a statement reads the clock.
#[must_use]
pub fn reads_the_clock(words: &[String]) -> bool {
    let of_clock = |word: &String| CLOCK.contains(&word.trim_matches(['\'', '"']).to_ascii_lowercase().as_str());
    words.iter().any(of_clock)
}

/// Whether a text has a name of the clock anywhere, also in the body of a function.
#[must_use]
pub fn may_read_the_clock(text: &str) -> bool {
    has_anywhere(text, |word| CLOCK.contains(&word))
}

/// The statements of a file that set a timeout or sleep, each as `B: set sets lock_timeout`.
#[must_use]
pub fn by_the_clock(sessions: &[SessionScript]) -> Vec<String> {
    let mut found = Vec::new();
    for (client, session) in (0..).zip(sessions) {
        let actor = Actor::Client(client);
        let sent = session
            .statements
            .iter()
            .flat_map(|statement| statement.templates().map(|template| (statement.name.as_str(), template.shape())));
        let setup = session.setup.iter().map(|setup| ("setup", setup.clone()));
        for (name, sql) in setup.chain(sent) {
            let of_statement = statements(&sql);
            found.extend(
                of_statement.iter().filter_map(|words| of_words(words)).map(|what| format!("{actor}: {name} {what}")),
            );
        }
    }
    found
}

/// How a statement depends on time, such as `sets lock_timeout`; `None` if its words do not tell.
#[must_use]
pub fn of_words(words: &[String]) -> Option<String> {
    if let Some(sleep) = words.iter().find(|word| SLEEPS.contains(&word.as_str())) {
        return Some(format!("calls {sleep}"));
    }
    let at = words
        .iter()
        .position(|word| TIMEOUTS.contains(&word.trim_matches(['"', '\'']).to_ascii_lowercase().as_str()))?;
    let sets = matches!(words.first()?.as_str(), "set" | "alter") || words.iter().any(|word| word == "set_config");
    // 0 turns a timeout off.
    let value = words.iter().skip(at + 1).find(|word| !matches!(word.as_str(), "=" | "to" | ","));
    let off = value.is_none_or(|value| matches!(value.trim_matches('\''), "0" | "default"));
    (sets && !off).then(|| format!("sets {}", words[at].trim_matches(['"', '\''])))
}

/// Whether this error says that a timeout ended a statement or a session.
#[must_use]
pub fn was_ended_by_time(sqlstate: &str, message: &str) -> bool {
    matches!(sqlstate, "25P03" | "25P04" | "57014") || sqlstate == "55P03" && message.contains("timeout")
}

/// Adds the statements that a timeout has ended, each as `B: update was canceled: 55P03 …`.
pub fn add_canceled(found: &mut BTreeSet<String>, actor: Actor, result: &SessionResult) {
    for sent in &result.sent {
        if let Some((sqlstate, message)) = &sent.error
            && was_ended_by_time(sqlstate, message)
        {
            found.insert(format!("{actor}: {} was ended by a timeout ({message})", sent.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_found_where_it_is_set_and_not_where_it_is_turned_off() {
        for (sql, expected) in [
            ("set local lock_timeout = '6ms'", Some("sets lock_timeout")),
            ("SET statement_timeout TO 100", Some("sets statement_timeout")),
            ("select set_config('lock_timeout', '1s', true)", Some("sets lock_timeout")),
            ("select pg_sleep(1)", Some("calls pg_sleep")),
            ("set lock_timeout = 0", None),
            ("set lock_timeout to default", None),
            ("show lock_timeout", None),
            ("insert into settings values ('lock_timeout')", None),
        ] {
            assert_eq!(of_words(&statements(sql)[0]).as_deref(), expected, "{sql}");
        }
    }
}
