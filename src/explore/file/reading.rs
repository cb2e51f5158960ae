//! From the text of an explore file to a [`Script`].

use std::path::Path;

use serde::Deserialize;
use toml::{Table, Value};

use super::expect_table::ExpectTable;
use super::fields::{actor, check_name, check_sql, expected, kind};
use super::schedule_table::ScheduleTable;
use super::script::{
    Invariant, NOT_SERIALIZABLE, SERIAL_SESSIONS_MAX, SESSIONS_MAX, Script, ScriptStatement, ScriptVariant,
    SerialCheck, SessionScript,
};
use super::sessions::{CutPoints, SessionTable};
use super::template::SqlTemplate;
use crate::config::SCRIPT_FILE_BYTES;
use crate::explore::file_role::FileRights;
use crate::report::input_file::{read_text, toml_error};

/// The levels that PostgreSQL knows by name; it runs `read uncommitted` as `read committed`.
const LEVELS: [&str; 4] = ["read uncommitted", "read committed", "repeatable read", "serializable"];

/// The placeholder for the levels of `isolation`.
const ISOLATION: &str = "isolation";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExploreFile {
    title: String,
    #[serde(default)]
    story: String,
    #[serde(default)]
    setup: String,
    reset: Option<String>,
    teardown: Option<String>,
    isolation: Option<Vec<String>>,
    session: Vec<SessionTable>,
    invariant: Option<Value>,
    outcome: Option<String>,
    serial: Option<Value>,
    #[serde(default)]
    superuser: bool,
    #[serde(default)]
    expect: Table,
    #[serde(default)]
    schedule: Vec<ScheduleTable>,
}

/// Parses an explore file. The error says what is wrong.
fn parse(text: &str) -> Result<Script, String> {
    let file: ExploreFile = toml::from_str(text).map_err(|error| toml_error(text, &error))?;
    check_name("title", &file.title)?;
    let invariants = invariants(file.invariant)?;
    if !(1..=SESSIONS_MAX).contains(&file.session.len()) {
        return Err(expected("session", &format!("1 to {SESSIONS_MAX} sessions"), file.session.len()));
    }
    let serial = serial(file.serial.as_ref(), !invariants.is_empty())?;
    let read = file.session.into_iter().enumerate().map(|(index, session)| session.read(index, text));
    let (mut sessions, cuts): (Vec<SessionScript>, Vec<_>) = read.collect::<Result<_, _>>()?;
    check_serial(serial, sessions.len())?;
    find_values_of_invariants(&invariants, &mut sessions)?;
    if cuts.iter().filter(|cuts| cuts.len() > 1).count() > 1 {
        return Err("cut_after: expected \"each\" in one session at most, and numbers in the others".to_owned());
    }
    if !file.schedule.is_empty() && cuts.iter().any(|cuts| cuts.len() > 1) {
        return Err(
            "schedule: expected no cut_after = \"each\" beside it, because its steps differ at each cut".to_owned()
        );
    }
    let levels = levels(file.isolation, &sessions)?;
    let anomalies = anomalies(&invariants, serial);
    let expectations = ExpectTable::of_levels(file.expect, &levels)?;
    let mut variants = Vec::new();
    for (level, expectations) in levels.into_iter().zip(expectations) {
        let sessions = at_level(&sessions, level.as_deref());
        let expect = expectations.check(&sessions, &invariants, serial)?;
        let of_level = file.schedule.iter().filter(|schedule| schedule.is_of(level.as_deref()));
        let check = |schedule: &ScheduleTable| schedule.check(&sessions, &anomalies, file.outcome.is_some());
        let schedules = of_level.map(check).collect::<Result<_, _>>()?;
        variants.extend(with_cuts(&ScriptVariant { isolation: level, sessions, expect, schedules }, &cuts));
    }
    for schedule in &file.schedule {
        schedule.check_level(&variants)?;
    }
    let ExploreFile { title, story, setup, reset, teardown, outcome, superuser, .. } = file;
    let setup = vec![setup];
    let serial_is_optional = false;
    let rights = if superuser { FileRights::Superuser } else { FileRights::OwnDatabase };
    Ok(Script {
        title,
        story,
        setup,
        reset,
        teardown,
        invariants,
        outcome,
        serial,
        serial_is_optional,
        rights,
        variants,
    })
}

