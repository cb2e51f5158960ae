//! A unit and its answer, as a transcript shows them.

use postgres_proxy::{AnswerEnd, ClientUnit, StatementResult, UnitAnswer, ValueForm, WireValue};

use crate::explore::sql_words::statements;
use crate::explore::transcript::StepOutcome;

/// Stands for a message that commits what ran before it.
const COMMITS_BEFORE: &str = "-- commits what ran before";

/// Stands for a message that neither runs nor prepares anything.
const WITHOUT_SQL: &str = "-- a message without SQL";

/// Whether a text describes a message that has no SQL.
#[must_use]
pub fn is_described(text: &str) -> bool {
    matches!(text, COMMITS_BEFORE | WITHOUT_SQL)
}

/// A step that is about to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepText {
    /// The first word of its SQL.
    pub name: String,
    /// The SQL.
    pub sql: String,
    /// The values of `$1` …, if it executes one statement.
    pub values: Vec<String>,
}

impl StepText {
    /// What a unit sends.
    #[must_use]
    pub fn of(unit: &ClientUnit) -> Self {
        let sql = sql_of(unit);
        let name = statements(&sql).first().map_or_else(|| "statement".to_owned(), |words| words[0].clone());
        let values = match &unit.executions[..] {
            [only] => only.values.iter().map(value).collect(),
            _ => Vec::new(),
        };
        Self { name, sql, values }
    }
}

/// The SQL of a unit without its literals and comments: what two runs of a program have in common.
#[must_use]
pub fn normalized(unit: &ClientUnit) -> String {
    normalized_sql(&sql_of(unit))
}

/// The same of a text.
#[must_use]
pub fn normalized_sql(sql: &str) -> String {
    with_literals(sql, |_| "?".to_owned())
}

/// The SQL of a unit without its comments, and its values, without what is likely to be time or chance.
#[must_use]
pub fn fingerprint(unit: &ClientUnit) -> String {
    let StepText { sql, values, .. } = StepText::of(unit);
    let sql = with_literals(&sql, |literal| masked(literal.trim_matches('\'')));
    let values: Vec<String> = values.iter().map(|value| masked(value)).collect();
    if values.is_empty() { sql } else { format!("{sql} ({})", values.join(", ")) }
}

/// A text with other literals, and without comments.
fn with_literals(sql: &str, literal: impl Fn(&str) -> String) -> String {
    let is_literal = |word: &str| {
        let first = word.strip_prefix(['e', 'E', 'n', 'N', 'x', 'X', 'b', 'B']).unwrap_or(word);
        first.starts_with('\'') || word.starts_with(|first: char| first.is_ascii_digit())
    };
    // The tag of a dollar-quoted text may be chance.
    let is_dollar_quoted =
        |word: &str| word.strip_prefix('$').is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()));
    let plain = |word: &String| match word.as_str() {
        word if is_dollar_quoted(word) => "?".to_owned(),
        word if is_literal(word) => literal(word),
        _ => word.clone(),
    };
    let statements = statements(sql);
    if statements.is_empty() {
        return sql.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    let texts: Vec<String> =
        statements.iter().map(|words| words.iter().map(plain).collect::<Vec<_>>().join(" ")).collect();
    texts.join("; ")
}

/// A value, or a word for it if it looks like an id of chance, a time, or a secret.
#[must_use]
pub fn masked(value: &str) -> String {
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let has = |wanted: char| value.contains(wanted);
    let word = if uuid::Uuid::try_parse(value).is_ok() {
        "an id"
    } else if digits >= 8 && (has(':') || value.matches('-').count() >= 2) {
        "a time"
    } else if digits >= 10 && digits + 1 >= value.len() || value.len() >= 16 && !has(' ') && digits > 0 {
        "a token"
    } else {
        return value.to_owned();
    };
    format!("<{word}>")
}

