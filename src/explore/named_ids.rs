//! Rows and statements as a transcript shows them.

use sqlx::postgres::{PgRow, PgValueFormat};
use sqlx::{Column, Row as _, TypeInfo, ValueRef};
use uuid::Uuid;

use super::transcript::{StepOutcome, Transcript, TranscriptStep};

/// The columns of a row, as `name = value`.
#[must_use]
pub fn columns(row: &PgRow) -> Vec<String> {
    let shown = |column: &sqlx::postgres::PgColumn| {
        let value = value(row, column.ordinal()).unwrap_or_else(|| "null".to_owned());
        format!("{} = {value}", column.name())
    };
    row.columns().iter().map(shown).collect()
}

/// A value as text, `None` for null. Statements that are prepared return values in binary; of the types that the lab uses, all
/// are readable.
#[must_use]
pub fn value(row: &PgRow, at: usize) -> Option<String> {
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

/// Whether a statement says of itself that it returns rows: no row is then an answer, and not the lack of one.
#[must_use]
pub fn returns_rows(sql: &str) -> bool {
    let lower = sql.to_ascii_lowercase();
    begins_with(sql, &["select", "values", "table"])
        || lower.contains("returning")
        || begins_with(sql, &["with"]) && !lower.contains("update ")
}

/// Whether a statement begins with one of these words.
#[must_use]
pub fn begins_with(sql: &str, words: &[&str]) -> bool {
    let sql = sql.trim_start();
    words.iter().any(|word| {
        sql.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
            && !sql[word.len()..].starts_with(in_word)
    })
}

/// Whether a letter belongs to a word.
#[must_use]
pub fn in_word(next: char) -> bool {
    next.is_alphanumeric() || next == '_'
}

/// Gives the ids that PostgreSQL makes up names that are the same in every replay: `#1`, `#2` … as they appear.
pub fn without_ids(transcript: &mut Transcript) {
    NamedIds::default().rename_in(&mut transcript.entries);
}

/// The ids that have a name.
#[derive(Debug, Default)]
pub struct NamedIds(Vec<String>);

impl NamedIds {
    /// Names those in what was sent and came back.
    pub fn rename_in(&mut self, entries: &mut [TranscriptStep]) {
        for entry in entries {
            let rows: &mut [Vec<String>] = match &mut entry.outcome {
                StepOutcome::Rows(rows) => rows,
                StepOutcome::Done | StepOutcome::Error { .. } | StepOutcome::Cut | StepOutcome::Lost => &mut [],
            };
            for text in entry.values.iter_mut().chain(rows.iter_mut().flatten()) {
                self.rename(text);
            }
        }
    }

    /// Names those in a text.
    pub fn rename(&mut self, text: &mut String) {
        rename_ids(text, &mut self.0);
    }
}

/// The length of a UUID as text.
const ID_BYTES: usize = 36;

fn rename_ids(text: &mut String, names: &mut Vec<String>) {
    let mut at = 0;
    while at + ID_BYTES <= text.len() {
        let Some(id) = text.get(at..at + ID_BYTES).filter(|id| Uuid::try_parse(id).is_ok()).map(str::to_owned) else {
            at += 1;
            continue;
        };
        let number = names.iter().position(|name| *name == id).unwrap_or_else(|| {
            names.push(id);
            names.len() - 1
        });
        text.replace_range(at..at + ID_BYTES, &format!("#{}", number + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_say_whether_they_return_rows() {
        let table = [
            ("select 1", true),
            ("  SELECT 1", true),
            ("update users set balance = 1 returning balance", true),
            ("update users set balance = 1", false),
            ("insert into users values (1)", false),
            ("with a as (select 1) select * from a", true),
            ("commit", false),
            ("", false),
        ];
        for (sql, expected) in table {
            assert_eq!(returns_rows(sql), expected, "{sql}");
        }
    }

    #[test]
    fn ids_get_names_in_the_order_of_their_appearance() {
        let (one, two) = (Uuid::from_u128(1).to_string(), Uuid::from_u128(2).to_string());
        let mut names = Vec::new();
        let mut text = format!("[{two}, {one}] ä {two}");
        rename_ids(&mut text, &mut names);
        assert_eq!(text, "[#1, #2] ä #1");
        let mut text = format!("id = {one}");
        rename_ids(&mut text, &mut names);
        assert_eq!(text, "id = #2");
    }
}