/// There are too many serial orders of many sessions.
fn check_serial(serial: SerialCheck, sessions: usize) -> Result<(), String> {
    if serial == SerialCheck::Off || sessions <= SERIAL_SESSIONS_MAX {
        return Ok(());
    }
    let orders: usize = (1..=sessions).product();
    let allowed = format!("false, and an invariant, with more than {SERIAL_SESSIONS_MAX} sessions");
    Err(expected("serial", &allowed, format_args!("{orders} serial orders of {sessions} sessions")))
}

/// The names of what can be wrong at an end.
fn anomalies(invariants: &[Invariant], serial: SerialCheck) -> Vec<String> {
    let by_serial = (serial != SerialCheck::Off).then(|| NOT_SERIALIZABLE.to_owned());
    invariants.iter().map(|invariant| invariant.name.clone()).chain(by_serial).collect()
}

/// Checks the values of invariants, such as `{A.read.balance}`, and has their sessions keep them.
fn find_values_of_invariants(invariants: &[Invariant], sessions: &mut [SessionScript]) -> Result<(), String> {
    for invariant in invariants {
        for placeholder in invariant.query.placeholders() {
            let found = find_value(placeholder, sessions);
            let session = found.ok_or_else(|| {
                let field = format!("invariant {:?}", invariant.name);
                let what = "a session, one of its statements and a column, such as {A.read.balance}";
                expected(&field, what, format_args!("{{{placeholder}}}"))
            })?;
            session.keeps_values = true;
        }
    }
    Ok(())
}

fn find_value<'s>(placeholder: &str, sessions: &'s mut [SessionScript]) -> Option<&'s mut SessionScript> {
    let (letter, rest) = placeholder.split_once('.')?;
    let (name, _) = rest.rsplit_once('.')?;
    let index = (0..sessions.len()).find(|index| actor(*index).to_string() == letter)?;
    let session = sessions.get_mut(index)?;
    session.statements.iter().any(|statement| statement.name == name).then_some(session)
}

/// How ends are compared with serial orders: fully where the file says nothing else and has no invariant.
pub fn serial(value: Option<&Value>, has_invariants: bool) -> Result<SerialCheck, String> {
    match value {
        None if has_invariants => Ok(SerialCheck::Off),
        None | Some(Value::Boolean(true)) => Ok(SerialCheck::RowsAndAnswers),
        Some(Value::Boolean(false)) => Ok(SerialCheck::Off),
        Some(Value::String(rows)) if rows == "rows" => Ok(SerialCheck::Rows),
        Some(other) => Err(expected("serial", "true, false or \"rows\"", kind(other))),
    }
}

/// Why an explore file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ExploreFileError(pub(in crate::explore) String);

impl Script {
    /// Reads an explore file.
    ///
    /// # Errors
    /// [`ExploreFileError`], which names the file and what is wrong.
    pub fn read(path: &Path) -> Result<Self, ExploreFileError> {
        let text = read_text(path, SCRIPT_FILE_BYTES).map_err(|error| error.to_string());
        text.and_then(|text| parse(&text)).map_err(|reason| ExploreFileError(format!("{}: {reason}", path.display())))
    }

    /// Parses the text of an explore file.
    ///
    /// # Errors
    /// [`ExploreFileError`], which names what is wrong.
    pub fn parse(text: &str) -> Result<Self, ExploreFileError> {
        parse(text).map_err(ExploreFileError)
    }
}

/// The invariants of a file: one query, or a list with names.
pub fn invariants(value: Option<Value>) -> Result<Vec<Invariant>, String> {
    let invariants = match value {
        None => Vec::new(),
        Some(Value::String(query)) => {
            vec![Invariant { name: "invariant violated".to_owned(), query: SqlTemplate::parse(&query) }]
        }
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
        check_name("invariant.name", &invariant.name)?;
        check_sql("invariant.query", &invariant.query.shape())?;
    }
    Ok(invariants)
}

/// The isolation levels of the variants; a single `None` if the file leaves the level to its statements.
fn levels(isolation: Option<Vec<String>>, sessions: &[SessionScript]) -> Result<Vec<Option<String>>, String> {
    let statements = || sessions.iter().flat_map(|session| &session.statements);
    let mut placeholders = statements().flat_map(ScriptStatement::templates).flat_map(SqlTemplate::placeholders);
    let used = placeholders.any(|placeholder| placeholder == ISOLATION);
    let Some(levels) = isolation else {
        let missing = "isolation: expected levels for the {isolation} in a statement, found none";
        return if used { Err(missing.to_owned()) } else { Ok(vec![None]) };
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
            statement.on_error = statement.on_error.take().map(|sql| sql.with(ISOLATION, level));
        }
    }
    sessions
}

/// The variant, once for each cut of the session that is cut at several places.
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
