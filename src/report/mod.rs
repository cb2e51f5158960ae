//! What all reports are made with. Nothing here knows a run or an exploration; `lab::reports` and `explore::report` say what is in them.
//!
//! - [`table`]: one table, drawn as text, as Markdown and as HTML; [`mark`]: a verdict in it
//! - [`figures`]: numbers and phrases as text; [`wrap`]: text in lines, by display width
//! - [`printable`]: text from outside that a terminal must not obey; [`input_file`]: files from outside, bounded
//! - [`terminal`]: how wide a text may be, and whether it has colours
//! - [`html`]: the frame of a page; [`markdown`]: text that is no markup
//! - [`junit`]: JUnit XML, as CI servers read it
//! - [`schema`]: the JSON schema of a type; [`read`]: JSON of a known format from a file

pub mod figures;
pub mod html;
pub mod input_file;
pub mod junit;
pub mod mark;
pub mod markdown;
pub mod printable;
pub mod read;
pub mod schema;
pub mod table;
pub mod terminal;
pub mod wrap;

#[cfg(test)]
pub(crate) mod expected;
#[cfg(test)]
pub(crate) mod sample;

use serde::Serialize;

use printable::shown_json;

/// What every report says of an experiment that was stopped early.
pub const INTERRUPTED: &str = "Interrupted: this report covers only what was finished before that.";

/// Why a report cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// As JSON.
    #[error("cannot write the report as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// As CSV.
    #[error("cannot write the report as CSV: {0}")]
    Csv(#[from] csv::Error),
    /// As JUnit.
    #[error("cannot write the report as JUnit XML: {0}")]
    Junit(#[from] quick_junit::SerializeError),
}

/// The data of a report as JSON, ending in a line break. Nothing in it is obeyed by a terminal.
///
/// # Errors
/// [`RenderError::Json`].
pub fn json(report: &impl Serialize) -> Result<String, RenderError> {
    Ok(shown_json(&serde_json::to_string_pretty(report)?).into_owned() + "\n")
}
