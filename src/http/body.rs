//! Turns the bytes of a request into valid input, or into an error that names the field, the value and what is allowed.
//!
//! The fast path is serde into the exact type. Only if that fails is the body parsed a second time, as plain JSON, to
//! find out what the error message must say.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use super::answer::Rejection;
use crate::config::Limits;

/// Longest value that an error message quotes, in characters.
const QUOTE_MAX: usize = 40;

/// A numeric field of a body.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// The smallest value that is allowed. The largest is `i64::MAX`.
    pub min: i64,
}

/// A body of whole numbers, each with its [`Field`].
pub trait NumberBody: DeserializeOwned {
    /// An array of the values.
    type Values: AsRef<[i64]>;

    /// The values in the order of the fields.
    fn values(&self) -> Self::Values;
}

/// The body of the balance routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BalanceBody {
    /// The user.
    pub user_id: i64,
    /// The amount.
    pub amount: i64,
}

impl NumberBody for BalanceBody {
    type Values = [i64; 2];

    fn values(&self) -> [i64; 2] {
        [self.user_id, self.amount]
    }
}

/// A user's id.
pub const USER_ID: Field = Field::from_1("userId");

/// An event's id.
pub const EVENT_ID: Field = Field::from_1("eventId");

/// A counter's id.
pub const COUNTER_ID: Field = Field::from_1("counterId");

impl Field {
    /// A field that takes numbers from 1, as every id does.
    pub const fn from_1(name: &'static str) -> Self {
        Self { name, min: 1 }
    }
}

/// The amounts that a route takes, and their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AmountRule {
    /// Any amount, also 0 and negative ones. It is added.
    Any,
    /// An amount from 1. It is added.
    Deposit,
    /// An amount from 1. It is subtracted.
    Withdrawal,
}

impl AmountRule {
    const fn field(self) -> Field {
        Field { name: "amount", min: if matches!(self, Self::Any) { i64::MIN } else { 1 } }
    }

    /// The number to add to the balance, for an amount that is allowed.
    pub fn signed(self, amount: i64) -> i64 {
        match self {
            Self::Any | Self::Deposit => amount,
            // From 1, so its negative exists.
            Self::Withdrawal => -amount,
        }
    }
}

impl BalanceBody {
    /// The fields of the body, on a route that takes these amounts.
    pub const fn fields(amounts: AmountRule) -> [Field; 2] {
        [USER_ID, amounts.field()]
    }
}

/// Reads a JSON body of whole numbers.
///
/// # Errors
/// The answer to send: 400 malformed, 413 too large, 415 not JSON, 422 invalid, 408 too slow.
pub async fn numbers<B: NumberBody>(
    headers: &HeaderMap,
    body: Body,
    fields: &[Field],
    limits: &Limits,
) -> Result<B, Rejection> {
    require_json(headers)?;
    let bytes = collect(body, limits).await?;
    parse(&bytes, fields)
}

/// Checks that the body is empty. It also accepts `{}`, for a client that always sends an object.
///
/// # Errors
/// The answer to send, as for [`numbers`].
pub async fn nothing(headers: &HeaderMap, body: Body, limits: &Limits) -> Result<(), Rejection> {
    let bytes = collect(body, limits).await?;
    if bytes.trim_ascii().is_empty() {
        return Ok(());
    }
    require_json(headers)?;
    match serde_json::from_slice::<Value>(&bytes) {
        Ok(Value::Object(object)) if object.is_empty() => Ok(()),
        Ok(value) => Err(Rejection::invalid(format!("body: expected no body or {{}}, found {}", quote(&value)))),
        Err(error) => Err(Rejection::new(StatusCode::BAD_REQUEST, format!("body: not valid JSON: {error}"))),
    }
}

/// Reads the whole body, within bounds.
///
/// # Errors
/// The answer to send: 413, 408, or 400 if the connection broke.
pub async fn collect(body: Body, limits: &Limits) -> Result<Bytes, Rejection> {
    let collected = Limited::new(body, limits.body_bytes).collect();
    match tokio::time::timeout(limits.body_read_timeout, collected).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(limits)),
        Ok(Err(error)) => Err(Rejection::new(StatusCode::BAD_REQUEST, format!("body: could not be read: {error}"))),
        Err(_elapsed) => Err(too_slow(limits)),
    }
}

/// The answer to a body that is too large.
pub fn too_large(limits: &Limits) -> Rejection {
    let message = format!("body: larger than the limit of {} bytes", limits.body_bytes);
    Rejection::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}

/// The answer to a body that takes too long to arrive.
pub fn too_slow(limits: &Limits) -> Rejection {
    let message = format!("body: did not arrive completely within {} s", limits.body_read_timeout.as_secs());
    Rejection::new(StatusCode::REQUEST_TIMEOUT, message)
}

/// Checks that the content type is JSON.
///
/// # Errors
/// The answer to send: 415.
pub fn require_json(headers: &HeaderMap) -> Result<(), Rejection> {
    let found = headers.get(header::CONTENT_TYPE);
    if found.is_some_and(|value| is_json(value.as_bytes())) {
        return Ok(());
    }
    let found = found.map_or("none".to_owned(), |value| format!("{value:?}"));
    Err(Rejection::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        format!("Content-Type: expected application/json, found {found}"),
    ))
}

