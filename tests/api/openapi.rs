//! `/openapi.json` describes what the server does: the same methods, the same names, and every example is a real
//! answer.

use std::time::Duration;

use concurrency_lab::config::Limits;
use concurrency_lab::strategy::Approach;
use reqwest::{Method, RequestBuilder};
use serde_json::{Map, Value, json};
use sqlx::{Connection, Executor};
use strum::IntoEnumIterator;

use crate::common::{Answer, Lab, Setup};

const PROBLEM_JSON: &str = "application/problem+json";

/// Examples that this test does not provoke: a bug of the server, a client that is slow for 10 s, a database that is
/// down, and a lost answer of COMMIT (`failures.rs` tests that one).
const NOT_PROVOKED: [&str; 4] = ["internal", "too-slow", "unreachable", "outcome-unknown"];

/// The id in the document's examples.
const ID: &str = "7f1c2d3e-4b5a-4c6d-8e9f-0a1b2c3d4e5f";

/// SQL that changes nothing.
const NOTHING: &str = "select";

async fn document(lab: &Lab) -> Value {
    let answer = lab.get("/openapi.json").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, Some("application/json")));
    answer.json()
}

fn members(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap_or_else(|| panic!("an object, not {value}"))
}

fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    value["$ref"].as_str().map_or(value, |path| document.pointer(&path[1..]).expect("a component"))
}

/// The names that the path parameter allows.
fn approaches(document: &Value) -> Vec<&str> {
    let names = document["components"]["parameters"]["approach"]["schema"]["enum"].as_array().expect("names");
    names.iter().map(|name| name.as_str().expect("a name")).collect()
}

#[tokio::test]
async fn the_document_lists_all_approaches_and_their_aliases() {
    let lab = Lab::start().await;
    let document = document(&lab).await;
    let names = approaches(&document);
    for approach in Approach::iter() {
        let own = std::iter::once(approach.name()).chain(approach.info().aliases.iter().copied());
        assert!(own.clone().all(|name| names.contains(&name)), "{approach}");
    }
    for name in names {
        assert_eq!(lab.get(&format!("/approach/{name}")).await.status, 200, "{name}");
    }
}

#[tokio::test]
async fn every_path_has_the_documented_methods_and_no_others_on_every_approach() {
    let lab = Lab::start().await;
    let document = document(&lab).await;
    for (path, operations) in members(&document["paths"]) {
        let own = path.contains("{approach}");
        let names = if own { approaches(&document) } else { vec![""] };
        for path in names.iter().map(|name| path.replace("{approach}", name).replace("/{", "/0{")) {
            for method in [Method::GET, Method::PUT, Method::POST, Method::PATCH, Method::DELETE, Method::OPTIONS] {
                let documented = members(operations).contains_key(&method.as_str().to_lowercase());
                let answer = Answer::of(lab.request(method.clone(), &path)).await;
                assert_eq!(answer.status != 405, documented, "{method} {path}: {answer:?}");
                assert!(!answer.body.contains("is not a route; GET"), "{method} {path}: {answer:?}");
            }
        }
    }
}

/// A documented operation, with its valid request.
struct Operation<'a> {
    method: Method,
    path: &'a str,
    id: &'a str,
    tag: &'a str,
    body: Option<&'a Value>,
}

/// A request whose answer is an example of the document.
struct Recipe {
    approach: Approach,
    unknown_approach: bool,
    /// The value of the path's or the query's parameter.
    parameter: &'static str,
    query: &'static str,
    body: Option<String>,
    content_type: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    /// SQL that another session runs before the request.
    before: &'static str,
}

