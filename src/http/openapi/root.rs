//! The operations at the root that are no approach's.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::errors::{self, Cause};
use super::operation::{Operation, answered, json_body, shown};
use super::parts::numbers;
use crate::http::answer::Rejection;
use crate::http::body::{Amounts, BalanceBody};
use crate::http::{catalogue, docs, environment, metrics, openapi, problem};
use crate::metrics::exposition;
use crate::strategy::Approach;

/// All of them.
pub fn operations() -> Vec<Operation> {
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

fn get(path: &str, id: &str, tag: &'static str, summary: &'static str, done: Value) -> Operation {
    let operation = Operation::new("get", path, id, tag, summary, done);
    Operation { causes: errors::anywhere().collect(), ..operation }
}

fn approach() -> Operation {
    let example = json!(catalogue::whole(Approach::AtomicReturning));
    let done = answered("The approach.", &[], "Approach", &example);
    Operation {
        parameters: vec!["approach"],
        causes: errors::anywhere().chain([errors::unknown_approach()]).collect(),
        ..get("/approach/{approach}", "readApproach", "catalogue", "One approach, with its SQL", done)
    }
}

fn ceiling() -> Operation {
    let fields = BalanceBody::fields(Amounts::Any);
    let example = json!({ "userId": 1, "amount": -2 });
    let done = answered("Always this.", &[], "Balance", &json!({ "balance": 10_000 }));
    Operation {
        method: "patch",
        body: Some(json_body(&numbers(&fields), &example)),
        causes: errors::anywhere()
            .chain(errors::of_sending())
            .chain(errors::of_numbers::<BalanceBody>(&fields, &example))
            .collect(),
        ..get("/ceiling/balance", "ceiling", "server", "All that HTTP costs, and no database", done)
    }
}

fn ready() -> Operation {
    let done = answered("The database answers too.", &[], "Health", &json!({ "status": "ready" }));
    Operation {
        causes: errors::anywhere().chain([unreachable()]).collect(),
        ..get("/readyz", "readyz", "server", "Whether the database answers, too", done)
    }
}

fn environment() -> Operation {
    let done = shown("Versions, limits, and settings of PostgreSQL.", &["application/json"]);
    Operation {
        causes: errors::anywhere().chain([unreachable()]).collect(),
        ..get(environment::PATH, "environment", "server", "What a report must say about the server", done)
    }
}

fn unreachable() -> Cause {
    let reason = "Database unavailable: no answer within 2 s";
    Cause::rejected("unreachable", Rejection::new(StatusCode::SERVICE_UNAVAILABLE, reason))
}

fn figures() -> Operation {
    let done = shown("OpenMetrics, as Prometheus reads it.", &[exposition::CONTENT_TYPE]);
    Operation {
        causes: errors::anywhere().chain([Cause::rejected("counts-nothing", metrics::off())]).collect(),
        ..get("/metrics", "metrics", "server", "What happened, counted, for Prometheus", done)
    }
}

fn file() -> Operation {
    let done = shown("A file.", &["text/css", "text/javascript", "image/png"]);
    let unknown = Cause::rejected("unknown-file", docs::missing("nonsense"));
    Operation {
        parameters: vec!["file"],
        causes: errors::anywhere().chain([unknown, errors::undecodable("file")]).collect(),
        ..get("/docs/{file}", "docsFile", "server", "What the page is made of", done)
    }
}
