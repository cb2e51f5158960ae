//! What was sent, as it is read: in one line, with its values in their places.
//!
//! Numbers, truth values and null stand where their parameter was, since SQL spells them as they are. Any other value would
//! need quotes that were not sent, so its parameter stays and the value stands beside the statement.

use super::timeline_events::short;
use crate::explore::transcript::TranscriptStep;

/// A stretch of SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlFragment {
    /// The text.
    pub text: String,
    /// It is the value of a parameter.
    pub is_value: bool,
}

/// A statement to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentStatement {
    /// The SQL from left to right.
    pub pieces: Vec<SqlFragment>,
    /// The values that are not in their places: `$3 = …`.
    pub beside: Vec<String>,
}

impl SentStatement {
    /// What a step sent.
    #[must_use]
    pub fn of(entry: &TranscriptStep) -> Self {
        Self::new(&entry.sql, &entry.values)
    }

    /// A text with the values of its parameters.
    #[must_use]
    pub fn new(sql: &str, values: &[String]) -> Self {
        let sql = sql.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut sent = Self { pieces: Vec::new(), beside: Vec::new() };
        let mut rest = sql.as_str();
        let mut shown = vec![false; values.len()];
        while let Some((before, number, after)) = next_parameter(rest) {
            let value = number.checked_sub(1).and_then(|index| Some((index, values.get(index)?)));
            match value.filter(|(_, value)| spells_itself(value) && !makes_comment(before, value)) {
                Some((index, value)) => {
                    sent.push(before, false);
                    sent.push(value, true);
                    shown[index] = true;
                }
                None => sent.push(&rest[..rest.len() - after.len()], false),
            }
            rest = after;
        }
        sent.push(rest, false);
        let beside = values.iter().enumerate().filter(|(index, _)| !shown[*index]);
        sent.beside = beside.map(|(index, value)| format!("${} = {}", index + 1, short(value))).collect();
        sent
    }

    fn push(&mut self, text: &str, is_value: bool) {
        match self.pieces.last_mut() {
            Some(last) if last.is_value == is_value => last.text.push_str(text),
            _ if text.is_empty() => {}
            _ => self.pieces.push(SqlFragment { text: text.to_owned(), is_value }),
        }
    }

    /// The SQL alone.
    #[must_use]
    pub fn sql(&self) -> String {
        self.pieces.iter().map(|piece| piece.text.as_str()).collect()
    }
}

/// What stands before the next parameter, its number, and what stands after it.
fn next_parameter(sql: &str) -> Option<(&str, usize, &str)> {
    for (at, _) in sql.match_indices('$') {
        let digits = sql[at + 1..].bytes().take_while(u8::is_ascii_digit).count();
        if let Ok(number) = sql[at + 1..=at + digits].parse() {
            return Some((&sql[..at], number, &sql[at + 1 + digits..]));
        }
    }
    None
}

fn spells_itself(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    number || matches!(value, "true" | "false" | "null")
}

/// Two hyphens begin a comment.
fn makes_comment(before: &str, value: &str) -> bool {
    before.ends_with('-') && value.starts_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::report::sample::transcripts::sends;

    #[test]
    fn values_stand_in_their_places_if_sql_spells_them_so() {
        let cases: [(&str, &[&str], &str, &[&str]); 6] = [
            ("select 1\n   from a where id = $1", &["7"], "select 1 from a where id = 7", &[]),
            ("set a = a + $2, b = $1, c = $2", &["null", "-2"], "set a = a + -2, b = null, c = -2", &[]),
            ("set a = a -$1", &["-2"], "set a = a -$1", &["$1 = -2"]),
            ("id = $1::uuid and n = $2", &["5c1f", "3"], "id = $1::uuid and n = 3", &["$1 = 5c1f"]),
            ("select $$a$$, $10, $1", &["1"], "select $$a$$, $10, 1", &[]),
            ("-- takes the turn of users/1", &[], "-- takes the turn of users/1", &[]),
        ];
        for (sql, values, shown, beside) in cases {
            let sent = SentStatement::of(&sends('A', "any", sql, values));
            assert_eq!((sent.sql().as_str(), sent.beside), (shown, beside.iter().map(ToString::to_string).collect()));
        }
    }
}
