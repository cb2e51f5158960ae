//! An `[expect]` table of a file.

use serde::Deserialize;
use toml::Table;

use super::expect::{Expect, ExpectedVerdict, StatementRef};
use super::fields::{actor, expected};
use super::script::{Invariant, NOT_SERIALIZABLE, SerialCheck, SessionScript};

/// An `[expect]` table, as TOML has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectTable {
    verdict: Option<ExpectedVerdict>,
    anomaly: Option<String>,
    interleavings: Option<u64>,
    deadlocks: Option<bool>,
    conflicts: Option<bool>,
    #[serde(default)]
    waits: Vec<String>,
    #[serde(default)]
    never_waits: Vec<String>,
}

impl ExpectTable {
    /// The expectations of each level: the table itself if the file names no levels, or else its table for that level.
    pub fn of_levels(mut table: Table, levels: &[Option<String>]) -> Result<Vec<Self>, String> {
        let of_level = |level: &Option<String>| {
            let own = match level {
                None => std::mem::take(&mut table).into(),
                Some(level) => table.remove(level).unwrap_or_else(|| Table::new().into()),
            };
            own.try_into().map_err(|error| format!("expect: {}", error.message()))
        };
        let read = levels.iter().map(of_level).collect::<Result<_, _>>()?;
        // A table for a level that is not explored would be ignored silently.
        table.keys().next().map_or(Ok(read), |unread| {
            let tables: Vec<_> = levels.iter().flatten().map(|level| format!("[expect.{level:?}]")).collect();
            Err(expected("expect", &tables.join(" and "), format_args!("{unread:?}")))
        })
    }

    /// Checks the expectations, and resolves the names in them.
    pub fn check(
        self,
        sessions: &[SessionScript],
        invariants: &[Invariant],
        serial: SerialCheck,
    ) -> Result<Expect, String> {
        let Self { verdict, anomaly, interleavings, deadlocks, conflicts, waits, never_waits } = self;
        if verdict.is_some() && invariants.is_empty() && serial == SerialCheck::Off {
            return Err(
                "expect.verdict: expected an invariant in the file, or serial other than false, by which to judge"
                    .to_owned(),
            );
        }
        // Naming an anomaly means that it is expected.
        let verdict =
            verdict.unwrap_or(if anomaly.is_some() { ExpectedVerdict::Broken } else { ExpectedVerdict::Holds });
        let mut breakable: Vec<&str> = invariants.iter().map(|invariant| invariant.name.as_str()).collect();
        breakable.extend((serial != SerialCheck::Off).then_some(NOT_SERIALIZABLE));
        if verdict == ExpectedVerdict::Broken && breakable.is_empty() {
            return Err(
                "expect: expected an invariant in the file, or serial other than false, because an anomaly is expected"
                    .to_owned(),
            );
        }
        if let Some(anomaly) = &anomaly {
            if verdict == ExpectedVerdict::Holds {
                return Err(expected("expect.anomaly", "verdict = \"broken\" beside it", "\"holds\""));
            }
            if !breakable.contains(&anomaly.as_str()) {
                return Err(expected("expect.anomaly", &format!("one of {breakable:?}"), format_args!("{anomaly:?}")));
            }
        }
        let waits = find_all("expect.waits", sessions, &waits)?;
        let never_waits = find_all("expect.never_waits", sessions, &never_waits)?;
        Ok(Expect { verdict, anomaly, interleavings, deadlocks, conflicts, waits, never_waits })
    }
}

pub(super) fn find_all(field: &str, sessions: &[SessionScript], texts: &[String]) -> Result<Vec<StatementRef>, String> {
    let found = |text: &String| find(sessions, text).map_err(|what| expected(field, &what, format_args!("{text:?}")));
    texts.iter().map(found).collect()
}

/// The statement to which a text such as `B: update` or `B: 2` refers. The error says what is allowed.
pub(super) fn find(sessions: &[SessionScript], text: &str) -> Result<StatementRef, String> {
    let (session_letter, which) = text.split_once(':').unwrap_or((text, ""));
    let which = which.trim();
    let of_letter =
        |(index, session)| (actor(index).to_string() == session_letter.trim()).then_some((actor(index), session));
    let Some((actor, session)) = sessions.iter().enumerate().find_map(of_letter) else {
        return Err("a session and one of its statements, such as \"A: update\" or \"A: 1\"".to_owned());
    };
    let by_number = which.parse().ok().and_then(|number: usize| session.statements.get(number.checked_sub(1)?));
    let found = by_number.or_else(|| session.statements.iter().find(|statement| statement.name == which));
    let names = || session.statements.iter().map(|statement| statement.name.as_str()).collect::<Vec<_>>().join(", ");
    found
        .map(|statement| (actor, statement.name.clone()))
        .ok_or_else(|| format!("the name of a statement of {actor} ({}) or its number", names()))
}
