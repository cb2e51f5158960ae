//! A `[[session]]` of a file.

use serde::Deserialize;
use toml::{Spanned, Value};

use super::fields::{actor, check_name, check_sql, expected, kind};
use super::script::{ATTEMPTS_MAX, OnError, STATEMENTS_MAX, ScriptStatement, SessionScript};
use super::template::SqlTemplate;
use crate::explore::search::independence::is_plain_read;
use crate::explore::sql_words::{Words, one_statement, statements as statements_of};

/// The default for the attempts of a session that retries. A victim of one other session needs two.
const ATTEMPTS: u32 = 5;

/// A `[[session]]`, as TOML has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionTable {
    name: Option<String>,
    setup: Option<String>,
    statements: Vec<Spanned<Value>>,
    #[serde(default)]
    on_error: ErrorReaction,
    retry_on: Option<Vec<String>>,
    attempts: Option<u32>,
    cut_after: Option<Value>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ErrorReaction {
    #[default]
    Stop,
    Retry,
    Continue,
    Savepoint,
}

/// The errors after which a session retries if the file does not say.
const RETRY_ON: [&str; 2] = ["40001", "40P01"];

/// The name of a wrong number of rows in `retry_on`.
pub const ROWS: &str = "rows";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatementTable {
    name: Option<String>,
    sql: String,
    rows: Option<u64>,
    stop_if: Option<String>,
    on_error: Option<String>,
}

/// The statements after which the connection is cut, one per variant.
pub type CutPoints = Vec<Option<usize>>;

impl SessionTable {
    /// The session, without a cut, and the places at which it is to be cut. `text` is the whole file.
    pub fn read(self, index: usize, text: &str) -> Result<(SessionScript, CutPoints), String> {
        let place = format!("session {}", actor(index));
        if !(1..=STATEMENTS_MAX).contains(&self.statements.len()) {
            let field = format!("{place}: statements");
            return Err(expected(&field, &format!("1 to {STATEMENTS_MAX}"), self.statements.len()));
        }
        let on_error = self.on_error(&place)?;
        let cuts = self.cuts(&place)?;
        let name = self.name.unwrap_or_else(|| place.clone());
        check_name(&format!("{place}: name"), &name)?;
        if let Some(setup) = &self.setup {
            check_sql(&format!("{place}: setup"), setup)?;
            check_can_be_sent(&format!("{place}: setup"), setup)?;
        }
        let statements = statements(&place, self.statements, text)?;
        let keeps_values = statements
            .iter()
            .flat_map(ScriptStatement::templates)
            .any(|template| template.placeholders().next().is_some());
        let session = SessionScript { name, setup: self.setup, statements, keeps_values, on_error, cut_after: None };
        Ok((session, cuts))
    }

    fn cuts(&self, place: &str) -> Result<CutPoints, String> {
        let last = self.statements.len();
        let Some(value) = &self.cut_after else { return Ok(vec![None]) };
        let number = value.as_integer().and_then(|number| usize::try_from(number).ok());
        match (number, value.as_str()) {
            (Some(number), _) if (1..=last).contains(&number) => Ok(vec![Some(number)]),
            (_, Some("each")) => Ok((1..=last).map(Some).collect()),
            _ => Err(expected(&format!("{place}: cut_after"), &format!("1 to {last}, or \"each\""), kind(value))),
        }
    }

    fn on_error(&self, place: &str) -> Result<OnError, String> {
        let field = format!("{place}: attempts");
        if self.on_error != ErrorReaction::Retry {
            let beside = "on_error = \"retry\" beside it";
            if let Some(attempts) = self.attempts {
                return Err(expected(&field, beside, attempts));
            }
            if let Some(after) = &self.retry_on {
                return Err(expected(&format!("{place}: retry_on"), beside, format_args!("{after:?}")));
            }
        }
        Ok(match self.on_error {
            ErrorReaction::Stop => OnError::Stop,
            ErrorReaction::Continue => OnError::Continue,
            ErrorReaction::Savepoint => OnError::Savepoint,
            ErrorReaction::Retry => {
                let attempts = self.attempts.unwrap_or(ATTEMPTS);
                if !(1..=ATTEMPTS_MAX).contains(&attempts) {
                    return Err(expected(&field, &format!("1 to {ATTEMPTS_MAX}"), attempts));
                }
                OnError::Retry { attempts, after: self.retry_on(place)? }
            }
        })
    }

    fn retry_on(&self, place: &str) -> Result<Vec<String>, String> {
        let Some(after) = &self.retry_on else { return Ok(RETRY_ON.map(str::to_owned).to_vec()) };
        let is_sqlstate =
            |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
        let wrong = after.iter().find(|text| *text != ROWS && !is_sqlstate(text));
        match (wrong, after.is_empty()) {
            (None, false) => Ok(after.clone()),
            _ => Err(expected(
                &format!("{place}: retry_on"),
                "SQLSTATEs such as \"40001\", or \"rows\"",
                format_args!("{after:?}"),
            )),
        }
    }
}