fn is_json(content_type: &[u8]) -> bool {
    let essence = content_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    essence.eq_ignore_ascii_case(b"application/json")
}

/// Parses the bytes of such a body.
///
/// # Errors
/// 400 malformed, 422 invalid.
pub fn parse<B: NumberBody>(bytes: &[u8], fields: &[Field]) -> Result<B, Rejection> {
    match from_object::<B>(bytes) {
        Ok(body) if body.values().as_ref().iter().zip(fields).all(|(value, field)| *value >= field.min) => Ok(body),
        Ok(_) => Err(explain(bytes, fields, None)),
        Err(error) => Err(explain(bytes, fields, Some(&error))),
    }
}

/// Parses an object. serde alone would also accept an array of the fields' values.
///
/// # Errors
/// The error of serde.
pub fn from_object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    match bytes.trim_ascii_start().first() {
        Some(b'[') => Err(serde::de::Error::custom("expected a JSON object, found an array")),
        _ => serde_json::from_slice(bytes),
    }
}

/// The first thing that is wrong with a body. The order is: valid JSON, an object, each field, unknown fields.
fn explain(bytes: &[u8], fields: &[Field], error: Option<&serde_json::Error>) -> Rejection {
    let names = fields.iter().map(|field| field.name).collect::<Vec<_>>().join(", ");
    let value: Value = match serde_json::from_slice(bytes) {
        Ok(value) => value,
        Err(_) if bytes.is_empty() => {
            return Rejection::new(
                StatusCode::BAD_REQUEST,
                format!("body: empty; expected a JSON object with the fields {names}"),
            );
        }
        Err(error) => return Rejection::new(StatusCode::BAD_REQUEST, format!("body: not valid JSON: {error}")),
    };
    let Value::Object(object) = &value else {
        return Rejection::invalid(format!(
            "body: expected a JSON object with the fields {names}, found {}",
            quote(&value)
        ));
    };
    for field in fields {
        let Field { name, min } = *field;
        let expected = format!("expected a whole number from {min} to {}", i64::MAX);
        match object.get(name) {
            None => return Rejection::invalid(format!("{name}: missing; {expected}")),
            Some(value) if value.as_i64().is_none_or(|number| number < min) => {
                return Rejection::invalid(format!("{name}: {expected}, found {}", quote(value)));
            }
            Some(_) => {}
        }
    }
    if let Some(unknown) = object.keys().find(|key| fields.iter().all(|field| field.name != key.as_str())) {
        let unknown: String = unknown.chars().take(QUOTE_MAX).collect();
        return Rejection::invalid(format!("{unknown}: unknown field; the allowed fields are {names}"));
    }
    // Each field by itself is valid. What remains is a field that occurs twice.
    Rejection::invalid(error.map_or_else(|| "body: invalid".to_owned(), |error| format!("body: {error}")))
}

fn quote(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= QUOTE_MAX {
        return text;
    }
    text.chars().take(QUOTE_MAX).chain(['…']).collect()
}

/// Parses an id in a path or a query.
///
/// # Errors
/// The answer to send: 422.
pub fn id(Field { name, min }: Field, text: &str) -> Result<i64, Rejection> {
    match text.parse::<i64>() {
        // "+1" and "01" parse as numbers, but they are not accepted as ids.
        Ok(id) if id >= min && text.bytes().next().is_some_and(|first| (b'1'..=b'9').contains(&first)) => Ok(id),
        _ => Err(Rejection::invalid(format!(
            "{name}: expected a whole number from {min} to {}, found {}",
            i64::MAX,
            quote(&Value::from(text))
        ))),
    }
}

