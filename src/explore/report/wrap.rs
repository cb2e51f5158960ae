//! Text in narrow columns.

use crate::lab::reports::grid::letters;

/// How far the second and later lines of a text are indented.
const INDENT: usize = 2;

/// Where SQL is broken rather than elsewhere: before a clause.
const CLAUSES: [&str; 13] =
    ["from", "where", "set", "values", "returning", "on", "join", "order", "group", "for", "union", "and", "or"];

/// Holds words together that are read as one, such as `balance = 10`.
pub const TIE: char = '\u{a0}';

/// A text in lines of at most this width; a word that is longer than a line is broken.
#[must_use]
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    lines(text, width, |_, fitting| fitting)
}

/// SQL in lines of at most this width, broken before a clause or else behind a comma, if enough is left on the line.
#[must_use]
pub fn wrapped_sql(sql: &str, width: usize) -> Vec<String> {
    lines(sql, width, |words, fitting| {
        let left = |at: usize| letters(&words[..at].join(" "));
        // What stands in brackets is not broken: it is no clause of the statement.
        let open = |at: usize| words[..at].iter().map(|word| word.matches('(').count()).sum::<usize>();
        let closed = |at: usize| words[..at].iter().map(|word| word.matches(')').count()).sum::<usize>();
        let is_clause = |at: usize| CLAUSES.contains(&words[at].as_str()) && open(at) <= closed(at);
        let clause = |&at: &usize| is_clause(at) && 4 * left(at) >= width;
        let comma = |&at: &usize| words[at - 1].ends_with(',') && 3 * left(at) >= width;
        let cuts = || (1..=fitting).rev();
        cuts().find(clause).or_else(|| cuts().find(comma)).unwrap_or(fitting)
    })
}

/// Breaks where `cut` says, given all words that are left and how many of them fit on the line.
fn lines(text: &str, width: usize, cut: impl Fn(&[String], usize) -> usize) -> Vec<String> {
    let words = words(text, width.saturating_sub(INDENT).max(1));
    let mut rest = words.as_slice();
    let mut lines: Vec<String> = Vec::new();
    while !rest.is_empty() {
        let indent = if lines.is_empty() { 0 } else { INDENT };
        let fits = |&count: &usize| indent + letters(&rest[..count].join(" ")) <= width;
        let fitting = (1..=rest.len()).take_while(fits).last().unwrap_or(1);
        let count = if fitting == rest.len() { fitting } else { cut(rest, fitting) };
        lines.push(" ".repeat(indent) + &rest[..count].join(" ").replace(TIE, " "));
        rest = &rest[count..];
    }
    lines
}

/// The words of a text, in pieces of at most this width.
fn words(text: &str, width: usize) -> Vec<String> {
    let pieces = |word: &str| {
        let letters: Vec<char> = word.chars().collect();
        letters.chunks(width).map(|piece| piece.iter().collect()).collect::<Vec<String>>()
    };
    text.split([' ', '\n']).filter(|word| !word.is_empty()).flat_map(pieces).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_is_broken_before_a_clause_and_text_where_it_is_full() {
        let text = "update users set balance = 8 where id = 1 returning balance";
        assert_eq!(wrapped(text, 36), ["update users set balance = 8 where", "  id = 1 returning balance"]);
        assert_eq!(wrapped_sql(text, 36), ["update users set balance = 8", "  where id = 1 returning balance"]);
        assert_eq!(wrapped_sql(text, 80), [text]);
        let lock = "select balance from users where id = 1 for update";
        assert_eq!(wrapped_sql(lock, 42), ["select balance from users where id = 1", "  for update"]);
        let list = "select exists(select from users where id = 2) as exists, exists(select";
        assert_eq!(wrapped_sql(list, 66)[0], "select exists(select from users where id = 2) as exists,");
    }

    #[test]
    fn no_line_is_wider_than_its_column() {
        assert_eq!(wrapped("id = 5c1fd1d6-95a8", 10), ["id =", "  5c1fd1d6", "  -95a8"]);
        assert_eq!(wrapped("", 10), Vec::<String>::new());
        assert_eq!(wrapped("balance\u{a0}=\u{a0}10, version\u{a0}=\u{a0}1", 22), ["balance = 10,", "  version = 1"]);
        for width in 1..12 {
            assert!(wrapped("one twenty three-hundred", width).iter().all(|line| letters(line) <= width.max(3)));
        }
    }
}
