//! A request of a file as data.

use hyper::header::{COOKIE, HeaderName, HeaderValue};
use hyper::{Method, Uri};
use serde_json::Value;

use crate::explore::file::fields::expected;

/// Characters of a body that a title shows.
const SHOWN_BODY: usize = 60;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestScript {
    /// Its method.
    pub method: Method,
    /// Its path, with the query.
    pub path: Uri,
    /// Headers beside `Host`, `Content-Type` and `Content-Length`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Its body, if it has one.
    pub body: Option<RequestBody>,
    /// Requests that are sent before it and are no part of what is explored, such as a login.
    pub before: Vec<RequestScript>,
}

/// In a header, what the last request before has answered: `{before./token}` has a JSON pointer.
const OF_BEFORE: &str = "{before.";

/// The body of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestBody {
    /// The value of `Content-Type`.
    pub content_type: HeaderValue,
    /// The text.
    pub text: String,
}

impl RequestScript {
    /// A request without headers and body: a method and a path, such as `POST /withdraw`.
    ///
    /// # Errors
    /// What is wrong, with the field.
    pub fn parse(field: &str, send: &str) -> Result<Self, String> {
        let what = "a method and a path, such as \"POST /withdraw\"";
        let wrong = || expected(field, what, format_args!("{send:?}"));
        let (method, path) = send.trim().split_once(' ').ok_or_else(wrong)?;
        let is_method = !method.is_empty() && method.bytes().all(|letter| letter.is_ascii_uppercase());
        let method = Method::from_bytes(method.as_bytes()).ok().filter(|_| is_method).ok_or_else(wrong)?;
        let path: Uri = path.trim().parse().ok().filter(|_| path.trim().starts_with('/')).ok_or_else(wrong)?;
        Ok(Self { method, path, headers: Vec::new(), body: None, before: Vec::new() })
    }

    /// The request with these cookies, and with values of the body of the last request before in its headers.
    ///
    /// # Errors
    /// Which value is missing.
    pub fn after(&self, cookies: &[String], body: &Value) -> Result<Self, String> {
        let mut request = self.clone();
        for (name, value) in &mut request.headers {
            let mut text = value.to_str().unwrap_or_default().to_owned();
            while let Some(at) = text.find(OF_BEFORE) {
                let rest = &text[at + OF_BEFORE.len()..];
                let pointer = rest.split_once('}').map_or(rest, |(pointer, _)| pointer).to_owned();
                let found =
                    body.pointer(&pointer).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
                let found = found.ok_or_else(|| {
                    format!("headers.{name}: expected a value at {pointer} in the answer of the last request before, found none")
                })?;
                text = text.replacen(&format!("{OF_BEFORE}{pointer}}}"), &found, 1);
            }
            *value = HeaderValue::from_str(&text)
                .map_err(|_| format!("headers.{name}: expected visible characters, found {text:?}"))?;
        }
        if let Ok(cookies) = HeaderValue::from_str(&cookies.join("; "))
            && !cookies.is_empty()
        {
            request.headers.push((COOKIE, cookies));
        }
        Ok(request)
    }

    /// What it asks for, in one line.
    #[must_use]
    pub fn title(&self) -> String {
        let text = self.body.as_ref().map_or("", |body| body.text.as_str());
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let shown: String = line.chars().take(SHOWN_BODY).collect();
        let rest = if shown.len() < line.len() { " …" } else { "" };
        format!("{} {} {shown}{rest}", self.method, self.path).trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_a_method_and_a_path() {
        let request = RequestScript::parse("send", "POST /withdraw?dry=1").expect("a request");
        assert_eq!((request.method.as_str(), request.title().as_str()), ("POST", "POST /withdraw?dry=1"));
        for wrong in ["/withdraw", "post /withdraw", "POST withdraw", "POST", "GET /a b", ""] {
            let found = RequestScript::parse("request A: send", wrong).expect_err(wrong);
            assert!(found.starts_with("request A: send: expected a method and a path"), "{found}");
        }
    }

    #[test]
    fn a_request_takes_over_cookies_and_values_of_the_one_before() {
        let mut request = RequestScript::parse("send", "GET /").expect("a request");
        let bearer = HeaderValue::from_static("Bearer {before./a/token}");
        request.headers.push((HeaderName::from_static("authorization"), bearer));
        let body = serde_json::json!({ "a": { "token": "x1" } });
        let after = request.after(&["sid=1".to_owned(), "b=2".to_owned()], &body).expect("a request");
        let headers: Vec<&str> = after.headers.iter().map(|(_, value)| value.to_str().expect("text")).collect();
        assert_eq!(headers, ["Bearer x1", "sid=1; b=2"]);
        let error = request.after(&[], &Value::Null).expect_err("no value");
        assert!(error.starts_with("headers.authorization: expected a value at /a/token"), "{error}");
    }

    #[test]
    fn a_title_shows_the_beginning_of_the_body() {
        let mut request = RequestScript::parse("send", "POST /withdraw").expect("a request");
        let json = HeaderValue::from_static("application/json");
        let mut with = |text: &str| {
            request.body = Some(RequestBody { content_type: json.clone(), text: text.to_owned() });
            request.title()
        };
        assert_eq!(with("{\"user\": 1,\n \"amount\": 30}"), "POST /withdraw {\"user\": 1, \"amount\": 30}");
        assert!(with(&"é".repeat(200)).ends_with("é …"));
    }
}