impl Operation<'_> {
    fn with(&self, member: &str, value: Value) -> Option<String> {
        let mut body = self.body.cloned()?;
        body[member] = value;
        Some(body.to_string())
    }

    /// The seed that it needs.
    fn seed(&self) -> &'static str {
        match self.tag {
            "transfer" => "transfer",
            "booking" => "booking",
            "counter" => "counter",
            _ => "withdrawal",
        }
    }

    fn recipe(&self, example: &str) -> Recipe {
        let mut recipe = Recipe {
            approach: Approach::AtomicReturning,
            unknown_approach: false,
            parameter: "1",
            query: "",
            body: self.body.map(Value::to_string),
            content_type: "application/json",
            headers: Vec::new(),
            before: NOTHING,
        };
        if self.path.contains("{bookingId}") {
            recipe.parameter = ID;
        }
        if self.path.contains("{file}") {
            recipe.parameter = "start.js";
        }
        match example {
            "done" if self.id.starts_with("readEvent") => {
                recipe.before = "insert into bookings (id, event_id, user_id, by_constraint) \
                                 values ('7f1c2d3e-4b5a-4c6d-8e9f-0a1b2c3d4e5f', 1, 7, true); \
                                 update events set booked = 1 where id = 1";
            }
            "done" | "booking-not-found" => {}
            "lock-timeout" => recipe.before = "begin; lock table users, events, bookings, counters",
            "foreign-host" => recipe.headers = vec![("host", "evil.example")],
            "foreign-origin" => recipe.headers = vec![("host", "127.0.0.1:3000"), ("origin", "http://evil.example")],
            "too-large" => recipe.body = Some(" ".repeat(20_000)),
            "not-json" => (recipe.content_type, recipe.body) = ("text/plain", Some("x".to_owned())),
            "empty" => recipe.body = Some(String::new()),
            "missing-field" => recipe.body = Some("{}".to_owned()),
            "not-empty" | "malformed" => recipe.body = Some("{".to_owned()),
            "out-of-range" => {
                let first = self.body.and_then(|body| members(body).keys().next()).expect("a field");
                recipe.body = self.with(first, json!(0));
            }
            "unknown-seed" => (recipe.query, recipe.body) = ("?seed=nonsense", None),
            "undecodable" => recipe.parameter = "%FF",
            "not-an-id" => recipe.parameter = "x",
            "unknown-file" => recipe.parameter = "nonsense",
            "unknown-approach" => recipe.unknown_approach = true,
            "lab-trace" => recipe.headers.push(("lab-trace", "yes")),
            // The server of naive has its metrics off.
            "counts-nothing" => recipe.approach = Approach::Naive,
            "key-not-kept" => {
                recipe.approach = Approach::Naive;
                recipe.headers.push(("idempotency-key", ID));
            }
            "key-reused" => {
                recipe.before = "insert into idempotency_keys (key, request, answer) \
                                 values ('7f1c2d3e-4b5a-4c6d-8e9f-0a1b2c3d4e5f', 'another', '{}')";
                recipe.headers.push(("idempotency-key", ID));
            }
            "key-on-a-reset" => recipe.headers.push(("idempotency-key", ID)),
            "if-match" => recipe.headers.push(("if-match", "\"1\"")),
            "version-mismatch" => {
                recipe.approach = Approach::OptimisticVersion;
                recipe.headers.push(("if-match", "\"7\""));
            }
            "not-offered" => recipe.approach = Approach::UniqueConstraint,
            "user-not-found" if self.tag == "transfer" => recipe.body = self.with("to", json!(999)),
            "user-not-found" => (recipe.parameter, recipe.body) = ("9999", self.with("userId", json!(9999))),
            "event-not-found" => (recipe.parameter, recipe.body) = ("9", self.with("eventId", json!(9))),
            "counter-not-found" => recipe.parameter = "9",
            "insufficient-funds" => {
                let sign = if self.path.ends_with("/balance") { -1 } else { 1 };
                recipe.body = self.with("amount", json!(sign * 10_001));
            }
            "balance-out-of-range" => {
                recipe.before = "update users set balance = 9223372036854775807 where id = 2";
                if self.tag == "balance" {
                    recipe.body = self.with("amount", json!(i64::MAX));
                }
            }
            "counter-out-of-range" => recipe.before = "update counters set value = 9223372036854775807",
            "already-booked" => {
                recipe.before = "insert into bookings (id, event_id, user_id, by_constraint) \
                                 values (gen_random_uuid(), 1, 7, true)";
            }
            "sold-out" => recipe.before = "update events set booked = 1 where id = 1",
            other => panic!("{}: this test has no recipe for the example {other:?}", self.id),
        }
        recipe
    }
}

/// One server for each approach at the root, all on one database.
struct Labs([Lab; 4]);

impl Labs {
    async fn start() -> Self {
        let limits = Limits { lock_timeout: Duration::from_millis(100), ..Limits::default() };
        let setup = |root_approach| Setup { limits, root_approach, ..Setup::default() };
        let first = Lab::with(setup(Approach::AtomicReturning)).await;
        let second = first.another(setup(Approach::OptimisticVersion)).await;
        let third = first.another(setup(Approach::UniqueConstraint)).await;
        let fourth = first.another(Setup { metrics: false, ..setup(Approach::Naive) }).await;
        Self([first, second, third, fourth])
    }

