//! For the tests of all reports: experiments whose texts are out to break every format, and what no format may then contain.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::wrap::{WIDTH, display_width};

/// A text that means something in every format: HTML, Markdown, CSV, XML, and on a terminal.
pub const NASTY: &str = "<script>alert(1)</script> | `x` \u{1b}[31m, \"q\" ]]> & =1+1\n# head";

/// The same experiment with that text in every field of these names: behind a text, instead of nothing, and in every list.
pub fn hostile<T: Serialize + DeserializeOwned>(experiment: &T, fields: &[&str]) -> T {
    let mut json = serde_json::to_value(experiment).unwrap();
    spoil(&mut json, fields, false);
    serde_json::from_value(json).unwrap()
}

fn spoil(value: &mut Value, fields: &[&str], spoilt: bool) {
    match value {
        Value::Null if spoilt => *value = NASTY.into(),
        Value::String(text) if spoilt => text.insert_str(0, NASTY),
        Value::Array(list) => {
            for value in &mut *list {
                spoil(value, fields, spoilt);
            }
            list.extend(spoilt.then(|| NASTY.into()));
        }
        Value::Object(object) => {
            object.iter_mut().for_each(|(name, value)| spoil(value, fields, fields.contains(&name.as_str())));
        }
        _ => {}
    }
}

/// Fails if a report has a figure that is none, or, in a format that knows it, a text that steers what shows it.
pub fn expect_harmless(format: &str, text: &str) {
    assert!(text.ends_with('\n') && !text.contains("NaN"), "{format}: {text}");
    assert!(format == "csv" || !text.contains('\u{1b}'), "{format}: {text}");
    if matches!(format, "markdown" | "junit") {
        assert!(!text.contains("<script"), "{format}: {text}");
    }
    if format == "markdown" {
        assert!(!text.contains("\n# head"), "{format}: {text}");
    }
}

/// Fails if a line is too long for a terminal, unless it has a word that must be copied in one piece.
pub fn expect_narrow(text: &str) {
    for line in text.lines() {
        assert!(display_width(line) <= WIDTH || line.contains("--"), "{line}");
    }
}

/// Fails if a page loads or runs anything, or has a figure that is none.
pub fn expect_offline(page: &str) {
    assert!(page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'\""));
    let urls = page.replace("http://www.w3.org/2000/svg", "");
    for forbidden in ["<script", "http:", "https:", " src=", "@import", "javascript:", " onload"] {
        assert!(!urls.contains(forbidden), "{forbidden}");
    }
    for wrong in ["NaN", "inf\"", "inf<"] {
        assert!(!page.contains(wrong), "{wrong}");
    }
}