/// The SQL that a unit runs or prepares. What is no SQL is described in a comment.
#[must_use]
pub fn sql_of(unit: &ClientUnit) -> String {
    if unit.executions.is_empty() {
        let prepared: Vec<&str> = unit.parses.iter().map(|sql| sql.text.as_str()).collect();
        return match prepared[..] {
            [] if unit.ends_implicit_transaction => COMMITS_BEFORE.to_owned(),
            [] => WITHOUT_SQL.to_owned(),
            _ => prepared.join("; "),
        };
    }
    let text = |sql: &postgres_proxy::KeptText| if sql.cut { format!("{} …", sql.text) } else { sql.text.clone() };
    let executed = unit.executions.iter().map(|execution| match &execution.sql {
        Some(sql) => text(sql),
        None => "-- a statement whose text is not known".to_owned(),
    });
    let mut texts: Vec<String> = executed.collect();
    let beyond = unit.execution_count.saturating_sub(unit.executions.len() as u64);
    if beyond > 0 {
        texts.push(format!("-- and {beyond} more"));
    }
    texts.join(";\n")
}

fn value(value: &WireValue) -> String {
    let Some(text) = &value.text else {
        return if value.form == ValueForm::Missing { "…".to_owned() } else { "null".to_owned() };
    };
    let hex = if value.form == ValueForm::Hex { "\\x" } else { "" };
    let rest = if value.cut { "…" } else { "" };
    format!("{hex}{text}{rest}")
}

/// What a unit's answer says.
#[must_use]
pub fn outcome(answer: &UnitAnswer) -> StepOutcome {
    if let Some(error) = &answer.error {
        return StepOutcome::Error { sqlstate: Some(error.sqlstate.clone()), message: error.message.clone() };
    }
    match answer.end {
        AnswerEnd::Complete => {}
        AnswerEnd::Skipped => return lost("skipped, because an earlier statement had failed"),
        AnswerEnd::ConnectionLost => return lost("the connection ended before the answer"),
    }
    if let Some(result) =
        answer.results.iter().rev().find(|result| !result.fields.is_empty() || !result.rows.is_empty())
    {
        return StepOutcome::Rows(result.rows.iter().map(|row| columns(result, row)).collect());
    }
    let tags: Vec<&str> = answer.results.iter().filter_map(|result| result.tag.as_deref()).collect();
    match tags[..] {
        [] | ["BEGIN" | "COMMIT" | "SET"] => StepOutcome::Done,
        _ => StepOutcome::Tag(tags.join(", ")),
    }
}

/// The outcome of a step without an answer.
#[must_use]
pub fn lost(why: &str) -> StepOutcome {
    StepOutcome::Error { sqlstate: None, message: why.to_owned() }
}

fn columns(result: &StatementResult, row: &[WireValue]) -> Vec<String> {
    let column = |(index, found): (usize, &WireValue)| {
        let name = result.fields.get(index).map_or("?", |field| field.name.as_str());
        format!("{name} = {}", value(found))
    };
    row.iter().enumerate().map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_comments_are_left_out_of_a_normalized_text() {
        assert_eq!(
            normalized_sql("SELECT  a FROM t WHERE b = 'x' AND c > 3 /*req=A*/"),
            "select a from t where b = ? and c > ?"
        );
        assert_eq!(normalized_sql("select $x1$a$x1$, $1"), "select ? , $1");
        assert_eq!(normalized_sql("select 'unterminated"), "select 'unterminated");
    }

    #[test]
    fn what_looks_like_time_or_chance_is_masked() {
        for (value, expected) in [
            ("70", "70"),
            ("insufficient funds", "insufficient funds"),
            ("6f1c7b7e-5a5a-4a7c-9c1e-0123456789ab", "<an id>"),
            ("2026-11-29 22:00:00.123+00", "<a time>"),
            ("1764453600123", "<a token>"),
            ("d41d8cd98f00b204e9800998ecf8427e", "<an id>"),
            ("eyJhbGciOiJIUzI1NiJ9.e30", "<a token>"),
        ] {
            assert_eq!(masked(value), expected, "{value}");
        }
    }
}
