//! The frame of a page: one file, offline, without script, light and dark.
//!
//! Its Content-Security-Policy forbids every request and every script. Names and answers of foreign services stand in it as text
//! (maud escapes them), and even if one did not, it could do nothing.

use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The style sheet of every page, beside that of the charts.
pub const STYLE: &str = include_str!("style.css");

/// A page, with a style sheet of its own beside the common ones.
#[must_use]
pub fn document(title: &str, style: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(charts::STYLE)) (PreEscaped(STYLE)) (PreEscaped(style)) }
            }
            body { (body) }
        }
    };
    page.into_string()
}

/// What may be wider than its place: it scrolls there by itself, by keyboard too.
#[must_use]
pub fn wide(name: &str, content: &Markup) -> Markup {
    html! { div.wide tabindex="0" role="region" aria-label=(name) { (content) } }
}

/// A chart with what one must know to read it.
#[must_use]
pub fn figure(title: &str, explanation: &str, chart: &Markup) -> Markup {
    html! { figure { figcaption { h3 { (title) } p.soft { (explanation) } } (chart) } }
}

/// Sentences that a reader must know before anything else.
#[must_use]
pub fn warnings<T: AsRef<str>>(sentences: &[T]) -> Markup {
    html! { @for sentence in sentences { p.warning role="note" { (sentence.as_ref()) } } }
}
