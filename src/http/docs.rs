//! `GET /docs`: a page that shows the interface, with Swagger UI. Its files are part of the program, so a browser loads
//! nothing from another server.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use utoipa_swagger_ui::{Config, serve};

use super::answer::Rejection;
use super::path_segment::PathSegment;

/// The page. `start.js` is a separate file, so that the policy need not allow scripts inside a page.
const PAGE: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>concurrency-lab: HTTP interface</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"#;

const START_FILE: &str = "start.js";

const START: &str = r##"SwaggerUIBundle({ url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true });
"##;

/// The files of Swagger UI that the page needs. The server does not serve the others.
const FROM_SWAGGER_UI: [&str; 3] = ["swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"];

/// All files of the page.
pub fn files() -> impl Iterator<Item = &'static str> {
    FROM_SWAGGER_UI.into_iter().chain([START_FILE])
}

/// The page loads everything from this server. `data:` is for the images inside Swagger UI's style sheet.
const POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'self'; img-src 'self' data:; frame-ancestors 'none'");

/// `GET /docs`.
pub async fn page() -> Response {
    shown("text/html; charset=utf-8", PAGE.as_bytes().into())
}

/// `GET /docs/{file}`: a file of the page.
pub async fn file(PathSegment(name): PathSegment) -> Response {
    if name == START_FILE {
        return shown("text/javascript", START.as_bytes().into());
    }
    let served = FROM_SWAGGER_UI.contains(&name.as_str()).then(|| serve(&name, Arc::new(Config::default())));
    match served {
        Some(Ok(Some(file))) => shown(&file.content_type, file.bytes),
        _ => missing(&name).into_response(),
    }
}

/// The answer to a request for a file that the page does not have.
pub fn missing(name: &str) -> Rejection {
    Rejection::new(StatusCode::NOT_FOUND, format!("/docs/{name} is not a file of the page /docs"))
}

fn shown(content_type: &str, bytes: Cow<'static, [u8]>) -> Response {
    let bytes = match bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    };
    let mut response = Response::new(Body::from(bytes));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(content_type) = HeaderValue::from_str(content_type) {
        headers.insert(header::CONTENT_TYPE, content_type);
    }
    response
}
