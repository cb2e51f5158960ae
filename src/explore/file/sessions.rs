//! A `[[session]]` of a file.

use serde::Deserialize;
use toml::{Spanned, Value};

use super::fields::{actor, check_name, check_sql, expected, kind};
use super::script::{ATTEMPTS_MAX, OnError, STATEMENTS_MAX, ScriptStatement, SessionScript};
use super::template::SqlTemplate;
use crate::explore::sql_words::statements as statements_of;

/// The default for the attempts of a session that retries. A victim of one other session needs two.
const ATTEMPTS: u32 = 5;

/// A `[[session]]`, as TOML has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionTable {
    name: Option<String>,
    statements: Vec<Spanned<Value>>,
    #[serde(default)]
    on_error: ErrorReaction,
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
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
    sql: String,
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
        let statements = statements(&place, self.statements, text)?;
        Ok((SessionScript { name, statements, on_error, cut_after: None }, cuts))
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
        match (self.on_error, self.attempts) {
            (ErrorReaction::Stop, None) => Ok(OnError::Stop),
            (ErrorReaction::Continue, None) => Ok(OnError::Continue),
            (ErrorReaction::Retry, attempts) => {
                let attempts = attempts.unwrap_or(ATTEMPTS);
                let allowed = (1..=ATTEMPTS_MAX).contains(&attempts);
                let out_of_bounds = || expected(&field, &format!("1 to {ATTEMPTS_MAX}"), attempts);
                allowed.then_some(OnError::Retry { attempts }).ok_or_else(out_of_bounds)
            }
            (_, Some(attempts)) => Err(expected(&field, "on_error = \"retry\" beside it", attempts)),
        }
    }
}

fn statements(place: &str, values: Vec<Spanned<Value>>, text: &str) -> Result<Vec<ScriptStatement>, String> {
    let read = |(number, value): (usize, Spanned<Value>)| {
        let line = 1 + text.get(..value.span().start).map_or(0, |before| before.matches('\n').count());
        let (name, sql) = statement(&format!("{place}, statement {number}"), value.into_inner())?;
        Ok::<_, String>((name, sql, line))
    };
    let read: Vec<(Option<String>, String, usize)> = (1..).zip(values).map(read).collect::<Result<_, _>>()?;
    let mut names: Vec<String> = read.iter().filter_map(|(name, ..)| name.clone()).collect();
    if let Some(at) = (1..names.len()).find(|at| names[..*at].contains(&names[*at])) {
        return Err(expected(&format!("{place}, statements"), "each name once", format_args!("{:?} twice", names[at])));
    }
    let statement = |(name, sql, line): (Option<String>, String, usize)| {
        let name = name.unwrap_or_else(|| {
            let name = name_of(&sql, &names);
            names.push(name.clone());
            name
        });
        ScriptStatement { name, sql: SqlTemplate::parse(&sql), line, own_commit: false }
    };
    Ok(read.into_iter().map(statement).collect())
}

fn statement(field: &str, value: Value) -> Result<(Option<String>, String), String> {
    let (name, sql) = match value {
        Value::String(sql) => (None, sql),
        Value::Table(_) => {
            let Named { name, sql } = value.try_into().map_err(|error| format!("{field}: {}", error.message()))?;
            (Some(name), sql)
        }
        other => return Err(expected(field, "SQL, or { name = \"…\", sql = \"…\" }", kind(&other))),
    };
    if let Some(name) = &name {
        check_name(&format!("{field}: name"), name)?;
        // A number refers to the statement at that place.
        if name.parse::<usize>().is_ok() {
            return Err(expected(&format!("{field}: name"), "no number", name));
        }
    }
    check_sql(field, &sql)?;
    Ok((name, sql.trim().to_owned()))
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
