//! Reports: what people and programs read of an exploration. Each is made of [`ExploreReport`] alone. How tables and pages are drawn is in
//! [`report`](crate::report).
//!
//! - [`view`]: what is said of it in a few words, the same in all of them
//! - [`timeline_events`]: a transcript in the order in which it is told; [`sql`]: a statement as it is read
//! - [`timeline`]: one interleaving as a text
//! - [`table`], [`junit`]: the formats of `--format`; [`witnesses`]: those of `--replay-from`; [`matrix`]: verdicts in two dimensions
//! - [`html`]: the page

pub mod html;
pub mod junit;
pub mod matrix;
pub mod sql;
pub mod table;
pub mod timeline;
pub mod timeline_events;
pub mod view;
pub mod witnesses;

#[cfg(test)]
pub(crate) mod sample;

use strum::{Display, EnumString, VariantNames};

use super::findings::{ExploreReport, FORMAT};
use crate::report::RenderError;
use crate::report::read::{ForeignFile, parsed};
use crate::report::terminal::Terminal;

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

/// The report in this format, ending in a line break. A table is as wide as the terminal.
///
/// # Errors
/// [`RenderError`], where a library that writes a format refuses.
pub fn render(format: ExploreFormat, report: &ExploreReport, terminal: Terminal) -> Result<String, RenderError> {
    match format {
        ExploreFormat::Table => Ok(table::render(report, terminal)),
        ExploreFormat::Json => crate::report::json(report),
        ExploreFormat::Junit => junit::render(report),
    }
}

/// An exploration from its JSON.
///
/// # Errors
/// [`ForeignFile`].
pub fn read(text: &[u8]) -> Result<ExploreReport, ForeignFile> {
    parsed(text, "an exploration", FORMAT)
}

/// The JSON schema: where it is in the repository, and its text.
#[must_use]
pub fn schema() -> (&'static str, String) {
    ("docs/explore.schema.json", crate::report::schema::text::<ExploreReport>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::expected::expect_file;
    use crate::report::sample::{expect_harmless, expect_offline};
    use crate::report::schema::check;

    #[test]
    fn every_format_prints_every_kind_of_report() {
        for report in [sample::report(), sample::levels(), sample::hostile(), sample::nothing()] {
            for name in ExploreFormat::VARIANTS {
                expect_harmless(name, &render(name.parse().unwrap(), &report, Terminal::default()).unwrap());
            }
            expect_offline(&html::page(&report));
        }
    }

    #[test]
    fn a_report_is_read_as_it_was_written_and_is_of_its_schema() {
        let (path, text) = schema();
        expect_file(path, &text);
        for report in [sample::report(), sample::levels(), sample::hostile(), sample::nothing()] {
            let text = crate::report::json(&report).unwrap();
            assert_eq!(read(text.as_bytes()).unwrap(), report);
            assert_eq!(check::<ExploreReport>(&serde_json::from_str(&text).unwrap()), Ok(()));
        }
        let mut other = serde_json::to_value(sample::report()).unwrap();
        other["explorations"][0]["verdict"] = "safe".into();
        assert!(check::<ExploreReport>(&other).is_err());
    }
}
