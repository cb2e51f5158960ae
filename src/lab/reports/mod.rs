//! Reports: what people and programs read of a run. Each is made of [`Run`] alone, so a run can be reported again, later and elsewhere,
//! from its `run.json`. How tables and pages are drawn is in [`report`](crate::report).
//!
//! - [`view`]: which result stands where, and what was found: the same in all of them
//! - [`notes`]: what a reader must know before believing a figure
//! - [`conditions`]: what a run ran under, in words; [`figures`]: figures of an approach over its rounds
//! - [`table`], [`csv`], [`junit`]: the formats of `--format`; [`html`]: the page, `report.html`
//! - [`compare`]: two runs side by side; [`read`]: a run from its folder
//! - [`threshold`]: what a run must reach
//! - [`schema`]: the JSON schemas in docs/
//!
//! The rule that all of them keep: **what is broken, or claimed to be, is never ranked by its speed** ([`view::is_ranked`]). A wrong
//! answer that comes fast has no value, and a table that puts it on top invites the reader to choose it.

pub mod compare;
pub mod conditions;
pub mod csv;
pub mod figures;
pub mod html;
pub mod junit;
pub mod notes;
pub mod read;
pub mod schema;
pub mod table;
pub mod threshold;
pub mod view;

#[cfg(test)]
pub(crate) mod sample;

use strum::{Display, EnumString, VariantNames};

use super::results::Run;
use crate::report::{RenderError, json};

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

/// The run in this format, ending in a line break.
///
/// # Errors
/// [`RenderError`], where a library that writes a format refuses.
pub fn render(format: RunFormat, run: &Run) -> Result<String, RenderError> {
    match format {
        RunFormat::Table => Ok(table::text(run)),
        RunFormat::Json => json(run),
        RunFormat::Csv => csv::render(run),
        RunFormat::Markdown => Ok(table::markdown(run)),
        RunFormat::Junit => junit::render(run),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::{expect_harmless, expect_offline};

    #[test]
    fn every_format_prints_every_kind_of_run() {
        for run in [sample::run(), sample::swept(), sample::hostile(), sample::nothing()] {
            for name in RunFormat::VARIANTS {
                expect_harmless(name, &render(name.parse().unwrap(), &run).unwrap());
            }
            expect_offline(&html::page(&run));
            assert_eq!(serde_json::from_str::<Run>(&json(&run).unwrap()).unwrap(), run);
        }
    }
}
