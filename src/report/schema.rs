//! The JSON schemas in docs/. They are made from the types, so they cannot say anything else.

use schemars::{JsonSchema, SchemaGenerator};

/// The schema of a type, as its file in docs/ holds it.
#[must_use]
pub fn text<T: JsonSchema>() -> String {
    format!("{:#}\n", SchemaGenerator::default().into_root_schema_for::<T>().as_value())
}

/// Whether a value is of the schema of a type; if not, why.
#[cfg(test)]
pub(crate) fn check<T: JsonSchema>(value: &serde_json::Value) -> Result<(), String> {
    let schema = serde_json::from_str(&text::<T>()).unwrap();
    jsonschema::validator_for(&schema).unwrap().validate(value).map_err(|error| error.to_string())
}
