//! The report as JSON, and the JSON schema in docs/ for whoever reads it with another program.

use schemars::schema_for;

use crate::explore::findings::ExploreReport;

/// The report itself.
///
/// # Errors
/// As the serialiser does.
pub fn render(report: &ExploreReport) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string_pretty(report)? + "\n")
}

/// The schema: where it is in the repository, and its text.
#[must_use]
pub fn schema() -> (&'static str, String) {
    ("docs/explore.schema.json", format!("{:#}\n", schema_for!(ExploreReport).as_value()))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::explore::report::sample;
    use crate::lab::reports::expected::expect_file;

    fn is_valid(value: &Value) -> bool {
        let schema = serde_json::from_str(&schema().1).unwrap();
        jsonschema::validator_for(&schema).unwrap().is_valid(value)
    }

    #[test]
    fn the_schema_in_docs_is_that_of_the_types() {
        let (path, text) = schema();
        expect_file(path, &text);
    }

    #[test]
    fn a_report_is_read_as_it_was_written_and_is_of_its_schema() {
        for report in [sample::report(), sample::levels(), sample::hostile(), sample::nothing()] {
            let text = render(&report).unwrap();
            assert_eq!(serde_json::from_str::<ExploreReport>(&text).unwrap(), report);
            assert!(is_valid(&serde_json::from_str(&text).unwrap()), "{text}");
        }
        let mut other = serde_json::to_value(sample::report()).unwrap();
        other["explorations"][0]["verdict"] = "safe".into();
        assert!(!is_valid(&other));
    }
}
