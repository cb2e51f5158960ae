//! Reports: what people and programs read of an exploration. Every one of them is made of [`ExploreReport`] alone.
//!
//! - [`view`]: what is said of it in a few words, the same in all of them
//! - [`timeline_events`]: a transcript in the order in which it is told; [`sql`]: a statement as it is read
//! - [`timeline`]: one interleaving as a text; [`wrap`]: text in narrow columns
//! - [`table`], [`json`], [`junit`]: the formats of `--format`; [`matrix`]: verdicts in two dimensions
//! - [`html`]: the page

pub mod html;
pub mod json;
pub mod junit;
pub mod matrix;
pub mod sql;
pub mod table;
pub mod timeline;
pub mod timeline_events;
pub mod view;
pub mod wrap;

#[cfg(test)]
pub(crate) mod sample;

use strum::{Display, EnumString, VariantNames};

use super::findings::ExploreReport;

/// How a report is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Display, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum ExploreFormat {
    /// For a terminal.
    #[default]
    Table,
    /// Everything, for programs.
    Json,
    /// For a CI server.
    Junit,
}

/// Why a report cannot be printed.
#[derive(Debug, thiserror::Error)]
pub enum ExploreRenderError {
    /// As JSON.
    #[error("cannot write the report as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// As JUnit.
    #[error("cannot write the report as JUnit XML: {0}")]
    Junit(#[from] quick_junit::SerializeError),
}

/// The report in this format, ending in a line break.
///
/// # Errors
/// [`ExploreRenderError`], where a library that writes a format refuses.
pub fn render(format: ExploreFormat, report: &ExploreReport) -> Result<String, ExploreRenderError> {
    match format {
        ExploreFormat::Table => Ok(table::render(report)),
        ExploreFormat::Json => Ok(json::render(report)?),
        ExploreFormat::Junit => Ok(junit::render(report)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_prints_every_kind_of_report() {
        for report in [sample::report(), sample::levels(), sample::hostile(), sample::nothing()] {
            for name in ExploreFormat::VARIANTS {
                let text = render(name.parse().unwrap(), &report).unwrap();
                assert!(text.ends_with('\n') && !text.contains("NaN"), "{name}: {text}");
            }
        }
    }
}