/// Parses a booking's id in a path.
///
/// # Errors
/// The answer to send: 422.
pub fn booking_id(text: &str) -> Result<Uuid, Rejection> {
    text.parse().map_err(|_| {
        Rejection::invalid(format!(
            "bookingId: expected a UUID as returned by POST /bookings, found {}",
            quote(&Value::from(text))
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::super::bookings::BookingBody;
    use super::super::transfers::TransferBody;
    use super::*;
    use proptest::prelude::*;

    fn parse(bytes: &[u8], amounts: AmountRule) -> Result<BalanceBody, Rejection> {
        super::parse(bytes, &BalanceBody::fields(amounts))
    }

    #[test]
    fn a_bad_body_gets_an_error_that_names_what_is_wrong() {
        let table: &[(&str, AmountRule, u16, &str)] = &[
            ("", AmountRule::Any, 400, "body: empty"),
            ("{", AmountRule::Any, 400, "body: not valid JSON"),
            (r#"{"userId":1,"amount":-2}x"#, AmountRule::Any, 400, "body: not valid JSON: trailing characters"),
            ("[1,2]", AmountRule::Any, 422, "body: expected a JSON object with the fields userId, amount, found [1,2]"),
            ("{}", AmountRule::Any, 422, "userId: missing; expected a whole number from 1"),
            (r#"{"userId":1}"#, AmountRule::Any, 422, "amount: missing"),
            (r#"{"amount":1}"#, AmountRule::Any, 422, "userId: missing"),
            (
                r#"{"userId":0,"amount":1}"#,
                AmountRule::Any,
                422,
                "userId: expected a whole number from 1 to 9223372036854775807, found 0",
            ),
            (r#"{"userId":-1,"amount":1}"#, AmountRule::Any, 422, "found -1"),
            (
                r#"{"userId":"1","amount":1}"#,
                AmountRule::Any,
                422,
                r#"userId: expected a whole number from 1 to 9223372036854775807, found "1""#,
            ),
            (r#"{"userId":1,"amount":"2"}"#, AmountRule::Any, 422, r#"found "2""#),
            (r#"{"userId":1,"amount":2.5}"#, AmountRule::Any, 422, "found 2.5"),
            (r#"{"userId":1,"amount":2.0}"#, AmountRule::Any, 422, "found 2.0"),
            (r#"{"userId":1,"amount":9223372036854775808}"#, AmountRule::Any, 422, "found 9223372036854775808"),
            (r#"{"userId":1,"amount":1e30}"#, AmountRule::Any, 422, "found 1e+30"),
            (r#"{"userId":1,"amount":null}"#, AmountRule::Any, 422, "found null"),
            (
                r#"{"userId":1,"amount":1,"currency":"EUR"}"#,
                AmountRule::Any,
                422,
                "currency: unknown field; the allowed fields are userId, amount",
            ),
            (r#"{"userId":1,"userId":2,"amount":1}"#, AmountRule::Any, 422, "body: duplicate field `userId`"),
            (r#"{"userId":1,"amount":0}"#, AmountRule::Deposit, 422, "amount: expected a whole number from 1"),
            (r#"{"userId":1,"amount":-2}"#, AmountRule::Deposit, 422, "found -2"),
        ];
        for (body, amounts, status, message) in table {
            let Rejection { status: found_status, message: found } = parse(body.as_bytes(), *amounts).expect_err(body);
            assert_eq!(found_status, *status, "{body}: {found}");
            assert!(found.contains(message), "{body}: {found}");
        }
    }

    #[test]
    fn a_body_is_accepted_at_the_smallest_and_largest_values() {
        for (body, amounts, user_id, amount) in [
            (r#"{"userId":1,"amount":0}"#, AmountRule::Any, 1, 0),
            (r#" {"amount":-9223372036854775808, "userId":9223372036854775807} "#, AmountRule::Any, i64::MAX, i64::MIN),
            (r#"{"userId":1,"amount":1}"#, AmountRule::Deposit, 1, 1),
        ] {
            assert_eq!(parse(body.as_bytes(), amounts).unwrap(), BalanceBody { user_id, amount }, "{body}");
        }
    }

    #[test]
    fn a_bad_body_of_a_transfer_or_a_booking_gets_an_error_that_names_what_is_wrong() {
        let transfer = |body: &str| super::parse::<TransferBody>(body.as_bytes(), &TransferBody::FIELDS);
        for (body, message) in [
            (r#"{"to":2,"amount":1}"#, "from: missing; expected a whole number from 1"),
            (r#"{"from":1,"to":0,"amount":1}"#, "to: expected a whole number from 1"),
            (r#"{"from":1,"to":2,"amount":0}"#, "amount: expected a whole number from 1"),
            (
                r#"{"from":1,"to":2,"amount":1,"note":2}"#,
                "note: unknown field; the allowed fields are from, to, amount",
            ),
        ] {
            assert!(transfer(body).unwrap_err().message.contains(message), "{body}");
        }
        assert_eq!(transfer(r#"{"from":1,"to":2,"amount":3}"#).unwrap(), TransferBody { from: 1, to: 2, amount: 3 });
        let booking = |body: &str| super::parse::<BookingBody>(body.as_bytes(), &BookingBody::FIELDS);
        assert!(booking(r#"{"userId":7}"#).unwrap_err().message.contains("eventId: missing"));
        assert_eq!(booking(r#"{"eventId":1,"userId":7}"#).unwrap(), BookingBody { event_id: 1, user_id: 7 });
    }

    #[test]
    fn ids_in_paths_are_whole_numbers_from_1() {
        for good in ["1", "9223372036854775807"] {
            assert_eq!(id(USER_ID, good).unwrap().to_string(), good);
        }
        for bad in ["0", "-1", "+1", "01", "1.0", "x", "", "9223372036854775808"] {
            assert_eq!(id(USER_ID, bad).unwrap_err().status, 422, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Err(Rejection { status, message }) = parse(&bytes, AmountRule::Any) {
                prop_assert!(status.is_client_error() && !message.is_empty());
            }
        }

        #[test]
        fn every_valid_body_is_accepted(user_id in 1..=i64::MAX, amount in any::<i64>()) {
            let body = format!(r#"{{"userId":{user_id},"amount":{amount}}}"#);
            prop_assert_eq!(parse(body.as_bytes(), AmountRule::Any).unwrap(), BalanceBody { user_id, amount });
        }
    }
}
