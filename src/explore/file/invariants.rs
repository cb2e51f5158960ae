//! The invariants of a file, checked at the end of an interleaving.

use std::collections::BTreeSet;
use std::fmt;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Column as _, Executor as _, Row as _, TypeInfo as _, ValueRef as _};

use super::script::Invariant;
use super::sending::error_text;
use super::template::{Literal, Variables};
use crate::explore::error::ExploreError;
use crate::explore::row_text::columns;

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenInvariant {
    /// Its name.
    pub name: String,
    /// What its query returned, such as `null instead of true`.
    pub found: String,
}

/// The name, and what was found if it is more than a plain false.
impl fmt::Display for BrokenInvariant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, found } = self;
        if found == FALSE { formatter.write_str(name) } else { write!(formatter, "{name} ({found})") }
    }
}

/// What the usual query returns where its invariant does not hold.
const FALSE: &str = "false";

/// The invariants that do not hold. `read` are the values that the sessions have read, by `A.statement.column`.
///
/// # Errors
/// [`ExploreError::Script`] if a query fails, or returns anything but rows of one boolean each.
pub async fn broken_invariants(
    connection: &mut PgConnection,
    invariants: &[Invariant],
    read: &Variables,
) -> Result<Vec<BrokenInvariant>, ExploreError> {
    let mut broken = Vec::new();
    for invariant in invariants {
        let name = &invariant.name;
        let wrong = |what: String| ExploreError::Script(format!("invariant {name:?}: {what}"));
        let query = filled(invariant, read);
        let rows = connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(query))).await;
        let rows = rows.map_err(|error| wrong(error_text(&error)))?;
        if rows.is_empty() {
            return Err(wrong(
                "expected one row or more, each with one boolean, found no row; for an empty table write \
                 select coalesce(bool_and(…), true) from …"
                    .to_owned(),
            ));
        }
        let values = rows.iter().map(boolean).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        let (nulls, all) = (values.iter().filter(|value| value.is_none()).count(), values.len());
        let falses = values.iter().filter(|value| **value == Some(false)).count();
        let found = match (falses, nulls, all) {
            (0, 0, _) => continue,
            (0, _, 1) => "null instead of true".to_owned(),
            (_, 0, 1) => FALSE.to_owned(),
            (_, 0, _) => format!("false in {falses} of {all} rows"),
            (0, _, _) => format!("null in {nulls} of {all} rows"),
            _ => format!("false in {falses} and null in {nulls} of {all} rows"),
        };
        broken.push(BrokenInvariant { name: name.clone(), found });
    }
    Ok(broken)
}

/// An invariant with a value that no session has ever read: its column is misspelt.
#[must_use]
pub fn never_read(invariants: &[Invariant], read: &BTreeSet<String>) -> Option<String> {
    invariants.iter().find_map(|invariant| {
        let unread = invariant.query.placeholders().find(|name| !read.contains(*name))?;
        let known = read.iter().cloned().collect::<Vec<_>>().join(", ");
        Some(format!(
            "invariant {:?}: {{{unread}}} was read in no interleaving (what was read: {known})",
            invariant.name
        ))
    })
}

/// The query, with what was read. What a session has not read, because it ended before, is null.
fn filled(invariant: &Invariant, read: &Variables) -> String {
    let unread = invariant.query.placeholders().filter(|name| !read.contains_key(*name));
    let mut values: Variables = unread.map(|name| (name.to_owned(), Literal::null())).collect();
    values.extend(read.iter().map(|(name, literal)| (name.clone(), literal.clone())));
    invariant.query.fill(&values).unwrap_or_default()
}

/// The only column of a row; `None` for null. The error says what is in the row instead.
fn boolean(row: &PgRow) -> Result<Option<bool>, String> {
    let is_boolean = |column: &sqlx::postgres::PgColumn| column.type_info().name() == "BOOL";
    let [column] = row.columns() else {
        return Err(format!("expected one boolean column, found {}: {}", row.len(), columns(row).join(", ")));
    };
    let value = row.try_get_raw(0).map_err(|error| error.to_string())?;
    if !is_boolean(column) {
        let kind = column.type_info().name().to_ascii_lowercase();
        return Err(format!("expected a boolean, found {} ({kind})", columns(row).join(", ")));
    }
    if value.is_null() {
        return Ok(None);
    }
    Ok(Some(value.as_str().map_err(|error| error.to_string())? == "t"))
}
