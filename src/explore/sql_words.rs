//! Properties of an SQL text that follow from its tokens. Comments and the contents of literals do not count.

use std::cell::RefCell;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::tokenizer::{Token, Tokenizer};

/// The words of one statement.
pub type Words = Arc<Vec<String>>;

/// Texts whose words are kept, for each thread. An exploration sends a few texts ten thousands of times; values that are written into
/// a text make new ones.
const TEXTS_KEPT: usize = 1_000;

thread_local! {
    static KEPT: RefCell<FxHashMap<String, Arc<[Words]>>> = RefCell::default();
}

/// The statements of a text, each as its words in lower case and its other tokens (quoted names too) as they are. A text that cannot
/// be split into tokens has none.
#[must_use]
pub fn statements(sql: &str) -> Arc<[Words]> {
    KEPT.with_borrow_mut(|kept| {
        if let Some(statements) = kept.get(sql) {
            return Arc::clone(statements);
        }
        if kept.len() == TEXTS_KEPT {
            kept.clear();
        }
        let statements = split(sql);
        kept.insert(sql.to_owned(), Arc::clone(&statements));
        statements
    })
}

fn split(sql: &str) -> Arc<[Words]> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize().unwrap_or_default();
    let (mut statements, mut statement) = (Vec::new(), Vec::new());
    for token in tokens {
        match token {
            Token::Whitespace(_) => {}
            Token::SemiColon => statements.push(std::mem::take(&mut statement)),
            Token::Word(word) if word.quote_style.is_none() => statement.push(word.value.to_ascii_lowercase()),
            other => statement.push(other.to_string()),
        }
    }
    statements.push(statement);
    statements.into_iter().filter(|statement| !statement.is_empty()).map(Arc::new).collect()
}

/// The words and other tokens of a text that is one statement; `None` if it is none or several.
#[must_use]
pub fn one_statement(sql: &str) -> Option<Words> {
    match &*statements(sql) {
        [statement] => Some(Arc::clone(statement)),
        _ => None,
    }
}

/// How many words of a text are wanted ones, in lower case. Those in literals and comments count too, such as the body of a function.
#[must_use]
pub fn count_anywhere(text: &str, is_wanted: impl Fn(&str) -> bool) -> usize {
    let is_part = |part: char| part.is_alphanumeric() || part == '_';
    text.to_lowercase().split(|part| !is_part(part)).filter(|word| !word.is_empty() && is_wanted(word)).count()
}

/// Whether a text has such a word anywhere; see [`count_anywhere`].
#[must_use]
pub fn has_anywhere(text: &str, is_wanted: impl Fn(&str) -> bool) -> bool {
    count_anywhere(text, is_wanted) > 0
}

/// Whether a statement returns rows, by its words. Then no row is an answer, and not the lack of one.
#[must_use]
pub fn returns_rows(sql: &str) -> bool {
    let Some(words) = one_statement(sql) else { return false };
    let has = |word: &str| words.iter().any(|other| other == word);
    match words[0].as_str() {
        "select" | "values" | "table" | "show" | "explain" => !has("into"),
        "with" => !["insert", "update", "delete", "merge"].iter().any(|word| has(word)) || has("returning"),
        _ => has("returning"),
    }
}

/// Whether a statement begins with one of these words.
#[must_use]
pub fn begins_with(sql: &str, words: &[&str]) -> bool {
    let statements = statements(sql);
    let own = |at| statements.first().and_then(|first| first.get(at));
    words.iter().any(|wanted| wanted.split(' ').enumerate().all(|(at, word)| own(at).is_some_and(|own| own == word)))
}

/// What a text does to the transaction of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionControl {
    /// It leaves one open, or begins one.
    Opens,
    /// It ends one, and begins none.
    Ends,
    /// Nothing.
    None,
}

/// What the statements of a text, in order, do to the transaction of their session.
#[must_use]
pub fn transaction_control(sql: &str) -> TransactionControl {
    let control = |statement: &Words| {
        let word = |at: usize| statement.get(at).map_or("", String::as_str);
        let chains = statement.iter().zip(statement.iter().skip(1)).any(|(one, next)| one == "and" && next == "chain");
        match (word(0), word(1), word(2)) {
            ("begin", ..) | ("start", "transaction", _) => Some(TransactionControl::Opens),
            ("rollback", "to", _)
            | ("rollback", "work" | "transaction", "to")
            | ("commit" | "rollback", "prepared", _) => None,
            ("commit" | "end" | "rollback" | "abort", ..) if chains => Some(TransactionControl::Opens),
            ("commit" | "end" | "rollback" | "abort", ..) | ("prepare", "transaction", _) => {
                Some(TransactionControl::Ends)
            }
            _ => None,
        }
    };
    statements(sql).iter().rev().find_map(control).unwrap_or(TransactionControl::None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_that_returns_rows_is_recognised_by_its_words() {
        let table = [
            ("select 1", true),
            ("  SELECT 1", true),
            ("/* app:shop */ select 1", true),
            ("update users set balance = 1 returning balance", true),
            ("update users set balance = 1", false),
            ("update users set name = 'returning'", false),
            ("insert into users values (1)", false),
            ("with a as (select 1) select * from a", true),
            ("with a as (update users set n = 1 returning n) select * from a", true),
            ("with a as (select 1) update users set n = 1", false),
            ("commit", false),
            ("", false),
        ];
        for (sql, expected) in table {
            assert_eq!(returns_rows(sql), expected, "{sql}");
        }
    }

    #[test]
    fn comments_and_literals_have_no_words() {
        for (sql, words) in [
            ("/* a; b */ begin -- c", vec![vec!["begin"]]),
            ("select ';', $x$ a; b $x$; Commit;", vec![vec!["select", "';'", ",", "$x$ a; b $x$"], vec!["commit"]]),
            ("-- joins the queue", vec![]),
        ] {
            let found: Vec<Vec<String>> = statements(sql).iter().map(|statement| statement.to_vec()).collect();
            assert_eq!(found, words, "{sql}");
        }
        assert!(begins_with("/* x */ Start\nTransaction", &["begin", "start transaction"]));
        assert!(!begins_with("beginning", &["begin"]));
    }

    #[test]
    fn words_are_found_in_literals_and_bodies_too() {
        let text = "do $$ begin Insert into t values ('now'); insert into t_2 values (1); end $$ -- insert";
        assert_eq!(count_anywhere(text, |word| word == "insert"), 3);
        assert!(has_anywhere(text, |word| word == "now") && has_anywhere(text, |word| word == "t_2"));
        assert!(!has_anywhere(text, |word| word == "sert" || word.is_empty()));
    }

    #[test]
    fn words_tell_whether_a_transaction_is_open() {
        use TransactionControl::{Ends, None, Opens};
        for (sql, expected) in [
            ("BEGIN ISOLATION LEVEL SERIALIZABLE", Opens),
            ("/* app:shop */ begin isolation level repeatable read", Opens),
            ("start transaction;", Opens),
            ("commit -- done", Ends),
            ("commit and chain", Opens),
            ("commit and no chain", Ends),
            ("rollback to savepoint s", None),
            ("rollback transaction to s", None),
            ("ROLLBACK;", Ends),
            ("update beginnings set n = 1", None),
            ("begin; update t set n = 1; commit", Ends),
            ("begin; update t set n = 1", Opens),
            ("savepoint s", None),
            ("select 'commit'", None),
            ("", None),
        ] {
            assert_eq!(transaction_control(sql), expected, "{sql}");
        }
    }
}
