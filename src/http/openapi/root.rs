//! The operations at the root that are no approach's.

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
        get("/approaches", "listApproaches", "catalogue", "All approaches with their claims", approaches),
        approach(),
        ceiling(),
        get("/healthz", "healthz", "server", "Whether the process answers", ok),
        ready(),
        environment(),
        figures(),
        get(openapi::PATH, "openapi", "server", "This document", shown("OpenAPI 3.1.", &["application/json"])),
        get("/docs", "docs", "server", "This document for people", shown("A page.", &["text/html"])),
        file(),
        get(problem::PAGE, "problems", "server", "What types of problems mean", shown("A page.", &["text/html"])),
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
        ..get("/approach/{approach}", "readApproach", "catalogue", "One approach, with its SQL", done)
    }
}

fn ceiling() -> ApiOperation {
    let fields = BalanceBody::fields(AmountRule::Any);
    let example = json!({ "userId": 1, "amount": -2 });
    let done = answered("Always this.", &[], "Balance", &json!({ "balance": 10_000 }));
    ApiOperation {
        method: "patch",
        body: Some(json_body(&numbers(&fields), &example)),
        causes: errors::anywhere()
            .chain(errors::of_sending())
            .chain(errors::of_numbers::<BalanceBody>(&fields, &example))
            .collect(),
        ..get("/ceiling/balance", "ceiling", "server", "All that HTTP costs, and no database", done)
    }
}

fn ready() -> ApiOperation {
    let done = answered("The database answers too.", &[], "Health", &json!({ "status": "ready" }));
    ApiOperation {
        causes: errors::anywhere().chain([unreachable()]).collect(),
        ..get("/readyz", "readyz", "server", "Whether the database answers, too", done)
    }
}

fn environment() -> ApiOperation {
    let done = shown("Versions, limits, and settings of PostgreSQL.", &["application/json"]);
    ApiOperation {
        causes: errors::anywhere().chain([unreachable()]).collect(),
        ..get(environment::PATH, "environment", "server", "What a report must say about the server", done)
    }
}

fn unreachable() -> ErrorCause {
    let reason = "Database unavailable: no answer within 2 s";
    ErrorCause::rejected("unreachable", Rejection::new(StatusCode::SERVICE_UNAVAILABLE, reason))
}

fn figures() -> ApiOperation {
    let done = shown("OpenMetrics, as Prometheus reads it.", &[exposition::CONTENT_TYPE]);
    ApiOperation {
        causes: errors::anywhere().chain([ErrorCause::rejected("counts-nothing", metrics::off())]).collect(),
        ..get("/metrics", "metrics", "server", "What happened, counted, for Prometheus", done)
    }
}

fn file() -> ApiOperation {
    let done = shown("A file.", &["text/css", "text/javascript", "image/png"]);
    let unknown = ErrorCause::rejected("unknown-file", docs::missing("nonsense"));
    ApiOperation {
        parameters: vec!["file"],
        causes: errors::anywhere().chain([unknown, errors::undecodable("file")]).collect(),
        ..get("/docs/{file}", "docsFile", "server", "What the page is made of", done)
    }
}