    fn request(&self, operation: &Operation<'_>, recipe: &Recipe) -> RequestBuilder {
        let lab = match recipe.approach {
            Approach::OptimisticVersion => &self.0[1],
            Approach::UniqueConstraint => &self.0[2],
            Approach::Naive => &self.0[3],
            _ => &self.0[0],
        };
        let name = if recipe.unknown_approach { "nonsense" } else { recipe.approach.name() };
        let mut path = operation.path.replace("{approach}", name) + recipe.query;
        if let Some((start, rest)) = path.clone().split_once('{') {
            path = format!("{start}{}{}", recipe.parameter, rest.split_once('}').expect("its end").1);
        } else if operation.id.starts_with("readBalanceByQuery") {
            path = format!("{path}?userId={}", recipe.parameter);
        }
        let mut request = lab.request(operation.method.clone(), &path);
        for (name, value) in &recipe.headers {
            request = request.header(*name, *value);
        }
        match &recipe.body {
            Some(body) => request.header("content-type", recipe.content_type).body(body.clone()),
            None => request,
        }
    }
}

/// Replaces the ids and times that the server chose with those of the examples.
fn as_in_examples(body: &str, example: &Value) -> String {
    let Ok(mut found) = serde_json::from_str::<Value>(body) else { return body.to_owned() };
    for pointer in ["/bookingId", "/bookings/0/bookingTime", "/instance"] {
        if let (Some(found), Some(example)) = (found.pointer_mut(pointer), example.pointer(pointer)) {
            assert!(found.is_string(), "{body}");
            *found = example.clone();
        }
    }
    found.to_string()
}

#[tokio::test]
async fn every_example_is_what_the_server_answers() {
    let labs = Labs::start().await;
    let document = document(&labs.0[0]).await;
    let mut provoked = 0;
    let mut data = None;
    for (path, operations) in members(&document["paths"]) {
        for (method, described) in members(operations) {
            let operation = Operation {
                method: method.to_uppercase().parse().expect("a method"),
                path,
                id: described["operationId"].as_str().expect("a name"),
                tag: described["tags"][0].as_str().expect("a tag"),
                body: described.pointer("/requestBody/content/application~1json/example"),
            };
            for (status, response) in members(&described["responses"]) {
                let Some(examples) = response.pointer("/content/application~1json/examples") else { continue };
                for name in members(examples).keys().filter(|name| !NOT_PROVOKED.contains(&name.as_str())) {
                    let recipe = operation.recipe(name);
                    if data != Some(operation.seed()) {
                        labs.0[0].post(&format!("/reset?seed={}", operation.seed()), "").await;
                    }
                    let unchanged = name != "done" && recipe.before == NOTHING;
                    data = unchanged.then(|| operation.seed());
                    labs.check(&document, &operation, &recipe, status, response, name).await;
                    provoked += 1;
                }
            }
        }
    }
    assert!(provoked > 250, "only {provoked} examples");
}

impl Labs {
    /// Requests an example in both forms.
    async fn check(
        &self,
        document: &Value,
        operation: &Operation<'_>,
        recipe: &Recipe,
        status: &str,
        response: &Value,
        name: &str,
    ) {
        let what = format!("{} {status} {name}", operation.id);
        let mut other = self.0[0].connection().await;
        other.execute(recipe.before).await.expect("the SQL before the request");
        let forms: &[&str] = if status < "400" { &["application/json"] } else { &["application/json", PROBLEM_JSON] };
        for form in forms {
            let answer = Answer::of(self.request(operation, recipe).header("accept", *form)).await;
            assert_eq!(answer.status.as_str(), status, "{what}: {answer:?}");
            assert_eq!(answer.header("content-type"), Some(*form), "{what}");
            let example = &response["content"][form]["examples"][name]["value"];
            assert_eq!(as_in_examples(&answer.body, example), example.to_string(), "{what}");
            has_headers(document, response, &answer, &what);
        }
        other.close().await.expect("a clean end");
    }
}

fn has_headers(document: &Value, response: &Value, answer: &Answer, what: &str) {
    for (name, header) in members(&response["headers"]) {
        if resolved(document, header)["required"] == true {
            assert!(answer.header(name).is_some(), "{what}: {name} is missing in {answer:?}");
        }
    }
}
