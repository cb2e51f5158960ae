//! A verdict as it is shown: a sign beside the colour, so that it is read without colours too.

use maud::{Markup, html};

use super::terminal::VerdictColour;

/// How a verdict looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// A sign beside the colour.
    pub symbol: &'static str,
    /// The classes of the style sheet.
    pub class: &'static str,
    /// The verdict contradicts the claim, which is said beside it.
    pub contradicts: bool,
}

impl Mark {
    /// As it should be.
    pub const GOOD: Self = Self::new("✓", "verdict good");
    /// Broken.
    pub const BAD: Self = Self::new("✗", "verdict bad");
    /// Broken against the claim.
    pub const FAILED: Self = Self::new("✗", "verdict failed");
    /// Nothing was shown, for this or that reason.
    pub const HELD: Self = Self::new("○", "verdict open");
    /// Something could not be decided.
    pub const UNDECIDED: Self = Self::new("?", "verdict open");
    /// There is nothing to judge by.
    pub const EMPTY: Self = Self::new("∅", "verdict open");

    const fn new(symbol: &'static str, class: &'static str) -> Self {
        Self { symbol, class, contradicts: false }
    }

    /// Its colour on a terminal.
    #[must_use]
    pub fn colour(self) -> VerdictColour {
        match self.class {
            class if class == Self::GOOD.class => VerdictColour::Green,
            class if class == Self::BAD.class || class == Self::FAILED.class => VerdictColour::Red,
            _ => VerdictColour::Yellow,
        }
    }

    /// A text with this mark.
    #[must_use]
    pub fn html(self, text: &str) -> Markup {
        html! {
            span class=(self.class) { (self.symbol) " " (text) }
            @if self.contradicts { " " span.verdict.failed { "CLAIM FAILED" } }
        }
    }

    /// A text with this mark on a terminal, where only the contradiction has a sign.
    #[must_use]
    pub fn text(self, text: &str) -> String {
        if self.contradicts { format!("{text} !") } else { text.to_owned() }
    }
}

/// How many of which verdict, in this order; those that do not occur are left out.
#[must_use]
pub fn verdict_counts(counts: &[(Mark, usize, String)]) -> Markup {
    html! {
        @for (mark, count, name) in counts.iter().filter(|(_, count, _)| *count > 0) { (mark.html(&format!("{count} {name}"))) " " }
    }
}
