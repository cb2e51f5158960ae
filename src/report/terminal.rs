//! The terminal that a text is made for.

use console::Style;

use super::wrap::WIDTH;

/// The terminal that a text is made for: a text for a file or a pipe has the default width, and no colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminal {
    /// Cells in a line at most. A long word, such as a schedule to be copied, may be longer.
    pub width: usize,
    /// Whether verdicts have colours.
    pub colour: bool,
}

impl Default for Terminal {
    fn default() -> Self {
        Self { width: WIDTH, colour: false }
    }
}

/// A colour of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerdictColour {
    /// As it should be.
    Green,
    /// Broken.
    Red,
    /// Neither.
    Yellow,
}

impl VerdictColour {
    /// A text in this colour.
    #[must_use]
    pub fn paint(self, text: &str) -> String {
        let style = match self {
            Self::Green => Style::new().green(),
            Self::Red => Style::new().red(),
            Self::Yellow => Style::new().yellow(),
        };
        // The caller has decided.
        style.force_styling(true).apply_to(text).to_string()
    }
}
