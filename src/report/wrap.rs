//! Text in lines, by display width: a letter of Chinese or an emoji is two cells of a terminal, a combining accent none.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::printable::printable;

/// Cells in a line of a terminal at most.
pub const WIDTH: usize = 120;

/// How far the second and later lines of a paragraph are indented.
const PARAGRAPH_INDENT: usize = 4;

/// The same in a narrow column.
const COLUMN_INDENT: usize = 2;

/// Where SQL is broken rather than elsewhere: before a clause.
const CLAUSES: [&str; 13] =
    ["from", "where", "set", "values", "returning", "on", "join", "order", "group", "for", "union", "and", "or"];

/// Holds words together that are read as one, such as `balance = 10`.
pub const TIE: char = '\u{a0}';

/// How many cells a text takes on a terminal.
#[must_use]
pub fn display_width(text: &str) -> usize {
    text.width()
}

/// A text with spaces behind it, as wide as this.
#[must_use]
pub fn padded(text: &str, width: usize) -> String {
    text.to_owned() + &" ".repeat(width.saturating_sub(display_width(text)))
}

/// A text below a table. A long word, such as a schedule to be copied, keeps a line to itself.
#[must_use]
pub fn paragraph(text: &str) -> String {
    filled(text, PARAGRAPH_INDENT)
}

/// The same, in lines of this width; longer than usual ones are hard to read.
#[must_use]
pub fn paragraph_within(text: &str, width: usize) -> String {
    filled_within(text, PARAGRAPH_INDENT, width)
}

/// The same, with the second and later lines indented by this.
#[must_use]
pub fn filled(text: &str, indent: usize) -> String {
    filled_within(text, indent, WIDTH)
}

/// The same, in lines of this width; longer than usual ones are hard to read.
#[must_use]
pub fn filled_within(text: &str, indent: usize, width: usize) -> String {
    let text = printable(text);
    let words = text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    lines(&words, width.min(WIDTH), indent, |_, fitting| fitting).join("\n")
}

/// A text in a narrow column; a word that is longer than a line is broken.
#[must_use]
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    lines(&short_words(text, width), width, COLUMN_INDENT, |_, fitting| fitting)
}

/// SQL in a narrow column, broken before a clause or else behind a comma, if enough is left on the line.
#[must_use]
pub fn wrapped_sql(sql: &str, width: usize) -> Vec<String> {
    lines(&short_words(sql, width), width, COLUMN_INDENT, |words, fitting| {
        let left = |at: usize| display_width(&words[..at].join(" "));
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
fn lines(words: &[String], width: usize, indent: usize, cut: impl Fn(&[String], usize) -> usize) -> Vec<String> {
    let mut rest = words;
    let mut lines: Vec<String> = Vec::new();
    while !rest.is_empty() {
        let indent = if lines.is_empty() { 0 } else { indent };
        let fits = |&count: &usize| indent + display_width(&rest[..count].join(" ")) <= width;
        let fitting = (1..=rest.len()).take_while(fits).last().unwrap_or(1);
        let count = if fitting == rest.len() { fitting } else { cut(rest, fitting) };
        lines.push(" ".repeat(indent) + &rest[..count].join(" ").replace(TIE, " "));
        rest = &rest[count..];
    }
    lines
}

/// The words of a text, in pieces that fit in a column of this width.
fn short_words(text: &str, width: usize) -> Vec<String> {
    let width = width.saturating_sub(COLUMN_INDENT).max(1);
    let mut words = Vec::new();
    for word in text.split([' ', '\n']).filter(|word| !word.is_empty()) {
        let (mut piece, mut used) = (String::new(), 0);
        for letter in word.chars() {
            let cells = letter.width().unwrap_or(0);
            if used + cells > width && !piece.is_empty() {
                words.push(std::mem::take(&mut piece));
                used = 0;
            }
            piece.push(letter);
            used += cells;
        }
        words.push(piece);
    }
    words
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
            assert!(wrapped("one twenty three-hundred", width).iter().all(|line| display_width(line) <= width.max(3)));
        }
    }

    #[test]
    fn cells_of_a_terminal_are_counted_and_not_letters() {
        assert_eq!(wrapped("座席予約 完了", 8), ["座席予", "  約", "  完了"]);
        assert_eq!(padded("予約", 6), "予約  ");
        assert_eq!(padded("re\u{301}sume\u{301}", 6), "re\u{301}sume\u{301}");
    }

    #[test]
    fn a_paragraph_goes_on_indented_and_breaks_no_word() {
        let word = "x".repeat(WIDTH + 1);
        assert_eq!(filled(&format!("one {word} two"), 2), format!("one\n  {word}\n  two"));
        assert_eq!(paragraph("a\nb"), "a\\nb", "a control character is shown");
    }
}
