//! One HTTP request to the application, on a connection of its own.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, SET_COOKIE};
use hyper::{Request, Version};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::request_script::RequestScript;

/// How long an answer may take: longer than every wait of the explorer, which gives up first.
const ANSWER_MAX: Duration = Duration::from_mins(2);

/// The longest body of an answer, in bytes. It is compared and shown.
const BODY_MAX: usize = 1 << 20;

/// Characters of an answer that a column shows.
const SHOWN_BODY: usize = 200;

/// What the application answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppAnswer {
    /// The status.
    pub status: u16,
    /// The body, as text.
    pub body: String,
    /// The cookies that it sets, each as `name=value`.
    pub cookies: Vec<String>,
}

impl AppAnswer {
    /// Status and body, such as `200: {"balance":70}`.
    #[must_use]
    pub fn in_words(&self) -> String {
        let line = self.body.split_whitespace().collect::<Vec<_>>().join(" ");
        let shown: String = line.chars().take(SHOWN_BODY).collect();
        if shown.is_empty() { self.status.to_string() } else { format!("{}: {shown}", self.status) }
    }

    /// Whether the request was done: a status below 400.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.status < 400
    }

    /// The values of the body, by the JSON pointer of each; the whole text under an empty one if it is no JSON.
    #[must_use]
    pub fn values(&self) -> Vec<(String, Value)> {
        let mut found = Vec::new();
        match serde_json::from_str(&self.body) {
            Ok(json) => leaves(&json, String::new(), &mut found),
            Err(_) if self.body.is_empty() => {}
            Err(_) => found.push((String::new(), Value::String(self.body.clone()))),
        }
        found
    }
}

fn leaves(value: &Value, pointer: String, found: &mut Vec<(String, Value)>) {
    let below = |name: &str| format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter().for_each(|(name, value)| leaves(value, below(name), found));
        }
        Value::Array(values) if !values.is_empty() => {
            values.iter().enumerate().for_each(|(at, value)| leaves(value, below(&at.to_string()), found));
        }
        other => found.push((pointer, other.clone())),
    }
}

/// Sends the requests before a request, one after the other with the cookies of those before, and returns the request with what they gave.
///
/// # Errors
/// Which of them was not done, or which value is missing.
pub async fn prepare(port: u16, request: &RequestScript, number: usize) -> Result<RequestScript, String> {
    let (mut cookies, mut body): (Vec<String>, Value) = (Vec::new(), Value::Null);
    for before in &request.before {
        let sent = before.after(&cookies, &body)?;
        let answer = send(port, &sent, number).await.map_err(|why| format!("before: {}: {why}", before.title()))?;
        if !answer.is_ok() {
            return Err(format!("before: {} is answered {}", before.title(), answer.in_words()));
        }
        let name = |cookie: &String| cookie.split('=').next().unwrap_or_default().to_owned();
        cookies.retain(|old| !answer.cookies.iter().any(|new| name(new) == name(old)));
        cookies.extend(answer.cookies);
        body = serde_json::from_str(&answer.body).unwrap_or_default();
    }
    request.after(&cookies, &body)
}

/// Sends a request to the application at this port, and waits for its whole answer. `number` is the request's place in the file, which its
/// `traceparent` carries.
///
/// # Errors
/// Why there is no answer.
pub async fn send(port: u16, request: &RequestScript, number: usize) -> Result<AppAnswer, String> {
    tokio::time::timeout(ANSWER_MAX, exchange(port, request, number))
        .await
        .map_err(|_elapsed| format!("no answer within {} s", ANSWER_MAX.as_secs()))?
        .map_err(|error| error.to_string())
}

async fn exchange(
    port: u16,
    request: &RequestScript,
    number: usize,
) -> Result<AppAnswer, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let text = request.body.as_ref().map(|body| body.text.clone()).unwrap_or_default();
    let mut sent = Request::new(Full::new(Bytes::from(text)));
    *sent.method_mut() = request.method.clone();
    *sent.uri_mut() = request.path.clone();
    *sent.version_mut() = Version::HTTP_11;
    let headers = sent.headers_mut();
    headers.insert(HOST, HeaderValue::from_str(&format!("127.0.0.1:{port}"))?);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(HeaderName::from_static("traceparent"), HeaderValue::from_str(&traceparent(number))?);
    if let Some(body) = &request.body {
        headers.insert(CONTENT_TYPE, body.content_type.clone());
    }
    for (name, value) in &request.headers {
        headers.insert(name.clone(), value.clone());
    }
    let answer = async {
        let (head, body) = sender.send_request(sent).await?.into_parts();
        let body = Limited::new(body, BODY_MAX).collect().await?.to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        let set = head.headers.get_all(SET_COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let cookies = set.filter_map(|cookie| Some(cookie.split(';').next()?.trim().to_owned())).collect();
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(AppAnswer { status: head.status.as_u16(), body, cookies })
    };
    tokio::pin!(answer);
    tokio::select! {
        biased;
        answered = &mut answer => answered,
        // The connection may end with the answer, which has arrived then.
        ended = connection => {
            ended?;
            answer.await
        }
    }
}

/// W3C's header that names a request, with the request's place in both ids, from 1 on.
fn traceparent(number: usize) -> String {
    let place = number + 1;
    format!("00-{place:032x}-{place:016x}-01")
}

/// The request that a comment in a statement names: `req=A`, or the `traceparent` that sqlcommenter copies from the request.
#[must_use]
pub fn tagged_request(sql: &str) -> Option<usize> {
    let comments = sql.split("/*").skip(1).filter_map(|rest| Some(rest.split_once("*/")?.0.trim()));
    comments.into_iter().find_map(|comment| {
        if let Some((_, name)) = comment.split_once("req=") {
            let letter = name.trim_start_matches(['\'', '"']).bytes().next()?;
            return letter.is_ascii_uppercase().then(|| usize::from(letter - b'A'));
        }
        let (_, trace) = comment.split_once("traceparent='00-")?;
        let place = usize::from_str_radix(trace.get(..32)?, 16).ok()?;
        place.checked_sub(1)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_values_of_a_body_have_pointers() {
        let answer = |body: &str| AppAnswer { status: 200, body: body.to_owned(), cookies: Vec::new() };
        let of = |body: &str| answer(body).values();
        let pair = |pointer: &str, value: Value| (pointer.to_owned(), value);
        assert_eq!(
            of("{\"a/b\": [1, {\"c\": \"x\"}], \"d\": null, \"e\": []}"),
            [pair("/a~1b/0", json!(1)), pair("/a~1b/1/c", json!("x")), pair("/d", Value::Null), pair("/e", json!([]))]
        );
        assert_eq!(of("Created"), [pair("", json!("Created"))]);
        assert_eq!(of(""), []);
        assert_eq!(answer("{\n \"a\": 1}").in_words(), "200: { \"a\": 1}");
    }

    #[test]
    fn a_comment_names_the_request_that_sent_a_statement() {
        let trace = format!("select 1 /*action='x',traceparent='{}'*/", traceparent(1));
        for (sql, expected) in [
            ("select 1 /*req=A*/", Some(0)),
            ("/* req='C' */ select 1", Some(2)),
            (trace.as_str(), Some(1)),
            ("select 'req=A'", None),
            ("select 1 /* a comment */", None),
        ] {
            assert_eq!(tagged_request(sql), expected, "{sql}");
        }
    }
}