fn statements(place: &str, values: Vec<Spanned<Value>>, text: &str) -> Result<Vec<ScriptStatement>, String> {
    let read = |(number, value): (usize, Spanned<Value>)| {
        let line = 1 + text.get(..value.span().start).map_or(0, |before| before.matches('\n').count());
        Ok::<_, String>((statement(&format!("{place}, statement {number}"), value.into_inner())?, line))
    };
    let read: Vec<(StatementTable, usize)> = (1..).zip(values).map(read).collect::<Result<_, _>>()?;
    let mut names: Vec<String> = read.iter().filter_map(|(statement, _)| statement.name.clone()).collect();
    if let Some(at) = (1..names.len()).find(|at| names[..*at].contains(&names[*at])) {
        return Err(expected(&format!("{place}, statements"), "each name once", format_args!("{:?} twice", names[at])));
    }
    let statement = |(statement, line): (StatementTable, usize)| {
        let StatementTable { name, sql, rows, stop_if, on_error } = statement;
        let name = name.unwrap_or_else(|| {
            let name = name_of(&sql, &names);
            names.push(name.clone());
            name
        });
        let template = |sql: Option<String>| sql.map(|sql| SqlTemplate::parse(sql.trim()));
        ScriptStatement {
            name,
            sql: SqlTemplate::parse(sql.trim()),
            line,
            own_commit: false,
            rows,
            stop_if: template(stop_if),
            on_error: template(on_error),
        }
    };
    Ok(read.into_iter().map(statement).collect())
}

fn statement(field: &str, value: Value) -> Result<StatementTable, String> {
    let statement = match value {
        Value::String(sql) => StatementTable { name: None, sql, rows: None, stop_if: None, on_error: None },
        Value::Table(_) => {
            value.try_into().map_err(|error: toml::de::Error| format!("{field}: {}", error.message()))?
        }
        other => return Err(expected(field, "SQL, or { name = \"…\", sql = \"…\" }", kind(&other))),
    };
    if let Some(name) = &statement.name {
        check_name(&format!("{field}: name"), name)?;
        // A number refers to the statement at that place.
        if name.parse::<usize>().is_ok() {
            return Err(expected(&format!("{field}: name"), "no number", name));
        }
    }
    check_sql(field, &statement.sql)?;
    check_can_be_sent(field, &statement.sql)?;
    if let Some(sql) = &statement.on_error {
        check_sql(&format!("{field}: on_error"), sql)?;
        check_can_be_sent(&format!("{field}: on_error"), sql)?;
    }
    if let Some(condition) = &statement.stop_if {
        check_condition(&format!("{field}: stop_if"), condition)?;
    }
    Ok(statement)
}

/// Whether a text has a COPY whose data come from its session, or go there.
#[must_use]
pub fn copies_a_stream(sql: &str) -> bool {
    let has_stream =
        |words: &Words| words[0] == "copy" && words.iter().any(|word| matches!(word.as_str(), "stdin" | "stdout"));
    statements_of(sql).iter().any(has_stream)
}

/// A file has no data for COPY FROM STDIN, no place for that of COPY TO STDOUT, and none for notifications.
///
/// # Errors
/// What is expected in this field.
pub fn check_can_be_sent(field: &str, sql: &str) -> Result<(), String> {
    let statements = statements_of(sql);
    let is_the_name = |word: &String| word.trim_matches(['"', '\'']) == "application_name";
    if copies_a_stream(sql) {
        let what = "a statement without data of its own, such as insert or select";
        return Err(expected(field, what, "COPY with STDIN or STDOUT"));
    }
    if statements.iter().flat_map(|words| words.iter()).any(is_the_name) {
        let what = "a statement that leaves application_name, by which the explorer knows its sessions";
        return Err(expected(field, what, format_args!("{sql:?}")));
    }
    if statements.iter().any(|words| words[0] == "listen") {
        return Err(expected(field, "a statement whose effect is explored (NOTIFY is one)", "LISTEN"));
    }
    Ok(())
}

/// A condition is evaluated outside the session's transaction, so it can neither read tables nor call what it likes.
fn check_condition(field: &str, condition: &str) -> Result<(), String> {
    let shape = SqlTemplate::parse(condition).shape();
    let is_query =
        |words: &Words| words.iter().any(|word| matches!(word.as_str(), "from" | "select" | "table" | "values"));
    match one_statement(&shape) {
        Some(words) if !is_query(&words) && is_plain_read(&format!("select {shape}")) => Ok(()),
        _ => Err(expected(
            field,
            "an expression over values that were read, such as \"{balance} < 30\", without functions but coalesce, greatest, least and nullif",
            format_args!("{condition:?}"),
        )),
    }
}

/// A unique name for a statement without one: its first word, such as `update` or `update 2`.
fn name_of(sql: &str, taken: &[String]) -> String {
    let statements = statements_of(sql);
    let mut words = statements.iter().flat_map(|statement| statement.iter());
    let first = words.find(|word| word.starts_with(|first: char| first.is_ascii_alphabetic()));
    let word = first.cloned().unwrap_or_else(|| "statement".to_owned());
    let mut name = word.clone();
    let mut number = 1;
    while taken.contains(&name) {
        number += 1;
        name = format!("{word} {number}");
    }
    name
}
