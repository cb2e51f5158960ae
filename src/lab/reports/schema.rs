//! The JSON schemas of what the lab writes, for programs of other languages. docs/ holds them, and a test compares them with the types.

use crate::lab::results::Run;
use crate::report::schema::text;
use referee::history::lines::HistoryLine;

/// The schemas: where they are in the repository, and their text.
#[must_use]
pub fn schemas() -> [(&'static str, String); 2] {
    [("docs/run.schema.json", text::<Run>()), ("docs/history.schema.json", text::<HistoryLine>())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::reports::sample;
    use crate::report::expected::expect_file;
    use crate::report::schema::check;
    use referee::history::file::{HistoryReader, write};

    #[test]
    fn the_schemas_in_docs_are_those_of_the_types() {
        for (path, schema) in schemas() {
            expect_file(path, &schema);
        }
    }

    #[test]
    fn a_run_is_of_its_schema_and_another_object_is_not() {
        for run in [sample::run(), sample::swept(), sample::hostile(), sample::nothing()] {
            assert_eq!(check::<Run>(&serde_json::to_value(run).unwrap()), Ok(()));
        }
        let mut run = serde_json::to_value(sample::run()).unwrap();
        run["results"][0]["verdict"] = "fast".into();
        assert!(check::<Run>(&run).is_err());
    }

    fn check_line(line: &str) -> Result<(), String> {
        check::<HistoryLine>(&serde_json::from_str(line).unwrap())
    }

    /// The examples of docs/HISTORY.md: the lines of its blocks that are marked as `jsonl`.
    #[test]
    fn the_examples_of_the_documentation_are_histories() {
        let page = include_str!("../../../docs/HISTORY.md");
        let blocks = page.split("```jsonl\n").skip(1).filter_map(|rest| rest.split("```").next());
        let lines: Vec<&str> = blocks.flat_map(str::lines).collect();
        for line in &lines {
            assert_eq!(check_line(line), Ok(()), "{line}");
        }
        let text = lines.join("\n") + "\n";
        let mut reader = HistoryReader::new(text.as_bytes());
        let mut scenarios = Vec::new();
        while let Some(read) = reader.next_round().unwrap() {
            assert!(read.finished);
            let mut again = Vec::new();
            write(&mut again, &read.history).unwrap();
            for line in String::from_utf8(again).unwrap().lines() {
                assert_eq!(check_line(line), Ok(()), "{line}");
            }
            scenarios.push(read.history.title.scenario);
        }
        assert_eq!(scenarios, ["withdrawal", "transfer", "booking", "counter"]);
    }

    #[test]
    fn a_line_of_something_else_is_not_of_the_schema() {
        for line in [r#"{"begin":{}}"#, r#"{"id":1}"#, r#"{"end":{"operations":-1,"rows":null}}"#] {
            assert!(check_line(line).is_err(), "{line}");
        }
    }
}
