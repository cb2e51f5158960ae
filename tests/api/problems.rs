//! Errors in both forms: `{"error":"…"}` by default, and problem documents for clients that accept them.

use std::time::Duration;

use concurrency_lab::config::Limits;
use concurrency_lab::strategy::Approach;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use sqlx::Executor;
use uuid::Uuid;

use crate::common::{Answer, Lab, Setup};

const PROBLEM_JSON: &str = "application/problem+json";

#[tokio::test]
async fn every_kind_of_error_has_both_forms_and_keeps_its_other_headers() {
    let limits = Limits { lock_timeout: Duration::from_millis(100), ..Limits::default() };
    let lab = Lab::with(Setup { limits, ..Setup::default() }).await;
    let mut holder = lab.connection().await;
    holder.execute("begin; lock table counters").await.expect("the lock");
    let patch = |body: &str| lab.json(Method::PATCH, "/balance", body);
    let table: Vec<(RequestBuilder, u16, &str, &str)> = vec![
        (patch("{"), 400, "malformed", "lab-attempts"),
        (patch("{}").header("origin", "http://evil.example"), 403, "foreign", "x-request-id"),
        (patch(r#"{"userId":9,"amount":1}"#), 404, "user-not-found", "lab-attempts"),
        (lab.request(Method::GET, "/nonsense"), 404, "unknown", "lab-attempts"),
        (lab.request(Method::GET, "/approach/nonsense"), 404, "unknown", "lab-attempts"),
        (lab.request(Method::GET, "/docs/nonsense"), 404, "unknown", "lab-attempts"),
        (lab.request(Method::DELETE, "/balance"), 405, "method", "allow"),
        (patch(r#"{"userId":1,"amount":-10001}"#), 409, "insufficient-funds", "lab-attempts"),
        (
            lab.change(Approach::OptimisticVersion, r#"{"userId":1,"amount":1}"#).header("if-match", "\"7\""),
            412,
            "version-mismatch",
            "lab-attempts",
        ),
        (patch(&" ".repeat(20_000)), 413, "too-large", "lab-attempts"),
        (lab.request(Method::POST, "/deposit").body("x"), 415, "not-json", "lab-attempts"),
        (patch("{}"), 422, "invalid", "lab-attempts"),
        (lab.request(Method::GET, "/balance/%FF"), 400, "malformed", "lab-attempts"),
        (lab.request(Method::GET, "/approach/unique-constraint/balance/1"), 501, "unsupported", "lab-attempts"),
        (lab.request(Method::POST, "/counters/1/increment"), 503, "not-done", "retry-after"),
    ];
    for (request, status, slug, header) in table {
        let again = || request.try_clone().expect("a request without a stream");
        for accept in ["*/*", "application/json"] {
            let plain = Answer::of(again().header("accept", accept)).await;
            assert_eq!(plain.status, status, "{plain:?}");
            assert_eq!(plain.header("content-type"), Some("application/json"), "{plain:?}");
            assert_eq!(plain.body, format!(r#"{{"error":{}}}"#, plain.json()["error"]), "the body has no other field");
            assert!(plain.header(header).is_some(), "{header}: {plain:?}");
        }
        let plain = Answer::of(again()).await;
        let problem = Answer::of(again().header("accept", PROBLEM_JSON)).await;
        assert_eq!(problem.status, status, "{problem:?}");
        assert_eq!(problem.header("content-type"), Some(PROBLEM_JSON), "{problem:?}");
        assert_eq!(
            problem.header(header),
            plain.header(header).filter(|_| header != "x-request-id").or(problem.header(header))
        );
        assert!(problem.header(header).is_some(), "{header}: {problem:?}");
        assert_eq!(problem.header("vary"), Some("accept"));
        let document = problem.json();
        assert_eq!(document["type"], format!("/docs/problems#{slug}"));
        assert_eq!(document["status"], status);
        assert_eq!(document["detail"], plain.json()["error"]);
        assert!(document["title"].as_str().is_some_and(|title| !title.is_empty()));
        let instance = document["instance"].as_str().and_then(|urn| urn.strip_prefix("urn:uuid:"));
        assert_eq!(instance, problem.header("x-request-id"), "{document}");
    }
}

#[tokio::test]
async fn the_instance_of_a_problem_is_the_session_id_even_if_the_client_sent_a_request_id() {
    let lab = Lab::start().await;
    let request = lab.request(Method::GET, "/nonsense").header("accept", PROBLEM_JSON).header("x-request-id", "mine");
    let problem = Answer::of(request).await;
    assert_eq!(problem.header("x-request-id"), Some("mine"));
    let document = problem.json();
    let instance = document["instance"].as_str().and_then(|urn| urn.strip_prefix("urn:uuid:")).expect("an id");
    assert!(Uuid::parse_str(instance).is_ok(), "{instance}");
}

#[tokio::test]
async fn an_answer_without_an_error_or_that_cannot_be_cached_has_no_vary_header() {
    let lab = Lab::start().await;
    let read = Answer::of(lab.request(Method::GET, "/balance/1").header("accept", PROBLEM_JSON)).await;
    assert_eq!((read.header("content-type"), read.header("vary")), (Some("application/json"), None));
    let refused = lab.patch(Approach::Naive, r#"{"userId":1,"amount":-10001}"#).await;
    assert_eq!(
        (refused.status.as_u16(), refused.header("vary")),
        (409, None),
        "a refusal, frequent under load, stays small"
    );
    assert_eq!(lab.get("/balance/9").await.header("vary"), Some("accept"), "a cache may keep a 404");
    let head = Answer::of(lab.request(Method::HEAD, "/balance/9").header("accept", PROBLEM_JSON)).await;
    assert_eq!((head.status.as_u16(), head.header("content-type"), head.body.as_str()), (404, Some(PROBLEM_JSON), ""));
}

#[tokio::test]
async fn every_problem_type_links_to_a_page_that_explains_it() {
    let lab = Lab::start().await;
    let page = lab.get("/docs/problems").await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let document = lab.get("/openapi.json").await.json();
    let mut values = vec![&document["paths"]];
    let mut types = 0;
    while let Some(value) = values.pop() {
        match value {
            Value::Object(object) => values.extend(object.values()),
            Value::Array(array) => values.extend(array),
            Value::String(text) => {
                if let Some(slug) = text.strip_prefix("/docs/problems#") {
                    assert!(page.body.contains(&format!("<dt id=\"{slug}\">")), "{slug}");
                    types += 1;
                }
            }
            _ => {}
        }
    }
    assert!(types > 100, "only {types}");
}

/// The page works offline, and its policy forbids everything else.
#[tokio::test]
async fn the_documentation_loads_nothing_from_other_servers() {
    let lab = Lab::start().await;
    let page = lab.get("/docs").await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(!page.body.contains("http"), "{}", page.body);
    let files: Vec<&str> = page.body.split('"').filter(|text| text.starts_with("/docs/")).collect();
    assert_eq!(files.len(), 4);
    for file in files {
        let answer = lab.http.get(lab.url(file)).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{file}");
        let header = |name: &str| answer.headers()[name].to_str().expect("text").to_owned();
        assert!(header("content-security-policy").starts_with("default-src 'self'"), "{file}");
        let expected = match file.rsplit_once('.').expect("an ending").1 {
            "css" => "text/css",
            "js" => "text/javascript",
            _ => "image/png",
        };
        assert_eq!(header("content-type"), expected, "{file}");
        assert!(!answer.bytes().await.expect("its content").is_empty(), "{file}");
    }
}
