//! Style sheets and scripts. They are part of the program, and separate files, so that the content security policy need not allow inline scripts.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};

use crate::dashboard::view::frame::POLICY;
use crate::explore;
use crate::http::answer::Rejection;
use crate::http::path_segment::PathSegment;
use crate::report;

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// Name, content type, and the parts of a file.
type AssetFile = (&'static str, &'static str, &'static [&'static str]);

const FILES: &[AssetFile] = &[
    (
        "lab.css",
        STYLE,
        &[
            charts::STYLE,
            report::html::STYLE,
            explore::report::html::STYLE,
            include_str!("../assets/lab.css"),
            include_str!("../assets/overview.css"),
            include_str!("../assets/approach.css"),
            include_str!("../assets/experiment.css"),
            include_str!("../assets/runs.css"),
            include_str!("../assets/player.css"),
            include_str!("../assets/locks.css"),
        ],
    ),
    ("icon.svg", "image/svg+xml", &[include_str!("../assets/icon.svg")]),
    ("lab.js", SCRIPT, &[include_str!("../assets/lab.js")]),
    ("approach.js", SCRIPT, &[include_str!("../assets/approach.js")]),
    ("experiment.js", SCRIPT, &[include_str!("../assets/experiment.js")]),
    ("player.js", SCRIPT, &[include_str!("../assets/player.js")]),
    ("locks.js", SCRIPT, &[include_str!("../assets/locks.js")]),
];

/// `GET /lab/assets/{name}`.
pub async fn asset(PathSegment(name): PathSegment, headers: HeaderMap) -> Response {
    let Some((_, content_type, parts)) = FILES.iter().find(|(file, ..)| *file == name) else {
        let message = format!(
            "there is no asset {name:?}; there are {}",
            FILES.iter().map(|(file, ..)| *file).collect::<Vec<_>>().join(", ")
        );
        return Rejection::new(StatusCode::NOT_FOUND, message).into_response();
    };
    let text = parts.join("\n");
    // The browser asks for it each time, and it is sent only if it has changed. So pages of a new version never use old scripts.
    let tag = format!("\"{:x}\"", u128::from_le_bytes(first_16(&Sha256::digest(&text))));
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = Response::new(if known { Body::empty() } else { Body::from(text) });
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

fn first_16(digest: &[u8]) -> [u8; 16] {
    std::array::from_fn(|at| digest.get(at).copied().unwrap_or_default())
}
