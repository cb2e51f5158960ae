//! Reads answers: where their numbers are, and how the operation ended.

use hyper::HeaderMap;
use hyper::header::HeaderName;
use serde::Deserialize;
use serde_json::Value;

use super::{Exactly, RefusalAnswer, Route, RowRead};
use crate::lab::client::HttpAnswer;
use domain::Row;
use referee::history::{ObservedRow, Outcome, Request, RowState};

/// Where a value is in an answer: a JSON pointer (RFC 6901) such as `/account/balance` into its body, or a header,
/// `header:etag`. In the header `lab-versions` it is the number after the name of the row.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum ValueLocation {
    /// In the body.
    Pointer(String),
    /// In a header, with quotes (as in an `ETag`) or without.
    Header(HeaderName),
}

/// Each changed row with its new version: `users/1=12, users/2=7`.
const LAB_VERSIONS: &str = "lab-versions";

impl TryFrom<String> for ValueLocation {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix("header:") {
            return name
                .parse()
                .map(Self::Header)
                .map_err(|_| format!("expected the name of a header, found {name:?}"));
        }
        if text.is_empty() || text.starts_with('/') {
            return Ok(Self::Pointer(text));
        }
        Err(format!("expected a JSON pointer such as /account/balance, or header:etag, found {text:?}"))
    }
}

impl ValueLocation {
    /// Whether the value is this text.
    fn is(&self, text: &str, answer: &HttpAnswer) -> bool {
        match self {
            Self::Header(name) => answer.headers.get(name).is_some_and(|value| value == text),
            Self::Pointer(pointer) => serde_json::from_slice::<Value>(&answer.body)
                .is_ok_and(|body| body.pointer(pointer).and_then(Value::as_str) == Some(text)),
        }
    }

    /// The value as a number; of `lab-versions`, the version of `row`.
    fn number(&self, row: Row, body: &Value, headers: &HeaderMap) -> Option<i64> {
        match self {
            Self::Pointer(pointer) => body.pointer(pointer)?.as_i64(),
            Self::Header(name) => {
                let text = headers.get(name)?.to_str().ok()?;
                if name.as_str() == LAB_VERSIONS {
                    return version_of(row, text);
                }
                text.trim_start_matches("W/").trim_matches('"').parse().ok()
            }
        }
    }
}

fn version_of(row: Row, text: &str) -> Option<i64> {
    text.split(", ").find_map(|entry| {
        let (name, version) = entry.split_once('=')?;
        (name.parse() == Ok(row)).then(|| version.parse().ok())?
    })
}

/// An answer lacks a value of a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no {what} in {body}")]
pub struct Misread {
    what: &'static str,
    body: String,
}

impl Route {
    /// The outcome of an operation that was answered. A success without a value that the route describes is unexpected.
    #[must_use]
    pub fn understand(&self, request: &Request, answer: &HttpAnswer) -> Outcome {
        let status = answer.status.as_u16();
        if let Some(reason) = self.refused.iter().find_map(|refused| refused.reason(request, answer)) {
            return Outcome::Refused(reason);
        }
        match status {
            200..=299 => self.done(request, answer).map_or(Outcome::Unexpected, Outcome::Done),
            429 | 503 => Outcome::NotDone,
            502 | 504 => Outcome::Unknown,
            _ => Outcome::Unexpected,
        }
    }

    /// The rows that a success shows; `None` if it lacks a value that the route describes.
    fn done(&self, request: &Request, answer: &HttpAnswer) -> Option<[Option<ObservedRow>; 2]> {
        // The body may be anything if the route reads nothing from it.
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let values = match request {
            Request::Transfer { .. } => [&self.from, &self.to],
            _ => [&self.value, &None],
        };
        let mut seen = [None; 2];
        for ((seen, find), (row, _)) in seen.iter_mut().zip(values).zip(request.effects().iter()) {
            let Some(find) = find else { continue };
            let value = find.number(*row, &body, &answer.headers)?;
            let version = self.version.as_ref().and_then(|find| find.number(*row, &body, &answer.headers));
            *seen = Some(ObservedRow { value, version });
        }
        Some(seen)
    }
}

