//! From the text of a file to what is explored.

use serde::Deserialize;
use toml::{Table, Value};

use super::expect::ExpectTable;
use super::sessions::{CutPoints, SessionTable};
use super::{Invariant, SESSIONS_MAX, Script, ScriptVariant, SessionScript};
use crate::explore::schedule::Actor;

/// The levels that PostgreSQL knows by name; it runs `read uncommitted` as `read committed`.
const LEVELS: [&str; 4] = ["read uncommitted", "read committed", "repeatable read", "serializable"];

/// The place that the file's `isolation` fills.
const ISOLATION: &str = "isolation";

/// Longest title or name, in characters: it stands in a line of a table.
const NAME_MAX: usize = 80;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExploreFile {
    title: String,
    #[serde(default)]
    story: String,
    #[serde(default)]
    setup: String,
    reset: Option<String>,
    isolation: Option<Vec<String>>,
    session: Vec<SessionTable>,
    invariant: Option<Value>,
    outcome: Option<String>,
    #[serde(default)]
    serial: bool,
    #[serde(default)]
    expect: Table,
}

/// Reads an explore file; the error says what is wrong.
pub fn script(text: &str) -> Result<Script, String> {
    let file: ExploreFile = toml::from_str(text).map_err(|error| error.to_string())?;
    named("title", &file.title)?;
    let invariants = invariants(file.invariant)?;
    if !(1..=SESSIONS_MAX).contains(&file.session.len()) {
        return Err(expected("session", &format!("1 to {SESSIONS_MAX} sessions"), file.session.len()));
    }
    let read = file.session.into_iter().enumerate().map(|(index, session)| session.read(index));
    let (sessions, cuts): (Vec<_>, Vec<_>) = read.collect::<Result<_, _>>()?;
    if cuts.iter().filter(|cuts| cuts.len() > 1).count() > 1 {
        return Err("cut_after: expected \"each\" in one session at most, and numbers in the others".to_owned());
    }
    let levels = levels(file.isolation, &sessions)?;
    let expectations = ExpectTable::of_levels(file.expect, &levels)?;
    let mut variants = Vec::new();
    for (level, expectations) in levels.into_iter().zip(expectations) {
        let sessions = at_level(&sessions, level.as_deref());
        let expect = expectations.check(&sessions, &invariants, file.serial)?;
        variants.extend(with_cuts(&ScriptVariant { isolation: level, sessions, expect }, &cuts));
    }
    let ExploreFile { title, story, setup, reset, outcome, serial, .. } = file;
    Ok(Script { title, story, setup, reset, invariants, outcome, serial, variants })
}

/// What is said of a field that has something else than what is allowed.
pub fn expected(field: &str, what: &str, found: impl std::fmt::Display) -> String {
    format!("{field}: expected {what}, found {found}")
}

/// Whether a text can stand as a name in a line of a report.
pub fn named(field: &str, name: &str) -> Result<(), String> {
    if name.trim().is_empty() || name.chars().count() > NAME_MAX || name.contains(char::is_control) {
        return Err(expected(field, &format!("1 to {NAME_MAX} printable characters"), format_args!("{name:?}")));
    }
    Ok(())
}

/// Whether there is any SQL; what is wrong with it, PostgreSQL says.
pub fn written(field: &str, sql: &str) -> Result<(), String> {
    if sql.trim().is_empty() { Err(expected(field, "SQL", format_args!("{sql:?}"))) } else { Ok(()) }
}

fn invariants(value: Option<Value>) -> Result<Vec<Invariant>, String> {
    let invariants = match value {
        None => Vec::new(),
        Some(Value::String(query)) => vec![Invariant { name: "invariant violated".to_owned(), query }],
        Some(Value::Array(tables)) => {
            let read = |table: Value| table.try_into().map_err(|error: toml::de::Error| error.message().to_owned());
            let all: Result<Vec<Invariant>, String> = tables.into_iter().map(read).collect();
            all.map_err(|reason| format!("invariant: {reason}"))?
        }
        Some(other) => {
            return Err(expected("invariant", "a query, or [[invariant]] with name and query", kind(&other)));
        }
    };
    for invariant in &invariants {
        named("invariant.name", &invariant.name)?;
        written("invariant.query", &invariant.query)?;
    }
    Ok(invariants)
}

/// What a value is, or the value itself where that says more.
pub fn kind(value: &Value) -> String {
    match value {
        Value::Integer(number) => number.to_string(),
        Value::String(text) => format!("{text:?}"),
        other => other.type_str().to_owned(),
    }
}

/// Who a session is, by its place in the file.
pub fn letter(index: usize) -> Actor {
    Actor::Client(u8::try_from(index).unwrap_or(u8::MAX))
}

/// The isolation levels of the explorations: one unnamed if the file leaves it to its statements.
fn levels(isolation: Option<Vec<String>>, sessions: &[SessionScript]) -> Result<Vec<Option<String>>, String> {
    let mut places =
        sessions.iter().flat_map(|session| &session.statements).flat_map(|statement| statement.sql.places());
    let used = places.any(|place| place == ISOLATION);
    let Some(levels) = isolation else {
        let nothing = "isolation: expected levels for the {isolation} in a statement, found none";
        return if used { Err(nothing.to_owned()) } else { Ok(vec![None]) };
    };
    if let Some(unknown) = levels.iter().find(|level| !LEVELS.contains(&level.as_str())) {
        return Err(expected("isolation", &LEVELS.join(", "), format_args!("{unknown:?}")));
    }
    if levels.is_empty() || (1..levels.len()).any(|at| levels[..at].contains(&levels[at])) {
        return Err(expected("isolation", "one level or several, each once", format_args!("{levels:?}")));
    }
    if !used {
        return Err(
            "isolation: expected {isolation} in a statement, such as \"begin isolation level {isolation}\"".to_owned()
        );
    }
    Ok(levels.into_iter().map(Some).collect())
}

fn at_level(sessions: &[SessionScript], level: Option<&str>) -> Vec<SessionScript> {
    let mut sessions = sessions.to_vec();
    if let Some(level) = level {
        for statement in sessions.iter_mut().flat_map(|session| &mut session.statements) {
            statement.sql = statement.sql.with(ISOLATION, level);
        }
    }
    sessions
}

/// The variant once for each place where the one session that is cut everywhere is cut.
fn with_cuts(variant: &ScriptVariant, cuts: &[CutPoints]) -> Vec<ScriptVariant> {
    let most = cuts.iter().map(Vec::len).max().unwrap_or(1);
    let cut = |at: usize| {
        let mut variant = variant.clone();
        for (session, cuts) in variant.sessions.iter_mut().zip(cuts) {
            session.cut_after = cuts[at.min(cuts.len() - 1)];
        }
        variant
    };
    (0..most).map(cut).collect()
}
