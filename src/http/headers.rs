//! Request headers that change what an operation does: `If-Match`, `Idempotency-Key`, and the experiment headers.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, header};
use uuid::Uuid;

use super::answer::{self, Rejection};
use crate::config::{FAULT_MAX, THINK_TIME_MAX};
use crate::engine::{Instrumentation, OperationError};
use crate::strategy::Approach;

/// The header with the client's key of a change that must be made only once.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Reads the experiment headers, if they are honoured.
///
/// # Errors
/// The answer to send: 422 for a value that is not allowed.
pub fn instrumentation(headers: &HeaderMap, honoured: bool) -> Result<Instrumentation, Rejection> {
    if !honoured {
        return Ok(Instrumentation::default());
    }
    let trace = match headers.get("lab-trace").map(axum::http::HeaderValue::as_bytes) {
        None | Some(b"0") => false,
        Some(b"1") => true,
        Some(other) => return Err(invalid("Lab-Trace", "0 or 1", other)),
    };
    let think_time = match headers.get("lab-think-time").map(axum::http::HeaderValue::as_bytes) {
        None => None,
        Some(text) => Some(think_time(text).ok_or_else(|| {
            invalid("Lab-Think-Time", &format!("whole milliseconds from 0 to {}", THINK_TIME_MAX.as_millis()), text)
        })?),
    };
    let fault =
        match headers.get("lab-fault").map(axum::http::HeaderValue::as_bytes) {
            None => None,
            Some(text) => Some(fault(text).ok_or_else(|| {
                invalid("Lab-Fault", &format!("the number of a statement, from 1 to {FAULT_MAX}"), text)
            })?),
        };
    Ok(Instrumentation { trace, think_time, fault })
}

fn fault(text: &[u8]) -> Option<u32> {
    let statements = std::str::from_utf8(text).ok()?.parse().ok()?;
    (1..=FAULT_MAX).contains(&statements).then_some(statements)
}

fn think_time(text: &[u8]) -> Option<Duration> {
    let pause = Duration::from_millis(std::str::from_utf8(text).ok()?.parse().ok()?);
    (pause <= THINK_TIME_MAX).then_some(pause)
}

/// Reads `If-Match`. An approach that cannot honour it refuses it, because ignoring it would break a guarantee that the
/// client asked for.
///
/// # Errors
/// 501 with the reason, or 422 for a malformed `If-Match`.
pub fn if_version(headers: &HeaderMap, approach: Approach) -> Result<Option<i64>, Rejection> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    if !approach.info().honours_if_match {
        return Err(unsupported(format!(
            "If-Match: not supported by {approach}, which compares no versions; use optimistic-version"
        )));
    }
    // RFC 9110, 13.1.1: "*" matches any version (an unknown user is refused anyway), and a weak tag never matches.
    let tag = value.as_bytes();
    if tag == b"*" {
        return Ok(None);
    }
    if tag.starts_with(b"W/\"") {
        return Ok(Some(NO_VERSION));
    }
    let version = tag
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""))
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|digits| digits.parse().ok());
    version.map(Some).ok_or_else(|| invalid("If-Match", "one quoted version as returned in ETag, such as \"12\"", tag))
}

/// Refuses `If-Match` on a route where no approach compares versions.
///
/// # Errors
/// 501 with the reason.
pub fn no_version(headers: &HeaderMap) -> Result<(), Rejection> {
    if headers.contains_key(header::IF_MATCH) {
        return Err(unsupported(
            "If-Match: supported only for one balance or one counter, by optimistic-version".to_owned(),
        ));
    }
    Ok(())
}

/// Refuses `If-Match` and `Idempotency-Key` on a reset, which replaces everything.
///
/// # Errors
/// 501 with the reason.
pub fn none_on_a_reset(headers: &HeaderMap) -> Result<(), Rejection> {
    match [header::IF_MATCH, IDEMPOTENCY_KEY].iter().find(|name| headers.contains_key(*name)) {
        Some(name) => {
            Err(unsupported(format!("{name}: not supported on a reset, which also replaces the versions and the keys")))
        }
        None => Ok(()),
    }
}

/// Reads the key of a change that must be made only once, if there is one: a UUID, bare or in double quotes (as a
/// string of RFC 8941).
///
/// # Errors
/// 501 with the reason, or 422 for a value that is not one UUID.
pub fn idempotency_key(headers: &HeaderMap, approach: Approach) -> Result<Option<Uuid>, Rejection> {
    let mut values = headers.get_all(&IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if !approach.info().crash_atomic {
        return Err(unsupported(format!(
            "Idempotency-Key: not supported by {approach}, which has no transaction to store the key with the change"
        )));
    }
    let text = value.as_bytes();
    let bare = text.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(text);
    match Uuid::try_parse_ascii(bare) {
        Ok(key) if values.next().is_none() => Ok(Some(key)),
        Ok(_) => Err(Rejection::invalid("Idempotency-Key: expected one key, found several")),
        Err(_) => Err(invalid("Idempotency-Key", "a UUID", text)),
    }
}

/// A version that never matches, because versions start from 1.
const NO_VERSION: i64 = 0;

fn unsupported(reason: String) -> Rejection {
    let failure = OperationError::Unsupported(reason.into());
    Rejection::new(answer::status(&failure), failure.to_string())
}

fn invalid(name: &str, expected: &str, found: &[u8]) -> Rejection {
    let found = String::from_utf8_lossy(&found[..found.len().min(40)]);
    Rejection::invalid(format!("{name}: expected {expected}, found {found:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn with(name: &'static str, value: &'static str) -> HeaderMap {
        [(HeaderName::from_static(name), HeaderValue::from_static(value))].into_iter().collect()
    }

    #[test]
    fn a_bad_think_time_gets_an_error_that_names_the_header() {
        for (value, expected) in [
            ("0", Some(0)),
            ("5", Some(5)),
            ("1000", Some(1000)),
            ("1001", None),
            ("-1", None),
            ("5ms", None),
            ("", None),
        ] {
            let read = instrumentation(&with("lab-think-time", value), true);
            assert_eq!(read.ok().and_then(|e| e.think_time), expected.map(Duration::from_millis), "{value:?}");
        }
        assert_eq!(instrumentation(&with("lab-think-time", "nonsense"), false).ok(), Some(Instrumentation::default()));
    }

    #[test]
    fn if_match_takes_one_quoted_version_and_is_refused_by_approaches_that_do_not_honour_it() {
        let optimistic = Approach::OptimisticVersion;
        for (value, expected) in [
            ("\"12\"", Ok(Some(12))),
            ("*", Ok(None)),
            ("12", Err(422)),
            ("W/\"12\"", Ok(Some(NO_VERSION))),
            ("\"x\"", Err(422)),
        ] {
            let read = if_version(&with("if-match", value), optimistic).map_err(|rejection| rejection.status.as_u16());
            assert_eq!(read, expected, "{value:?}");
        }
        assert_eq!(if_version(&with("if-match", "\"12\""), Approach::Naive).unwrap_err().status, 501);
        assert_eq!(if_version(&HeaderMap::new(), Approach::Naive).ok(), Some(None));
    }
}
