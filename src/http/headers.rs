//! Request headers that change what an operation does: `If-Match`, `Idempotency-Key`, and the experiment headers.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, header};
use uuid::Uuid;

use super::answer::{self, Rejection};
use crate::config::{FAULT_MAX, THINK_TIME_MAX};
use crate::engine::{Instrumentation, OperationError};
use crate::strategy::Approach;

/// The client's name for a change that is to be made once.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Reads the experiment headers, where they are honoured.
///
/// # Errors
/// The 422 to answer to a value that is not allowed.
pub fn experiment(headers: &HeaderMap, honoured: bool) -> Result<Instrumentation, Rejection> {
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

/// Refuses headers that ask for a guarantee which the approach cannot give: ignoring them would be a broken promise.
///
/// # Errors
/// 501 with the reason, or 422 to a malformed `If-Match`.
pub fn if_version(headers: &HeaderMap, approach: Approach) -> Result<Option<i64>, Rejection> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    if !approach.info().honours_if_match {
        return Err(unsupported(format!("If-Match: {approach} compares no versions; optimistic-version does")));
    }
    // RFC 9110, 13.1.1: "*" is any version, and a user that is unknown is refused anyway; a weak tag never matches.
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
    version.map(Some).ok_or_else(|| invalid("If-Match", "one quoted version, as ETag gave it, like \"12\"", tag))
}

/// As [`if_version`], where no approach compares versions.
///
/// # Errors
/// 501 with the reason.
pub fn no_version(headers: &HeaderMap) -> Result<(), Rejection> {
    if headers.contains_key(header::IF_MATCH) {
        return Err(unsupported(
            "If-Match: only where one row is addressed, a balance or a counter, on optimistic-version".to_owned(),
        ));
    }
    Ok(())
}

/// As [`if_version`] and [`idempotency_key`], where everything is replaced.
///
/// # Errors
/// 501 with the reason.
pub fn none_on_a_reset(headers: &HeaderMap) -> Result<(), Rejection> {
    match [header::IF_MATCH, IDEMPOTENCY_KEY].iter().find(|name| headers.contains_key(*name)) {
        Some(name) => Err(unsupported(format!(
            "{name}: not on a reset, which replaces all data, the versions and the keys as well"
        ))),
        None => Ok(()),
    }
}

/// Reads the key under which a change is to be made once, if there is one: a UUID, bare or, as a string of RFC 8941, in
/// double quotes.
///
/// # Errors
/// 501 with the reason, or 422 to anything else.
pub fn idempotency_key(headers: &HeaderMap, approach: Approach) -> Result<Option<Uuid>, Rejection> {
    let mut values = headers.get_all(&IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if !approach.info().crash_atomic {
        return Err(unsupported(format!(
            "Idempotency-Key: {approach} has no transaction in which to store the key with the change"
        )));
    }
    let text = value.as_bytes();
    let bare = text.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(text);
    match Uuid::try_parse_ascii(bare) {
        Ok(key) if values.next().is_none() => Ok(Some(key)),
        Ok(_) => Err(Rejection::invalid("Idempotency-Key: expected one, found several")),
        Err(_) => Err(invalid("Idempotency-Key", "a UUID", text)),
    }
}

/// Versions start from 1: this one never matches.
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
    fn think_time_is_bounded_and_named_when_wrong() {
        for (value, expected) in [
            ("0", Some(0)),
            ("5", Some(5)),
            ("1000", Some(1000)),
            ("1001", None),
            ("-1", None),
            ("5ms", None),
            ("", None),
        ] {
            let read = experiment(&with("lab-think-time", value), true);
            assert_eq!(read.ok().and_then(|e| e.think_time), expected.map(Duration::from_millis), "{value:?}");
        }
        assert_eq!(experiment(&with("lab-think-time", "nonsense"), false).ok(), Some(Instrumentation::default()));
    }

    #[test]
    fn if_match_is_one_quoted_version_and_only_where_it_is_honoured() {
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
