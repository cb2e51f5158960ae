//! An operation: what a route does, and how the document says it.

use serde_json::{Map, Value, json};

use super::errors::{self, ErrorCause};
use super::parts::reference;

/// The suffix of the ids of an approach's operations at the root.
const AT_ROOT: &str = "AtRoot";

/// One method of one path.
#[derive(Debug, Clone)]
pub struct ApiOperation {
    /// The method, in lowercase as the document has it.
    pub method: &'static str,
    /// The path, with its parameters in braces.
    pub path: String,
    /// The operation id, which names it in generated clients.
    pub id: String,
    /// The group that a page shows it in.
    pub tag: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Its parameters, by their names in the components.
    pub parameters: Vec<&'static str>,
    /// The request body.
    pub body: Option<Value>,
    /// The status and answer on success.
    pub success: (u16, Value),
    /// The errors that it may answer.
    pub causes: Vec<ErrorCause>,
    /// Operations that continue from its answer.
    pub links: &'static [ApiLink],
}

/// A link to an operation that continues from another one's answer.
#[derive(Debug, Clone, Copy)]
pub struct ApiLink {
    /// The operation.
    pub operation: &'static str,
    /// Its parameter, in addition to the approach.
    pub parameter: &'static str,
    /// The expression that gives the parameter's value.
    pub value: &'static str,
}

impl ApiOperation {
    /// An operation that takes nothing and is answered with 200.
    pub fn new(
        method: &'static str,
        path: &str,
        id: &str,
        tag: &'static str,
        summary: &'static str,
        done: Value,
    ) -> Self {
        Self {
            method,
            path: path.to_owned(),
            id: id.to_owned(),
            tag,
            summary,
            parameters: Vec::new(),
            body: None,
            success: (200, done),
            causes: Vec::new(),
            links: &[],
        }
    }

    /// The operation under the prefix of every approach.
    pub fn under_approach(&self) -> Self {
        let mut operation = self.clone();
        operation.path.insert_str(0, "/approach/{approach}");
        operation.parameters.insert(0, "approach");
        operation.causes.push(errors::unknown_approach());
        operation.link("", &json!({ "approach": "$request.path.approach" }));
        operation
    }

    /// The operation at the root, of the approach of `serve --root-approach`.
    pub fn at_root(&self) -> Self {
        let mut operation = self.clone();
        operation.id.push_str(AT_ROOT);
        operation.link(AT_ROOT, &json!({}));
        operation
    }

    fn link(&mut self, suffix: &str, parameters: &Value) {
        for ApiLink { operation, parameter, value } in self.links {
            let mut parameters = parameters.clone();
            parameters[parameter] = json!(value);
            let link = json!({ "operationId": format!("{operation}{suffix}"), "parameters": parameters });
            self.success.1["links"][operation] = link;
        }
    }

    /// The operation as the document has it.
    pub fn described(&self) -> Value {
        let mut described = json!({
            "operationId": self.id,
            "tags": [self.tag],
            "summary": self.summary,
            "parameters": self.parameters.iter().map(|name| reference("parameters", name)).collect::<Vec<_>>(),
        });
        if let Some(body) = &self.body {
            described["requestBody"] = body.clone();
        }
        let (status, success) = &self.success;
        let mut responses = Map::new();
        responses.insert(status.to_string(), success.clone());
        responses.extend(errors::responses(&self.causes));
        described["responses"] = responses.into();
        described
    }
}

/// A JSON body with this schema, of which one example is shown.
pub fn json_body(schema: &Value, example: &Value) -> Value {
    json!({ "required": true, "content": { "application/json": { "schema": schema, "example": example } } })
}

/// An answer with a body of one of the shared schemas, the headers that every answer has, and these.
pub fn answered(description: &str, headers: &[&str], schema: &str, example: &Value) -> Value {
    let mut response = empty(description, headers);
    let examples = json!({ "done": { "value": example } });
    response["content"]["application/json"] = json!({ "schema": reference("schemas", schema), "examples": examples });
    response
}

/// An answer without a body.
pub fn empty(description: &str, headers: &[&str]) -> Value {
    json!({ "description": description, "headers": with_those_of_every_answer(headers) })
}

/// An answer for which no example is shown, of one of these media types.
pub fn shown(description: &str, media_types: &[&str]) -> Value {
    let mut response = empty(description, &[]);
    for media_type in media_types {
        response["content"][media_type] = json!({ "schema": {} });
    }
    response
}

/// Headers by name, each a reference to the shared one.
pub fn with_those_of_every_answer(headers: &[&str]) -> Map<String, Value> {
    ["x-request-id", "Lab-Attempts"]
        .iter()
        .chain(headers)
        .map(|name| ((*name).to_owned(), reference("headers", name)))
        .collect()
}
