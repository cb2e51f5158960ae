//! Checks of single fields. Each error names the field, what is expected, and what was found.

use toml::Value;

use crate::explore::schedule::Actor;

/// The longest title or name, in characters: it is shown in a line of a table.
const NAME_MAX: usize = 80;

/// The error for a field with a value that is not allowed.
pub fn expected(field: &str, what: &str, found: impl std::fmt::Display) -> String {
    format!("{field}: expected {what}, found {found}")
}

/// Checks that a text can be a name in a line of a report.
pub fn check_name(field: &str, name: &str) -> Result<(), String> {
    if name.trim().is_empty() || name.chars().count() > NAME_MAX || name.contains(char::is_control) {
        return Err(expected(field, &format!("1 to {NAME_MAX} printable characters"), format_args!("{name:?}")));
    }
    Ok(())
}

/// Checks that there is any SQL. Errors in it are reported by PostgreSQL.
pub fn check_sql(field: &str, sql: &str) -> Result<(), String> {
    if sql.trim().is_empty() { Err(expected(field, "SQL", format_args!("{sql:?}"))) } else { Ok(()) }
}

/// A value for an error: a number or text itself, or else its type.
pub fn kind(value: &Value) -> String {
    match value {
        Value::Integer(number) => number.to_string(),
        Value::String(text) => format!("{text:?}"),
        other => other.type_str().to_owned(),
    }
}

/// The actor of a session, by its place in the file.
pub fn actor(index: usize) -> Actor {
    Actor::Client(u8::try_from(index).unwrap_or(u8::MAX))
}
