//! `GET /openapi.json`: the interface described for programs, in OpenAPI 3.1.
//!
//! An approach's routes are described once, and stand in the document twice: with the approach in the path, and at the root.
//! What an error says is not written down here: the code that answers it is asked ([`errors`]). That the document and
//! the router have the same paths is tested below; that they have the same methods, and that the server answers what
//! the examples say, over HTTP (`tests/api/openapi.rs`); that it answers nothing else, with generated requests
//! (`tests/program/fuzz.rs`).
//!
//! - [`approach`], [`root`]: the operations, by route
//! - [`operation`]: what an operation is, and how it is written
//! - [`errors`]: what can go wrong, with examples
//! - [`parts`]: parameters, headers and schemas that operations share

mod approach;
mod errors;
mod operation;
mod parts;
mod root;

use std::sync::LazyLock;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use serde_json::{Map, Value, json};

use operation::ApiOperation;

/// Where the document is.
pub const PATH: &str = "/openapi.json";

/// The document depends on nothing that a server is told.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(described().to_string()));

/// `GET /openapi.json`.
pub async fn document() -> Response {
    let mut response = Response::new(Body::from(DOCUMENT.clone()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn described() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "concurrency-lab",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT OR Apache-2.0", "identifier": env!("CARGO_PKG_LICENSE") },
            "description": "Every way of guarding a read-decide-write against concurrency, behind the same routes: under \
                `/approach/{approach}`, and at the root for the approach of `serve --root-approach`. Errors are \
                `{\"error\":\"…\"}`, or a problem document (RFC 9457) for `Accept: application/problem+json`.",
        },
        "tags": [
            { "name": "balance", "description": "One user's balance." },
            { "name": "transfer", "description": "Two users' balances at once." },
            { "name": "booking", "description": "Seats of an event." },
            { "name": "counter", "description": "A counter." },
            { "name": "data", "description": "All data, back to a seed." },
            { "name": "catalogue", "description": "Which approaches there are." },
            { "name": "server", "description": "The server itself, and its documentation." },
        ],
        "paths": paths(),
        "components": parts::components(),
    })
}

fn paths() -> Map<String, Value> {
    let mut paths = Map::new();
    for operation in approach::operations() {
        insert(&mut paths, &operation.under_approach());
        insert(&mut paths, &operation.at_root());
    }
    for operation in root::operations() {
        insert(&mut paths, &operation);
    }
    paths
}

fn insert(paths: &mut Map<String, Value>, operation: &ApiOperation) {
    let path = paths.entry(operation.path.clone()).or_insert_with(|| json!({}));
    path[operation.method] = operation.described();
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use super::*;
    use crate::http::{ROUTES, approach_routes};

    #[test]
    fn the_document_has_the_paths_of_the_router_and_no_others() {
        let root = ROUTES.iter().map(|(path, _)| (*path).to_owned());
        let of_an_approach = approach_routes::ROUTES
            .iter()
            .flat_map(|(path, _)| [(*path).to_owned(), format!("/approach/{{approach}}{path}")]);
        let routed: BTreeSet<String> = root.chain(of_an_approach).chain(["/approach/{approach}".to_owned()]).collect();
        assert_eq!(paths().into_iter().map(|(path, _)| path).collect::<BTreeSet<_>>(), routed);
    }

    #[test]
    fn operations_have_names_of_their_own_and_references_lead_somewhere() {
        let document = described();
        let mut names = HashSet::new();
        for operation in paths().values().flat_map(|path| path.as_object().expect("operations").values()) {
            let name = operation["operationId"].as_str().expect("a name").to_owned();
            assert!(names.insert(name.clone()), "{name} is there twice");
        }
        let mut values = vec![&document];
        while let Some(value) = values.pop() {
            match value {
                Value::Object(object) => values.extend(object.values()),
                Value::Array(array) => values.extend(array),
                Value::String(text) if text.starts_with("#/") => {
                    assert!(document.pointer(&text[1..]).is_some(), "{text} leads nowhere");
                }
                _ => {}
            }
        }
    }
}
