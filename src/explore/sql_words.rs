//! Properties of an SQL statement that follow from its words, without parsing it.

/// Whether a statement returns rows, by its words. Then no row is an answer, and not the lack of one.
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

/// Whether a letter can be part of a word.
#[must_use]
pub fn in_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_that_returns_rows_is_recognised_by_its_words() {
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
}
