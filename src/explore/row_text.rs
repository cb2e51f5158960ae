//! The rows that a statement returns, as a transcript shows them.

use sqlx::postgres::{PgRow, PgValueFormat};
use sqlx::{Column, Row as _, TypeInfo, ValueRef};
use uuid::Uuid;

/// The columns of a row, as `name = value`.
#[must_use]
pub fn columns(row: &PgRow) -> Vec<String> {
    let shown = |column: &sqlx::postgres::PgColumn| {
        let value = value(row, column.ordinal()).unwrap_or_else(|| "null".to_owned());
        format!("{} = {value}", column.name())
    };
    row.columns().iter().map(shown).collect()
}

/// A value as text, `None` for null. A prepared statement returns values in PostgreSQL's binary format; the types that the lab
/// uses are decoded, and of any other type the name is shown.
fn value(row: &PgRow, at: usize) -> Option<String> {
    let raw = row.try_get_raw(at).ok().filter(|raw| !raw.is_null())?;
    if raw.format() == PgValueFormat::Text {
        return raw.as_str().ok().map(str::to_owned);
    }
    let binary = |name: &str| match name {
        "INT8" => row.try_get::<i64, _>(at).map(|value| value.to_string()),
        "INT4" => row.try_get::<i32, _>(at).map(|value| value.to_string()),
        "BOOL" => row.try_get::<bool, _>(at).map(|value| value.to_string()),
        "UUID" => row.try_get::<Uuid, _>(at).map(|value| value.to_string()),
        "VOID" => Ok(String::new()),
        _ => row.try_get::<String, _>(at),
    };
    let name = raw.type_info().name().to_owned();
    Some(binary(&name).unwrap_or_else(|_| format!("({name})")))
}
