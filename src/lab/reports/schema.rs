//! The JSON schemas of what the lab writes, for whoever reads it with another program. They are made from the types, so
//! they cannot tell anything else; docs/ holds them, and a test that they are those of today.

use schemars::schema_for;

use crate::lab::results::Run;
use referee::history::lines::HistoryLine;

/// The schemas: where they are in the repository, and their text.
#[must_use]
pub fn schemas() -> [(&'static str, String); 2] {
    let text = |schema: schemars::Schema| format!("{:#}\n", schema.as_value());
    [("docs/run.schema.json", text(schema_for!(Run))), ("docs/history.schema.json", text(schema_for!(HistoryLine)))]
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::lab::reports::expected::expect_file;
    use crate::lab::reports::sample;
    use referee::history::file::{HistoryReader, write};

    fn is_valid(schema: usize, value: &Value) -> Result<(), String> {
        let schema = serde_json::from_str(&schemas()[schema].1).unwrap();
        jsonschema::validator_for(&schema).unwrap().validate(value).map_err(|error| error.to_string())
    }

    #[test]
    fn the_schemas_in_docs_are_those_of_the_types() {
        for (path, schema) in schemas() {
            expect_file(path, &schema);
        }
    }

    #[test]
    fn a_run_is_of_its_schema_and_another_object_is_not() {
        for run in [sample::run(), sample::swept(), sample::hostile(), sample::nothing()] {
            assert_eq!(is_valid(0, &serde_json::to_value(run).unwrap()), Ok(()));
        }
        let mut run = serde_json::to_value(sample::run()).unwrap();
        run["results"][0]["verdict"] = "fast".into();
        assert!(is_valid(0, &run).is_err());
    }

    /// The examples of docs/HISTORY.md: the lines of its blocks that are marked as `jsonl`.
    fn examples() -> Vec<String> {
        let page = include_str!("../../../docs/HISTORY.md");
        let blocks = page.split("```jsonl\n").skip(1).filter_map(|rest| rest.split("```").next());
        blocks.flat_map(str::lines).map(str::to_owned).collect()
    }

    #[test]
    fn the_examples_of_the_documentation_are_histories() {
        let lines = examples();
        for line in &lines {
            assert_eq!(is_valid(1, &serde_json::from_str(line).unwrap()), Ok(()), "{line}");
        }
        let text = lines.join("\n") + "\n";
        let mut reader = HistoryReader::new(text.as_bytes());
        let mut scenarios = Vec::new();
        while let Some(read) = reader.next_round().unwrap() {
            assert!(read.finished);
            let mut again = Vec::new();
            write(&mut again, &read.history).unwrap();
            for line in String::from_utf8(again).unwrap().lines() {
                assert_eq!(is_valid(1, &serde_json::from_str(line).unwrap()), Ok(()), "{line}");
            }
            scenarios.push(read.history.title.scenario);
        }
        assert_eq!(scenarios, ["withdrawal", "transfer", "booking", "counter"]);
    }

    #[test]
    fn a_line_of_something_else_is_not_of_the_schema() {
        for line in [r#"{"begin":{}}"#, r#"{"id":1}"#, r#"{"end":{"operations":-1,"rows":null}}"#] {
            assert!(is_valid(1, &serde_json::from_str(line).unwrap()).is_err(), "{line}");
        }
    }
}