impl RefusalAnswer {
    /// What the answer refuses the request for, if it is this refusal.
    fn reason(&self, request: &Request, answer: &HttpAnswer) -> Option<referee::history::Reason> {
        let status = answer.status.as_u16();
        match self {
            Self::Status(wanted) => (*wanted == status).then(|| Route::reasons(request)[0]),
            Self::Exactly(Exactly { status: wanted, at, is, contains, reason }) => {
                let is_the_value = || match (at, is) {
                    (Some(at), Some(is)) => at.is(is, answer),
                    _ => true,
                };
                let has_the_text = || {
                    contains.is_empty() || answer.body.windows(contains.len()).any(|part| part == contains.as_bytes())
                };
                (*wanted == status && is_the_value() && has_the_text()).then_some(*reason)
            }
        }
    }
}

impl RowRead {
    /// The row that an answer shows.
    ///
    /// # Errors
    /// [`Misread`], which names the missing value.
    pub fn understand(&self, row: Row, answer: &HttpAnswer) -> Result<RowState, Misread> {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let missing = |what| Misread { what, body: String::from_utf8_lossy(&answer.body).chars().take(200).collect() };
        let number = |find: &Option<ValueLocation>, what| {
            let found = find.as_ref().and_then(|find| find.number(row, &body, &answer.headers));
            found.ok_or_else(|| missing(what))
        };
        let value = if self.value.is_some() {
            number(&self.value, "value")?
        } else {
            let left = number(&self.capacity, "capacity")?.checked_sub(number(&self.booked, "booked")?);
            left.ok_or_else(|| missing("valid number of seats"))?
        };
        let version = self.version.as_ref().and_then(|find| find.number(row, &body, &answer.headers));
        let mut bookings = None;
        if let Some(ValueLocation::Pointer(list)) = &self.bookings {
            let list = body.pointer(list).and_then(Value::as_array).ok_or_else(|| missing("list of bookings"))?;
            let mut users = Vec::with_capacity(list.len());
            for booking in list {
                let user = match &self.booking_user {
                    Some(ValueLocation::Pointer(pointer)) => booking.pointer(pointer).and_then(Value::as_i64),
                    _ => booking.as_i64(),
                };
                users.push(user.ok_or_else(|| missing("user of a booking"))?);
            }
            users.sort_unstable();
            bookings = Some(users);
        }
        Ok(RowState { seen: ObservedRow { value, version }, bookings })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use axum::body::Bytes;
    use hyper::StatusCode;

    use super::super::ServiceRoutes;
    use super::*;
    use referee::history::Reason;

    fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> HttpAnswer {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), hyper::header::HeaderValue::from_static(value)));
        HttpAnswer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers.collect(),
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    const fn seen(value: i64, version: i64) -> ObservedRow {
        ObservedRow { value, version: Some(version) }
    }

    #[test]
    fn our_own_answers_are_understood() {
        let routes = ServiceRoutes::ours();
        let balance = Request::Balance { user: 1, amount: -2 };
        let transfer = Request::Transfer { from: 2, to: 1, amount: 5 };
        let booking = Request::Booking { event: 2, user: 7 };
        let refused = Outcome::Refused;
        let refusal = |name, body| answer(409, &[("lab-refusal", name)], body);
        let table = [
            (
                balance,
                answer(200, &[("lab-versions", "users/1=12")], r#"{"balance":9998}"#),
                Outcome::Done([Some(seen(9998, 12)), None]),
            ),
            (
                balance,
                answer(200, &[], r#"{"balance":9998}"#),
                Outcome::Done([Some(ObservedRow { value: 9998, version: None }), None]),
            ),
            (balance, answer(200, &[], "{}"), Outcome::Unexpected),
            (
                balance,
                refusal("insufficient-funds", r#"{"error":"Insufficient funds"}"#),
                refused(Reason::InsufficientFunds),
            ),
            (
                balance,
                refusal("balance-out-of-range", r#"{"error":"Balance out of range"}"#),
                refused(Reason::OutOfRange),
            ),
            (balance, refusal("sold-out", r#"{"error":"Insufficient funds"}"#), Outcome::Unexpected),
            // A sentence alone is no refusal.
            (balance, answer(409, &[], r#"{"error":"Insufficient funds"}"#), Outcome::Unexpected),
            (balance, answer(503, &[], "{}"), Outcome::NotDone),
            (balance, answer(504, &[], "{}"), Outcome::Unknown),
            (balance, answer(500, &[], "{}"), Outcome::Unexpected),
            (balance, answer(404, &[], r#"{"error":"User not found"}"#), Outcome::Unexpected),
            (
                transfer,
                answer(
                    200,
                    &[("lab-versions", "users/1=3, users/2=4")],
                    r#"{"from":{"userId":2,"balance":5},"to":{"userId":1,"balance":15}}"#,
                ),
                Outcome::Done([Some(seen(5, 4)), Some(seen(15, 3))]),
            ),
            (
                booking,
                answer(201, &[("lab-versions", "events/2=2")], r#"{"bookingId":"x","eventId":2,"seatsLeft":99}"#),
                Outcome::Done([Some(seen(99, 2)), None]),
            ),
            (booking, refusal("already-booked", r#"{"error":"Already booked"}"#), refused(Reason::AlreadyBooked)),
            (
                Request::Increment { counter: 1 },
                answer(200, &[("lab-versions", "counters/1=2")], r#"{"value":2}"#),
                Outcome::Done([Some(seen(2, 2)), None]),
            ),
        ];
        for (request, answer, expected) in table {
            let route = routes.of(&request).unwrap();
            assert_eq!(route.understand(&request, &answer), expected, "{request}: {answer:?}");
        }
    }

    #[test]
    fn a_refusal_of_another_service_is_recognised_by_a_value_or_by_a_text() {
        let refused = |refusal: &str, answer: &HttpAnswer| {
            let refusal: RefusalAnswer =
                toml::from_str::<BTreeMap<String, RefusalAnswer>>(&format!("refusal = {refusal}"))
                    .unwrap()
                    .remove("refusal")
                    .unwrap();
            refusal.reason(&Request::Booking { event: 1, user: 1 }, answer)
        };
        let by_code = r#"{ status = 409, at = "/error/code", is = "full", reason = "sold-out" }"#;
        let by_text = r#"{ status = 409, contains = "is full", reason = "sold-out" }"#;
        let full = answer(409, &[], r#"{"error":{"code":"full","message":"The event is full"}}"#);
        let other = answer(409, &[], r#"{"error":{"code":"twice","message":"full"}}"#);
        let page = answer(409, &[], "not JSON");
        for (refusal, answer, expected) in [
            (by_code, &full, Some(Reason::SoldOut)),
            (by_code, &other, None),
            (by_code, &page, None),
            (by_text, &full, Some(Reason::SoldOut)),
            (by_text, &other, None),
        ] {
            assert_eq!(refused(refusal, answer), expected, "{refusal}: {answer:?}");
        }
    }

    #[test]
    fn rows_are_read_and_what_is_missing_is_named() {
        let routes = ServiceRoutes::ours();
        let read = &routes.booking.as_ref().unwrap().read;
        let whole = answer(200, &[("etag", "\"3\"")], r#"{"capacity":2,"booked":1,"bookings":[{"userId":7}]}"#);
        let expected = RowState { seen: ObservedRow { value: 1, version: Some(3) }, bookings: Some(vec![7]) };
        assert_eq!(read.understand(Row::Event(1), &whole), Ok(expected));
        for (body, what) in [
            ("{}", "capacity"),
            (r#"{"capacity":2,"booked":1}"#, "list of bookings"),
            (r#"{"capacity":2,"booked":1,"bookings":[1]}"#, "user of a booking"),
        ] {
            assert_eq!(read.understand(Row::Event(1), &answer(200, &[], body)).unwrap_err().what, what);
        }
    }

    #[test]
    fn a_place_in_an_answer_is_a_pointer_or_a_header() {
        let find = |text: &str| ValueLocation::try_from(text.to_owned());
        assert!(
            matches!(find("/a/b"), Ok(ValueLocation::Pointer(_)))
                && matches!(find("header:etag"), Ok(ValueLocation::Header(_)))
        );
        assert!(find("balance").is_err() && find("header:a b").is_err());
    }
}
