//! The operations at the root that belong to no approach.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::errors::{self, ErrorCause};
use super::operation::{ApiOperation, answered, json_body, shown};
use super::parts::numbers;
use crate::http::answer::Rejection;
use crate::http::body::{AmountRule, BalanceBody};
use crate::http::{catalogue, docs, environment, metrics, openapi, problem};
use crate::metrics::exposition;
use crate::strategy::Approach;

/// All of them.
pub fn operations() -> Vec<ApiOperation> {
    let approaches = answered("All approaches.", &[], "Approaches", &json!(catalogue::all()));
    let ok = answered("The process answers.", &[], "Health", &json!({ "status": "ok" }));
    vec![
        get("/approaches", "listApproaches", "catalogue", "List all approaches with their claims", approaches),
        approach(),
        ceiling(),
        get("/healthz", "healthz", "server", "Check that the process answers", ok),
        ready(),
        environment(),
        figures(),
        get(openapi::PATH, "openapi", "server", "This document", shown("OpenAPI 3.1.", &["application/json"])),
        get("/docs", "docs", "server", "This document as a page", shown("A page.", &["text/html"])),
        file(),
        get(problem::PAGE, "problems", "server", "The meaning of each problem type", shown("A page.", &["text/html"])),
    ]
}

fn get(path: &str, id: &str, tag: &'static str, summary: &'static str, done: Value) -> ApiOperation {
    let operation = ApiOperation::new("get", path, id, tag, summary, done);
    ApiOperation { causes: errors::anywhere().collect(), ..operation }
}

fn approach() -> ApiOperation {
    let example = json!(catalogue::whole(Approach::AtomicReturning));
    let done = answered("The approach.", &[], "Approach", &example);
    ApiOperation {
        parameters: vec!["approach"],
        causes: errors::anywhere().chain([errors::unknown_approach()]).collect(),
        ..get("/approach/{approach}", "readApproach", "catalogue", "Read one approach with its SQL", done)
    }
}

fn ceiling() -> ApiOperation {
    let fields = BalanceBody::fields(AmountRule::Any);
    let example = json!({ "userId": 1, "amount": -2 });
    let done = answered("A constant balance.", &[], "Balance", &json!({ "balance": 10_000 }));
    ApiOperation {
        method: "patch",
        body: Some(json_body(&numbers(&fields), &example)),
        causes: errors::anywhere()
            .chain(errors::of_sending())
            .chain(errors::of_numbers::<BalanceBody>(&fields, &example))
            .collect(),
        ..get(
            "/ceiling/balance",
            "ceiling",
            "server",
            "Measure the cost of HTTP alone: parse and validate a change, without a database",
            done,
        )
    }
}

fn ready() -> ApiOperation {
    let done = answered("The process and its database answer.", &[], "Health", &json!({ "status": "ready" }));
    ApiOperation {
        causes: errors::anywhere().chain([unreachable()]).collect(),
        ..get(
            "/readyz",
            "readyz",
            "server",
            "Check that the process and its database answer, and that changes are possible",
            done,
        )
    }
}

fn environment() -> ApiOperation {
    let done = shown("Versions, limits, and settings of PostgreSQL.", &["application/json"]);
    ApiOperation {
        causes: errors::anywhere().chain([unreachable()]).collect(),
        ..get(environment::PATH, "environment", "server", "Read the conditions that a report must state", done)
    }
}

fn unreachable() -> ErrorCause {
    let reason = "Database unavailable: no answer within 2 s";
    ErrorCause::rejected("unreachable", Rejection::new(StatusCode::SERVICE_UNAVAILABLE, reason))
}

fn figures() -> ApiOperation {
    let done = shown("Metrics in the OpenMetrics format, for Prometheus.", &[exposition::CONTENT_TYPE]);
    ApiOperation {
        causes: errors::anywhere().chain([ErrorCause::rejected("counts-nothing", metrics::off())]).collect(),
        ..get("/metrics", "metrics", "server", "Metrics for Prometheus", done)
    }
}

fn file() -> ApiOperation {
    let done = shown("A file of the page.", &["text/css", "text/javascript", "image/png"]);
    let unknown = ErrorCause::rejected("unknown-file", docs::missing("nonsense"));
    ApiOperation {
        parameters: vec!["file"],
        causes: errors::anywhere().chain([unknown, errors::undecodable("file")]).collect(),
        ..get("/docs/{file}", "docsFile", "server", "A file of the page /docs", done)
    }
}
