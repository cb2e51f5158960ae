//! `GET /openapi.json`: the description of the interface for programs, in OpenAPI 3.1.
//!
//! An approach's routes are described once and appear in the document twice: with the approach in the path, and at the
//! root. The texts of errors are not written here: the code that produces each error produces its example ([`errors`]).
//! Tests check the document. A test below checks that the document and the router have the same paths.
//! `tests/api/openapi.rs` checks over HTTP that they have the same methods, and that the server gives the answers of
//! the examples. `tests/program/fuzz.rs` checks, with generated requests, that it gives no others.
//!
//! - [`approach`], [`root`]: the operations, by route
//! - [`operation`]: what an operation is, and how it is written
//! - [`errors`]: the errors, with examples
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

/// The path of the document.
pub const PATH: &str = "/openapi.json";

/// The document. It is the same for every configuration of a server.
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
                `{\"error\":\"…\"}`, or a problem document (RFC 9457) for `Accept: application/problem+json`. Every request, a read \
                too, names this server in `Host` by an IP address, `localhost`, or a name of `serve --allow-host`; otherwise the \
                answer is 403.",
        },
        "tags": [
            { "name": "balance", "description": "One user's balance." },
            { "name": "transfer", "description": "Money from one user to another." },
            { "name": "booking", "description": "Seats of an event." },
            { "name": "counter", "description": "A counter." },
            { "name": "data", "description": "Replaces all data with a seed." },
            { "name": "catalogue", "description": "The list of approaches." },
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
    fn operation_ids_are_unique_and_references_resolve() {
        let document = described();
        let mut names = HashSet::new();
        for operation in paths().values().flat_map(|path| path.as_object().expect("operations").values()) {
            let name = operation["operationId"].as_str().expect("a name").to_owned();
            assert!(names.insert(name.clone()), "the operation id {name} occurs twice");
        }
        let mut values = vec![&document];
        while let Some(value) = values.pop() {
            match value {
                Value::Object(object) => values.extend(object.values()),
                Value::Array(array) => values.extend(array),
                Value::String(text) if text.starts_with("#/") => {
                    assert!(document.pointer(&text[1..]).is_some(), "the reference {text} does not resolve");
                }
                _ => {}
            }
        }
    }
}
