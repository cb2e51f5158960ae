//! Reports: what people and programs read of a run. Every one of them is made of [`Run`] alone, so a run can be reported again,
//! later and elsewhere, from its `run.json`.
//!
//! - [`view`]: which result stands where, and what was found: the same in all of them
//! - [`notes`]: what a reader must know before believing a figure
//! - [`conditions`]: what a run ran under, in words
//! - [`figures`], [`grid`]: numbers and columns as text
//! - [`table`], [`markdown`], [`csv`], [`junit`]: the formats of `--format`
//! - [`html`]: the page, `report.html`
//! - [`compare`]: two runs side by side; [`read`]: a run from its folder
//! - [`threshold`]: what a run must reach
//! - [`schema`]: the JSON schemas in docs/
//!
//! The rule that all of them keep: **what is broken, or claimed to be, is never ranked by its speed** ([`view::is_ranked`]). A wrong
//! answer that comes fast is no merit, and a table that puts it on top invites to choose it.

pub mod compare;
pub mod conditions;
pub mod csv;
pub mod figures;
pub mod grid;
pub mod html;
pub mod junit;
pub mod markdown;
pub mod notes;
pub mod read;
pub mod schema;
pub mod table;
pub mod threshold;
pub mod view;

#[cfg(test)]
pub(crate) mod expected;
#[cfg(test)]
pub(crate) mod sample;

use strum::{Display, EnumString, VariantNames};

use super::results::Run;

/// How a run is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Display, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum RunFormat {
    /// For a terminal.
    #[default]
    Table,
    /// `run.json` itself.
    Json,
    /// One line a round, for a spreadsheet.
    Csv,
    /// For a pull request.
    Markdown,
    /// For a CI server.
    Junit,
}

/// Why a run cannot be printed.
#[derive(Debug, thiserror::Error)]
pub enum RunRenderError {
    /// As JSON.
    #[error("cannot write the run as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// As CSV.
    #[error("cannot write the run as CSV: {0}")]
    Csv(#[from] ::csv::Error),
    /// As JUnit.
    #[error("cannot write the run as JUnit XML: {0}")]
    Junit(#[from] quick_junit::SerializeError),
}

/// The run in this format, ending in a line break.
///
/// # Errors
/// [`RunRenderError`], where a library that writes a format refuses.
pub fn render(format: RunFormat, run: &Run) -> Result<String, RunRenderError> {
    match format {
        RunFormat::Table => Ok(table::render(run)),
        RunFormat::Json => Ok(serde_json::to_string_pretty(run)? + "\n"),
        RunFormat::Csv => Ok(csv::render(run)?),
        RunFormat::Markdown => Ok(markdown::render(run)),
        RunFormat::Junit => Ok(junit::render(run)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_the_run_itself() {
        let run = sample::run();
        let text = render(RunFormat::Json, &run).unwrap();
        assert_eq!(serde_json::from_str::<Run>(&text).unwrap(), run);
    }

    #[test]
    fn every_format_prints_every_kind_of_run() {
        for run in [sample::run(), sample::swept(), sample::hostile(), sample::nothing()] {
            for name in RunFormat::VARIANTS {
                let text = render(name.parse().unwrap(), &run).unwrap();
                assert!(text.ends_with('\n') && !text.contains("NaN"), "{name}: {text}");
            }
        }
    }
}
