//! The chapter of an approach: the module documentation of its file, shown on its page. So the text exists once, beside the code that it describes.
//!
//! It is Markdown with the links of rustdoc. A link to another approach becomes a link to its page; any other link is shown as code, because no page
//! shows the code. HTML in it is shown as text.

use maud::{Markup, PreEscaped, html};
use pulldown_cmark::{BrokenLink, CodeBlockKind, CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::links;
use crate::strategy::Approach;

/// The address of links that have no page. The parser needs one; it is removed before the page is made.
const CODE_ONLY: &str = "code-only:";

/// The chapter in the source text of a strategy's file.
#[must_use]
pub fn chapter(source: &str) -> Markup {
    let markdown = documentation(source);
    let mut resolve = |link: BrokenLink<'_>| {
        let address = address(&link.reference).map_or(CowStr::Borrowed(CODE_ONLY), CowStr::from);
        link.reference.starts_with('`').then_some((address, CowStr::Borrowed("")))
    };
    let parser = Parser::new_with_broken_link_callback(&markdown, Options::ENABLE_TABLES, Some(&mut resolve));
    let mut events = Vec::new();
    // The language and text of the code block that is being read.
    let mut block: Option<(String, String)> = None;
    let mut linked = Vec::new();
    for event in parser {
        match (event, &mut block) {
            (Event::Start(Tag::CodeBlock(kind)), _) => block = Some((language(&kind), String::new())),
            (Event::Text(text), Some((_, code))) => code.push_str(&text),
            (Event::End(TagEnd::CodeBlock), _) => {
                let (language, code) = block.take().unwrap_or_default();
                events.push(Event::Html(pre(&language, &code).into_string().into()));
            }
            (Event::Start(Tag::Heading { level, id, classes, attrs }), _) => {
                events.push(Event::Start(Tag::Heading { level: below(level), id, classes, attrs }));
            }
            (Event::End(TagEnd::Heading(level)), _) => events.push(Event::End(TagEnd::Heading(below(level)))),
            (Event::Html(text) | Event::InlineHtml(text), _) => events.push(Event::Text(text)),
            (Event::Start(Tag::Link { link_type, dest_url, title, id }), _) => {
                let has_page = &*dest_url != CODE_ONLY;
                linked.push(has_page);
                if has_page {
                    events.push(Event::Start(Tag::Link { link_type, dest_url, title, id }));
                }
            }
            (Event::End(TagEnd::Link), _) => {
                if linked.pop() == Some(true) {
                    events.push(Event::End(TagEnd::Link));
                }
            }
            // The code writes `super::pessimistic`; the page shows the approach's name.
            (Event::Code(text), _) if linked.last().is_some() => {
                let name = text.trim_start_matches("crate::").trim_start_matches("super::").to_owned();
                let name = approach(&text).map_or(name, |approach| approach.name().to_owned());
                events.push(Event::Code(name.into()));
            }
            (event, _) => events.push(event),
        }
    }
    let mut page = String::new();
    pulldown_cmark::html::push_html(&mut page, events.into_iter());
    html! { (PreEscaped(page)) }
}

/// The lines of `//!`, without the marker.
fn documentation(source: &str) -> String {
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

fn pre(language: &str, code: &str) -> Markup {
    let name = if language == "sql" { "SQL" } else { "Diagram" };
    html! { pre tabindex="0" role="group" aria-label=(name) { code { (code) } } }
}

fn language(kind: &CodeBlockKind<'_>) -> String {
    match kind {
        CodeBlockKind::Fenced(language) => language.to_string(),
        CodeBlockKind::Indented => String::new(),
    }
}

/// One level lower: the page has a heading of its own above them.
fn below(level: HeadingLevel) -> HeadingLevel {
    match level {
        HeadingLevel::H1 => HeadingLevel::H2,
        HeadingLevel::H2 => HeadingLevel::H3,
        HeadingLevel::H3 => HeadingLevel::H4,
        HeadingLevel::H4 => HeadingLevel::H5,
        HeadingLevel::H5 | HeadingLevel::H6 => HeadingLevel::H6,
    }
}

/// The page of a rustdoc link, if it links to an approach.
fn address(reference: &str) -> Option<String> {
    Some(links::approach(approach(reference.trim_matches('`'))?))
}

fn approach(path: &str) -> Option<Approach> {
    Approach::find(&path.strip_prefix("super::")?.replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator as _;

    use super::*;

    fn of(lines: &str) -> String {
        let source = lines.lines().map(|line| format!("//! {line}")).collect::<Vec<_>>().join("\n");
        chapter(&format!("{source}\n\nuse nothing::at_all; //! not this\n")).into_string()
    }

    #[test]
    fn html_is_shown_as_text() {
        let page = of("A <script>alert(1)</script> & <b onclick=\"x\">bold</b>.\n\n<div style=\"x\">\n</div>");
        assert!(!page.contains("<script") && !page.contains("<b ") && !page.contains("<div"), "{page}");
        assert!(page.contains("&lt;script&gt;alert(1)"), "{page}");
        assert!(!page.contains("nothing"), "{page}");
    }

    #[test]
    fn headings_are_below_the_pages_own() {
        assert_eq!(of("# one\n\n## two"), "<h2>one</h2>\n<h3>two</h3>\n");
    }

    #[test]
    fn code_blocks_can_be_scrolled_and_are_text() {
        let page = of("```text\n  A → <b>\n\n  B\n```");
        let expected =
            "<pre tabindex=\"0\" role=\"group\" aria-label=\"Diagram\"><code>  A → &lt;b&gt;\n\n  B\n</code></pre>";
        assert_eq!(page, expected);
    }

    #[test]
    fn links_of_rustdoc_lead_to_approaches_or_become_code() {
        let table = [
            (
                "see [`super::read_committed`].",
                "<p>see <a href=\"/lab/approaches/read-committed\"><code>read-committed</code></a>.</p>\n",
            ),
            ("see [`domain::state`].", "<p>see <code>domain::state</code>.</p>\n"),
            ("an array[1] and [brackets]", "<p>an array[1] and [brackets]</p>\n"),
        ];
        for (text, expected) in table {
            assert_eq!(of(text), expected);
        }
    }

    #[test]
    fn every_approach_has_a_chapter() {
        for approach in Approach::iter() {
            let page = chapter(approach.info().source).into_string();
            assert!(page.starts_with(&format!("<h2>{approach}: ")), "{approach}: {page}");
            for part in ["<strong>Idea.</strong>", "<strong>Guarantee.</strong>", "<strong>Cost.</strong>"] {
                assert!(page.contains(part), "{approach}: {part}");
            }
            assert!(!page.contains(CODE_ONLY) && !page.contains("[<code>"), "{approach}: {page}");
        }
    }
}
