//! Text in Markdown.

use super::printable::printable;

/// Text from elsewhere is text, and no markup.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in printable(text).chars() {
        match letter {
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '#' | '~' | '@' | '!' => out.extend(['\\', letter]),
            _ => out.push(letter),
        }
    }
    out
}
