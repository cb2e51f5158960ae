//! The first step of every request: it gets an id, and the server checks its Host and, if it changes something, its Origin.
//!
//! The server listens where a browser can reach it. Any web page that a user visits may send requests to it (cross-site
//! request forgery), or let its own host name resolve to 127.0.0.1 and read the answers too (DNS rebinding). So a
//! request is refused if its Host is a name that is not allowed. One that changes something is also refused if its Origin is not that Host.
//! A page with another Origin may send a read, but its browser does not show it the answer. Command-line clients send no Origin and are not
//! affected.

use std::net::IpAddr;

use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Version, header};
use axum::response::{IntoResponse as _, Response};
use uuid::Uuid;

use super::AppState;
use super::answer::{LAB_ATTEMPTS, Rejection};

/// The header with the request's id: the client's own id if it sent one, otherwise the session's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id of a client that is returned, in bytes.
const REQUEST_ID_MAX: usize = 128;

/// The id of the request's session with the database.
#[derive(Debug, Clone, Copy)]
pub struct SessionId(pub Uuid);

impl SessionId {
    /// The id that [`admit`] gave to a request.
    pub fn of(extensions: &Extensions) -> Self {
        // Every route is behind the guard. A request that bypassed it still gets an id of its own.
        extensions.get().copied().unwrap_or_else(|| Self(Uuid::new_v4()))
    }
}

/// Gives a request its id, and admits or refuses it. [`sign`] puts the id on the answer.
pub fn admit<B>(app: &AppState, request: &mut Request<B>) -> Result<HeaderValue, Box<Response>> {
    let session = Uuid::new_v4();
    let id = match request.headers().get(&REQUEST_ID).filter(|id| id.len() <= REQUEST_ID_MAX) {
        Some(request_id) => {
            tracing::debug!(%session, ?request_id, "the client sent its own request id for this session");
            request_id.clone()
        }
        None => encoded(session),
    };
    request.extensions_mut().insert(SessionId(session));
    if let Some(reason) = ambiguous_host(request) {
        let mut response = Rejection::new(StatusCode::BAD_REQUEST, reason).into_response();
        sign(&mut response, id);
        return Err(Box::new(response));
    }
    let (headers, allowed) = (request.headers(), &app.allowed_hosts);
    let refusal = if request.method().is_safe() {
        // HTTP/1.0 has no Host. Health checks send it so; no browser does.
        let may_lack_host = request.version() == Version::HTTP_10 && !headers.contains_key(header::HOST);
        if may_lack_host { None } else { checked_host(headers, allowed).err() }
    } else {
        refusal(headers, allowed)
    };
    if let Some(reason) = refusal {
        let mut response = Rejection::new(StatusCode::FORBIDDEN, reason).into_response();
        sign(&mut response, id);
        return Err(Box::new(response));
    }
    Ok(id)
}

/// Why it is not clear for which host a request is: a proxy could have read another one than this server (RFC 9112, 3.2).
fn ambiguous_host<B>(request: &Request<B>) -> Option<String> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next()?;
    if hosts.next().is_some() {
        return Some("Host: expected it once, found it more than once".to_owned());
    }
    let authority = request.uri().authority()?;
    let same = host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes());
    (!same).then(|| format!("Host: expected {authority}, which the address of the request names, found {host:?}"))
}

/// Adds the headers that every answer has: the request's id, and the number of attempts, which may be 0.
pub fn sign(response: &mut Response, id: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    headers.entry(LAB_ATTEMPTS).or_insert(HeaderValue::from_static("0"));
}

fn encoded(id: Uuid) -> HeaderValue {
    let mut buffer = Uuid::encode_buffer();
    // Hexadecimal digits and hyphens are valid in a header's value.
    HeaderValue::from_str(id.hyphenated().encode_lower(&mut buffer)).unwrap_or(HeaderValue::from_static("unknown"))
}

/// The Host of a request, if requests are accepted under that name; otherwise why not.
pub fn checked_host<'a>(headers: &'a HeaderMap, allowed: &[String]) -> Result<&'a str, String> {
    let host = match headers.get(header::HOST).map(HeaderValue::to_str) {
        Some(Ok(host)) => host,
        Some(Err(_)) => return Err("Host: expected visible ASCII characters only".to_owned()),
        None => return Err("Host: missing".to_owned()),
    };
    if host_allowed(host, allowed) {
        Ok(host)
    } else {
        Err(format!("Host: expected an IP address, localhost or a name given by --allow-host, found {host:?}"))
    }
}

/// Why a request that changes something is refused, if it is.
pub fn refusal(headers: &HeaderMap, allowed: &[String]) -> Option<String> {
    let host = match checked_host(headers, allowed) {
        Ok(host) => host,
        Err(reason) => return Some(reason),
    };
    let origin = headers.get(header::ORIGIN)?;
    let own = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")));
    match own {
        Some(origin) if origin.eq_ignore_ascii_case(host) => None,
        _ => Some(format!("Origin: expected this server's own origin ({host}), found {origin:?}")),
    }
}

fn host_allowed(host: &str, allowed: &[String]) -> bool {
    let name = without_port(host);
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    address.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || allowed.iter().any(|allowed| name.eq_ignore_ascii_case(allowed))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_refused_when_its_host_or_its_origin_is_not_allowed() {
        let allowed = ["lab.example".to_owned()];
        // Host, Origin, allowed
        let table = [
            (Some("127.0.0.1:3000"), None, true),
            (Some("localhost:3000"), None, true),
            (Some("LOCALHOST"), None, true),
            (Some("[::1]:3000"), None, true),
            (Some("[::1]"), None, true),
            (Some("192.168.1.7"), None, true),
            (Some("lab.example:80"), None, true),
            (Some("evil.example"), None, false),
            (Some("localhost.evil.example:3000"), None, false),
            (Some("127.0.0.1.evil.example"), None, false),
            (Some(""), None, false),
            (None, None, false),
            (Some("127.0.0.1:3000"), Some("http://127.0.0.1:3000"), true),
            (Some("localhost:3000"), Some("http://LOCALHOST:3000"), true),
            (Some("lab.example"), Some("https://lab.example"), true),
            (Some("127.0.0.1:3000"), Some("http://127.0.0.1:4000"), false),
            (Some("127.0.0.1:3000"), Some("http://localhost:3000"), false),
            (Some("127.0.0.1:3000"), Some("http://evil.example"), false),
            (Some("127.0.0.1:3000"), Some("null"), false),
            (Some("evil.example"), Some("http://evil.example"), false),
        ];
        for (host, origin, expected) in table {
            let mut headers = HeaderMap::new();
            if let Some(host) = host {
                headers.insert(header::HOST, HeaderValue::from_static(host));
            }
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            let refused = refusal(&headers, &allowed);
            assert_eq!(refused.is_none(), expected, "Host {host:?}, Origin {origin:?}: {refused:?}");
        }
    }
}
