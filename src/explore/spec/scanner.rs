//! The tokens of a spec.

/// A token, and the line on which it ends.
pub type SpecToken = (Token, usize);

/// See the README of PostgreSQL's `src/test/isolation`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A word that is not quoted: a name, or a keyword.
    Word(String),
    /// A name in double quotes.
    Quoted(String),
    /// The inside of braces, without blanks at its ends. No `}` can be in it.
    Sql(String),
    /// A number without a sign.
    Number(u32),
    /// One of `,()*`.
    Symbol(char),
}

impl std::fmt::Display for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Word(word) => write!(formatter, "{word:?}"),
            Self::Quoted(name) => write!(formatter, "the name {name:?}"),
            Self::Sql(_) => write!(formatter, "SQL in braces"),
            Self::Number(number) => write!(formatter, "{number}"),
            Self::Symbol(symbol) => write!(formatter, "{symbol:?}"),
        }
    }
}

/// Blanks within a line, as isolationtester defines them.
const BLANKS: [char; 4] = [' ', '\t', '\r', '\u{c}'];

/// Splits a spec into tokens.
///
/// # Errors
/// A sentence that names the line.
pub fn tokens(text: &str) -> Result<Vec<SpecToken>, String> {
    let (mut rest, mut line, mut tokens) = (text, 1, Vec::new());
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        let (token, left) = match first {
            '\n' => {
                (line, rest) = (line + 1, after);
                continue;
            }
            '#' => {
                rest = after.find(['\n', '\r']).map_or("", |end| &after[end..]);
                continue;
            }
            blank if BLANKS.contains(&blank) => {
                rest = after;
                continue;
            }
            '"' => quoted(after).ok_or_else(|| format!("line {line}: a quoted name does not end on its line"))?,
            '{' => {
                let end = after.find('}').ok_or_else(|| format!("line {line}: {{ has no }} after it"))?;
                let inside = &after[..end];
                line += inside.matches('\n').count();
                (Token::Sql(inside.trim_matches(BLANKS).to_owned()), &after[end + 1..])
            }
            '0'..='9' => {
                let (digits, left) = split_where(rest, |next| !next.is_ascii_digit());
                let number = digits.parse().map_err(|_| format!("line {line}: {digits} is too large a number"))?;
                (Token::Number(number), left)
            }
            letter if letter.is_ascii_alphabetic() || letter == '_' || !letter.is_ascii() => {
                let in_word = |next: char| next.is_ascii_alphanumeric() || "_$".contains(next) || !next.is_ascii();
                let (word, left) = split_where(rest, |next| !in_word(next));
                (Token::Word(word.to_owned()), left)
            }
            symbol @ (',' | '(' | ')' | '*') => (Token::Symbol(symbol), after),
            other => return Err(format!("line {line}: {other:?} is not expected outside of braces")),
        };
        tokens.push((token, line));
        rest = left;
    }
    Ok(tokens)
}

fn split_where(text: &str, ends: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(ends).unwrap_or(text.len()))
}

/// A name after its opening quote; two quotes in it are one.
fn quoted(text: &str) -> Option<(Token, &str)> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let end = rest.find(['"', '\n'])?;
        name.push_str(&rest[..end]);
        if rest[end..].starts_with('\n') {
            return None;
        }
        rest = &rest[end + 1..];
        let Some(more) = rest.strip_prefix('"') else { return Some((Token::Quoted(name), rest)) };
        name.push('"');
        rest = more;
    }
}
