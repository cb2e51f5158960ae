//! Problem documents (RFC 9457): the form of an error for a client that asks for `application/problem+json`.
//!
//! Handlers answer every error as `{"error":"…"}` and know nothing of this. [`super::HttpService`] rewrites the finished answer.
//! A request that did not ask for a problem document pays for one look at its `Accept`.

use std::borrow::Cow;
use std::fmt::Write as _;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};
use serde::Serialize;
use strum::IntoEnumIterator as _;
use uuid::Uuid;

use super::answer::{self, ErrorBody, LAB_REFUSAL, status_of_refusal};
use super::guard::SessionId;
use domain::Refusal;

/// The media type of a problem document.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The page that explains the types of problems; `type` refers to it.
pub const PAGE: &str = "/docs/problems";

/// The longest error that is rewritten, in bytes. An error quotes no more than a path or a few header values.
const ERROR_MAX: usize = 256 * 1024;

/// The type of problem that a status stands for.
struct ProblemKind {
    status: StatusCode,
    slug: &'static str,
    title: &'static str,
    meaning: &'static str,
}

const fn kind(status: StatusCode, slug: &'static str, title: &'static str, meaning: &'static str) -> ProblemKind {
    ProblemKind { status, slug, title, meaning }
}

/// The types that are not refusals by the state: one for each status.
const KINDS: [ProblemKind; 13] = [
    kind(StatusCode::BAD_REQUEST, "malformed", "Malformed request", "The body is not JSON, or could not be read."),
    kind(
        StatusCode::FORBIDDEN,
        "foreign",
        "Foreign origin or host",
        "A request must name this server by an IP address, localhost, or a name of --allow-host. A change must also come from \
         this server's own pages or from no page at all.",
    ),
    kind(
        StatusCode::NOT_FOUND,
        "unknown",
        "Unknown route or approach",
        "There is no such route or approach; the detail names what there is.",
    ),
    kind(
        StatusCode::METHOD_NOT_ALLOWED,
        "method",
        "Method not allowed",
        "The route has other methods; the Allow header names them.",
    ),
    kind(StatusCode::REQUEST_TIMEOUT, "slow-request", "Request too slow", "The body did not arrive in time."),
    kind(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Body too large", "The largest valid body is far smaller."),
    kind(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", "Not JSON", "Content-Type must be application/json."),
    kind(
        StatusCode::UNPROCESSABLE_ENTITY,
        "invalid",
        "Invalid input",
        "A field, parameter or header is missing, unknown, or out of its range; the detail names it, and what is allowed.",
    ),
    kind(
        StatusCode::PRECONDITION_FAILED,
        "precondition",
        "Precondition failed",
        "A condition in the request's headers does not hold; nothing was changed.",
    ),
    kind(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", "A fault of ours; the log has the reason."),
    kind(
        StatusCode::NOT_IMPLEMENTED,
        "unsupported",
        "Not supported by this approach",
        "This approach cannot do that, whatever the data; the detail says why.",
    ),
    kind(
        StatusCode::SERVICE_UNAVAILABLE,
        "not-done",
        "Certainly not done",
        "Contention, a full queue, a time limit or an unreachable database. Nothing was changed: ask again after Retry-After.",
    ),
    kind(
        StatusCode::GATEWAY_TIMEOUT,
        "outcome-unknown",
        "Outcome unknown",
        "The change may have been made, or still be: its answer was lost. Read before you repeat it.",
    ),
];

/// A problem document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The type of problem: an anchor on [`PAGE`], or `about:blank` if the status says all.
    pub r#type: Cow<'static, str>,
    /// The type for people; the same for every occurrence.
    pub title: Cow<'static, str>,
    /// The answer's status.
    pub status: u16,
    /// The text of `error`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// This occurrence: the id that is on the server's log lines.
    pub instance: String,
}

impl Problem {
    /// The document for an error. With a refusal the type is the refusal's, else that of the status.
    pub fn of(status: StatusCode, refusal: Option<Refusal>, error: Option<&str>, occurrence: Uuid) -> Self {
        let (slug, title) = match (refusal, KINDS.iter().find(|kind| kind.status == status)) {
            (Some(refusal), _) => (Some(refusal.into()), refusal.to_string().into()),
            (None, Some(kind)) => (Some(kind.slug), kind.title.into()),
            (None, None) => (None, status.canonical_reason().unwrap_or("Error").into()),
        };
        Self {
            r#type: slug.map_or("about:blank".into(), |slug| format!("{PAGE}#{slug}").into()),
            title,
            status: status.as_u16(),
            detail: error.map(str::to_owned),
            instance: occurrence.urn().to_string(),
        }
    }
}

/// The refusal that an answer is, by its header.
fn refusal_of(headers: &HeaderMap) -> Option<Refusal> {
    let name = headers.get(LAB_REFUSAL)?;
    Refusal::iter().find(|refusal| name == <&str>::from(refusal))
}

/// `GET /docs/problems`: what each `type` means.
pub async fn page() -> Response {
    let mut page = String::from(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Problems: concurrency-lab</title>\n\
         <h1>Problems</h1>\n<p>The types of the problem documents (RFC 9457) that this server answers to \
         <code>Accept: application/problem+json</code>.</p>\n<dl>\n",
    );
    let refusals = Refusal::iter().map(|refusal| {
        let meaning = "The state of the data refuses this. Nothing was changed; it may succeed later.";
        (status_of_refusal(refusal), refusal.into(), Cow::from(refusal.to_string()), meaning)
    });
    let kinds = KINDS.iter().map(|kind| (kind.status, kind.slug, kind.title.into(), kind.meaning));
    for (status, slug, title, meaning) in refusals.chain(kinds) {
        let _ = writeln!(page, "<dt id=\"{slug}\"><b>{title}</b> ({})</dt>\n<dd>{meaning}</dd>", status.as_u16());
    }
    page.push_str("</dl>\n</html>\n");
    let headers = [
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, Html(page)).into_response()
}

/// The form in which a request's errors are answered.
#[derive(Debug, Clone, Copy)]
pub struct ErrorForm {
    /// The request's id, if a problem document is wanted.
    problem: Option<Uuid>,
    /// A cache may keep the answer, and must know that its form depends on `Accept`.
    cacheable: bool,
}

impl ErrorForm {
    /// The form that the request asks for.
    pub fn wanted<B>(request: &Request<B>) -> Self {
        let problem = prefers_problem(request.headers()).then(|| SessionId::of(request.extensions()).0);
        Self { problem, cacheable: matches!(*request.method(), Method::GET | Method::HEAD) }
    }

    /// The answer in this form. An answer that is not an error stays as it is.
    pub async fn give(self, mut response: Response) -> Response {
        if !response.status().is_client_error() && !response.status().is_server_error() {
            return response;
        }
        if self.cacheable || self.problem.is_some() {
            response.headers_mut().append(header::VARY, HeaderValue::from_static("accept"));
        }
        match self.problem {
            None => response,
            // Boxed, or the future of every waiting request would be larger.
            Some(occurrence) => Box::pin(rewritten(response, occurrence)).await,
        }
    }
}

async fn rewritten(response: Response, occurrence: Uuid) -> Response {
    let (mut head, body) = response.into_parts();
    let plain = to_bytes(body, ERROR_MAX).await.unwrap_or_default();
    let error = serde_json::from_slice::<ErrorBody>(&plain).ok().map(|body| body.error);
    let problem = Problem::of(head.status, refusal_of(&head.headers), error.as_deref(), occurrence);
    let (problem, body) = answer::json(head.status, &problem).into_parts();
    head.status = problem.status;
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    // It was the length of the old body.
    head.headers.remove(header::CONTENT_LENGTH);
    // The answer to HEAD has no body.
    let body = if plain.is_empty() { Body::empty() } else { body };
    Response::from_parts(head, body)
}

/// Whether `Accept` asks for problem documents: it names them, with a quality that is not below that of plain JSON. A wildcard
/// does not name them, so the answer is the plain body. If both have the same quality, `application/json` is meant for
/// successes.
fn prefers_problem(headers: &HeaderMap) -> bool {
    let named = |value: &HeaderValue| {
        value.as_bytes().windows(PROBLEM_JSON.len()).any(|part| part.eq_ignore_ascii_case(PROBLEM_JSON.as_bytes()))
    };
    if !headers.get_all(header::ACCEPT).iter().any(named) {
        return false;
    }
    let mut problem = 0;
    // The most specific range that fits decides (RFC 9110, 12.5.1).
    let (mut json, mut any_application, mut anything) = (None, None, None);
    let ranges = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    for (range, quality) in ranges.flat_map(|value| value.split(',')).filter_map(range_and_quality) {
        match range.to_ascii_lowercase().as_str() {
            PROBLEM_JSON => problem = problem.max(quality),
            "application/json" => json = json.max(Some(quality)),
            "application/*" => any_application = any_application.max(Some(quality)),
            "*/*" => anything = anything.max(Some(quality)),
            _ => {}
        }
    }
    problem > 0 && problem >= json.or(any_application).or(anything).unwrap_or(0)
}

/// One element of `Accept`, with its quality in thousandths; `None` if the quality is malformed.
fn range_and_quality(element: &str) -> Option<(&str, u16)> {
    let mut parts = element.split(';').map(str::trim);
    let range = parts.next()?;
    let weight = parts.filter_map(|part| part.split_once('=')).find(|(name, _)| name.eq_ignore_ascii_case("q"));
    let quality = weight.map_or(Some(1000), |(_, text)| thousandths(text))?;
    Some((range, quality))
}

/// A quality such as `0`, `0.5` or `1.000`: one digit, and at most three after the point.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !matches!(whole, "0" | "1") || fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let quality = format!("{whole}{fraction:0<3}").parse().ok()?;
    (quality <= 1000).then_some(quality)
}

#[cfg(test)]
mod tests {
    use tower_http::catch_panic::ResponseForPanic as _;

    use super::*;

    #[test]
    fn a_problem_document_must_be_named_with_enough_quality() {
        let table: &[(&[&str], bool)] = &[
            (&[], false),
            (&[""], false),
            (&["*/*"], false),
            (&["application/*"], false),
            (&["application/json"], false),
            (&["text/html,application/xhtml+xml,*/*;q=0.8"], false),
            (&["application/problem+xml"], false),
            (&["application/problem+json-seq"], false),
            (&["application/problem+json"], true),
            (&["Application/Problem+JSON"], true),
            (&["application/problem+json; charset=utf-8"], true),
            (&["application/problem+json;q=0.1"], true),
            (&["application/problem+json;q=0"], false),
            (&["application/problem+json;q=0.000"], false),
            (&["application/problem+json;q=0.0001"], false),
            (&["application/problem+json;q=2"], false),
            (&["application/problem+json;q=1.001"], false),
            (&["application/problem+json;q=often"], false),
            (&["application/problem+json;Q=1.000"], true),
            (&["application/json, application/problem+json"], true),
            (&["application/json", "application/problem+json"], true),
            (&["application/problem+json, */*;q=0.1"], true),
            (&["application/problem+json;q=0.5, application/json;q=0.4"], true),
            (&["application/problem+json;q=0.4, application/json;q=0.5"], false),
            (&["application/problem+json;q=0.5, */*"], false),
            (&["application/problem+json;q=0.5, application/json;q=0.4, */*"], true),
            (&["application/problem+json;q=0.5, application/*;q=0.4, */*"], true),
            (&["application/json;q=0, application/problem+json;q=0.1, */*"], true),
            (&[", ,;q=1,application/problem+json"], true),
        ];
        for (accept, expected) in table {
            let headers = accept.iter().map(|value| (header::ACCEPT, HeaderValue::from_static(value))).collect();
            assert_eq!(prefers_problem(&headers), *expected, "{accept:?}");
        }
    }

    #[test]
    fn the_type_names_the_refusal_or_else_the_meaning_of_the_status() {
        for (status, refusal, error, slug, title) in [
            (409, Some("insufficient-funds"), "Insufficient funds", "insufficient-funds", "Insufficient funds"),
            (409, Some("sold-out"), "Sold out", "sold-out", "Sold out"),
            (404, Some("user-not-found"), "User not found", "user-not-found", "User not found"),
            (412, Some("version-mismatch"), "Version does not match", "version-mismatch", "Version does not match"),
            (404, None, "/nonsense is not a route", "unknown", "Unknown route or approach"),
            // The sentence of a refusal does not make a refusal.
            (422, None, "Sold out", "invalid", "Invalid input"),
            (504, None, "Outcome unknown", "outcome-unknown", "Outcome unknown"),
        ] {
            let headers = refusal.map(|name| (LAB_REFUSAL, HeaderValue::from_static(name))).into_iter().collect();
            let status_code = StatusCode::from_u16(status).unwrap();
            let problem = Problem::of(status_code, refusal_of(&headers), Some(error), Uuid::nil());
            assert_eq!((problem.r#type, problem.title), (format!("{PAGE}#{slug}").into(), title.into()), "{error}");
            assert_eq!((problem.status, problem.detail.as_deref()), (status, Some(error)));
            assert_eq!(problem.instance, "urn:uuid:00000000-0000-0000-0000-000000000000");
        }
        let plain = Problem::of(StatusCode::IM_A_TEAPOT, None, None, Uuid::nil());
        assert_eq!((plain.r#type, plain.title, plain.detail), ("about:blank".into(), "I'm a teapot".into(), None));
    }

    #[tokio::test]
    async fn a_panic_becomes_a_problem_document_and_other_headers_are_kept() {
        let mut panicked = answer::Panicked.response_for_panic(Box::new("oops"));
        panicked.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        let form = ErrorForm { problem: Some(Uuid::nil()), cacheable: false };
        let response = form.give(panicked).await;
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM_JSON);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(response.headers()[header::VARY], "accept");
        let body = to_bytes(response.into_body(), ERROR_MAX).await.unwrap();
        let expected = r#"{"type":"/docs/problems#internal","title":"Internal error","status":500,"detail":"Internal error","instance":"urn:uuid:00000000-0000-0000-0000-000000000000"}"#;
        assert_eq!(body, expected);
    }
}
