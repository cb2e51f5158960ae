//! Text from outside, made printable. A terminal obeys control characters; a text that a file, a service or PostgreSQL wrote must not
//! move the cursor, hide a line or change the title of a window.
//!
//! [`shown`] is the last step of everything that the commands print. Reports make single texts [`printable`] before, because a text in a cell
//! has no line breaks of its own.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The sequences by which a terminal changes the colour of what follows: red, green, yellow, and as before.
const COLOURS: &[&str] = &["\u{1b}[31m", "\u{1b}[32m", "\u{1b}[33m", "\u{1b}[0m"];

/// The text with its control characters shown, not obeyed. Line breaks and tabs stay.
#[must_use]
pub fn shown(text: &str) -> Cow<'_, str> {
    shown_except(text, None)
}

/// The same, but one more character stays.
#[must_use]
pub fn shown_except(text: &str, kept: Option<char>) -> Cow<'_, str> {
    replaced(text, |letter| is_active(letter) && letter != '\n' && letter != '\t' && Some(letter) != kept)
}

/// The same, but the colours of verdicts stay. Text from outside can have them too, and at worst changes its own colour.
#[must_use]
pub fn shown_with_colours(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('\u{1b}') {
        let colour = COLOURS.iter().find(|colour| rest[start..].starts_with(**colour));
        let end = start + colour.map_or(1, |colour| colour.len());
        safe += &shown(&rest[..start]);
        match colour {
            Some(colour) => safe += colour,
            None => safe += &shown(&rest[start..end]),
        }
        rest = &rest[end..];
    }
    safe + &shown(rest)
}

/// Text from outside within a line: all control characters are shown, not obeyed, also line breaks.
#[must_use]
pub fn printable(text: &str) -> String {
    replaced(text, is_active).into_owned()
}

fn replaced(text: &str, active: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&active) {
        return text.into();
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if active(letter) { safe.extend(letter.escape_default()) } else { safe.push(letter) }
    }
    safe.into()
}

/// Control characters, and the characters that change the direction or the lines of what follows.
fn is_active(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// JSON in which no text has such a character. JSON itself escapes only those below U+0020.
#[must_use]
pub fn shown_json(json: &str) -> Cow<'_, str> {
    let active = |letter: char| is_active(letter) && letter >= ' ';
    if !json.contains(active) {
        return json.into();
    }
    let mut safe = String::with_capacity(json.len() + 16);
    for letter in json.chars() {
        // All of them have one UTF-16 unit. Writing to a String cannot fail.
        let _ = if active(letter) { write!(safe, "\\u{:04x}", u32::from(letter)) } else { safe.write_char(letter) };
    }
    safe.into()
}

/// The first characters of a text, and a sign if there are more.
#[must_use]
pub fn beginning(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a terminal may obey: escape sequences of 7 and 8 bits, a bell, a carriage return, a direction.
    const HOSTILE: &str = "a\u{1b}[31mb\rc\u{9b}2Jd\u{7}\u{7f}e\u{202e}f\n\tg";

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\nc"), "a\\u{1b}[31mb\\nc");
        assert_eq!(shown(HOSTILE), "a\\u{1b}[31mb\\rc\\u{9b}2Jd\\u{7}\\u{7f}e\\u{202e}f\n\tg");
        assert!(matches!(shown("ordinary: ä, 予約, ✔\n"), Cow::Borrowed(_)));
        assert_eq!(shown(&shown(HOSTILE)), shown(HOSTILE), "a second time changes nothing");
    }

    #[test]
    fn only_colours_are_obeyed_where_they_are_wanted() {
        let verdict = "\u{1b}[32mproved\u{1b}[0m";
        assert_eq!(shown_with_colours(&format!("\u{9b}2J{verdict}\u{1b}")), format!("\\u{{9b}}2J{verdict}\\u{{1b}}"));
        assert_eq!(shown_with_colours("a\u{1b}[5mb\u{1b}]0;c"), "a\\u{1b}[5mb\\u{1b}]0;c");
    }

    #[test]
    fn json_stays_the_same_value() {
        let json = serde_json::to_string_pretty(&[HOSTILE, "ä"]).unwrap();
        let safe = shown_json(&json);
        assert_eq!(safe, shown(&safe), "nothing is left to show: {safe}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&safe).unwrap(), [HOSTILE, "ä"]);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!((beginning("äöü", 3), beginning("äöü", 2)), ("äöü".to_owned(), "äö…".to_owned()));
    }
}
