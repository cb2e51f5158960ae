//! A comparison as a section of a page.

use maud::{Markup, html};

use super::super::figures::NONE;
use super::super::html::{class, symbol, wide};
use super::text::{FIGURES, KEY, cell};
use super::{ApproachPair, Comparison};

impl Comparison {
    /// As tables for a page.
    #[must_use]
    pub fn to_html(&self) -> Markup {
        let [a, b] = &self.origins;
        let notes = self.notes();
        html! {
            p { (self.summary) }
            p { "A: " (a) br; "B: " (b) }
            @if !notes.is_empty() {
                h2 { "What is not the same" }
                ul { @for note in notes { li { (note) } } }
            }
            h2 { "B beside A" }
            (wide("B beside A", &html! {
                table {
                    thead {
                        tr {
                            th scope="col" { "verdict in B" }
                            th.name scope="col" { "approach" }
                            @for head in FIGURES { th.figure scope="col" { (head) } }
                        }
                    }
                    tbody { @for pair in &self.pairs { (row(pair)) } }
                }
            }))
            p.soft { (KEY) }
        }
    }
}

fn row(pair: &ApproachPair) -> Markup {
    html! {
        tr {
            td { span class=(class(pair.verdict)) { (symbol(pair.verdict)) " " (pair.verdict) } }
            th.name scope="row" { (pair.name) }
            @if pair.ratios.is_empty() {
                td.soft colspan=(FIGURES.len()) { "not compared" }
            } @else {
                @for (_, ratio) in &pair.ratios {
                    td.figure { (ratio.as_ref().map_or(NONE.to_owned(), cell)) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::sample;
    use super::super::compare;

    #[test]
    fn it_says_what_the_text_says_and_escapes_it() {
        let page = compare(&sample::run(), &sample::run()).unwrap().to_html().into_string();
        for said in ["✗ BROKEN", "not compared", "group-commit", "= (", "withdrawal"] {
            assert!(page.contains(said), "{said}: {page}");
        }
        let hostile = compare(&sample::hostile(), &sample::hostile()).unwrap().to_html().into_string();
        assert!(!hostile.contains("<script"), "{hostile}");
    }
}
