//! The rule that decides which requests may start and stop experiments.
//!
//! Every change passes the check of Origin and Host first ([`crate::http`]), so no foreign page can start an experiment. An experiment also takes
//! all of the machine's processors. Where other machines can reach the server, a request therefore needs the operator's token.

use axum::http::{HeaderMap, StatusCode, header};
use sha2::{Digest as _, Sha256};

use crate::http::answer::Rejection;

/// Which requests may start and stop experiments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExperimentPermission {
    /// All: the server is bound to a loopback address, and no proxy is expected in front of it.
    Open,
    /// Those with the token as `Authorization: Bearer …`.
    Token(String),
    /// None: other machines can reach the server, and there is no token.
    Closed,
}

/// The message of [`ExperimentPermission::Closed`].
pub const CLOSED: &str = "Experiments cannot be started from a page: other machines can reach this server (its address is not loopback, or \
                          --allow-host lets requests of a proxy in), and it was started without --admin-token. Start it with \
                          --admin-token to allow experiments";

/// Characters that a token has at least, so that it cannot be guessed.
pub const TOKEN_MIN: usize = 16;

impl ExperimentPermission {
    /// The rule: where there is a token, it is required; without one, only a server is open that no other machine reaches.
    #[must_use]
    pub fn new(token: Option<String>, local: bool) -> Self {
        match token {
            Some(token) => Self::Token(token),
            None if local => Self::Open,
            None => Self::Closed,
        }
    }

    /// Checks a request by its headers.
    ///
    /// # Errors
    /// 403 if no request may; 401 without the right token.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Rejection> {
        match self {
            Self::Open => Ok(()),
            Self::Closed => Err(Rejection::new(StatusCode::FORBIDDEN, CLOSED)),
            Self::Token(token) => {
                let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
                // The name of the scheme is in any case (RFC 9110, 11.1).
                let given = given.and_then(|value| value.split_once(' '));
                let given =
                    given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, given)| given.trim());
                // Hashes are compared, so the time of the comparison reveals nothing about the token.
                let same = |given: &str| Sha256::digest(given) == Sha256::digest(token);
                match given {
                    Some(given) if same(given) => Ok(()),
                    Some(_) => Err(Rejection::new(
                        StatusCode::UNAUTHORIZED,
                        "Authorization: this is not the server's --admin-token",
                    )),
                    None => Err(Rejection::new(
                        StatusCode::UNAUTHORIZED,
                        "Authorization: missing; experiments need this server's --admin-token, as Bearer",
                    )),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn loopback_is_trusted_and_other_addresses_need_the_token() {
        let secret = || Some("s3cret".to_owned());
        let table = [
            (None, true, None, Ok(())),
            (None, true, Some("Bearer anything"), Ok(())),
            (None, false, None, Err(403)),
            (None, false, Some("Bearer s3cret"), Err(403)),
            (secret(), true, None, Err(401)),
            (secret(), true, Some("Bearer s3cret"), Ok(())),
            (secret(), false, Some("Bearer s3cret"), Ok(())),
            (secret(), false, Some("bearer s3cret"), Ok(())),
            (secret(), false, Some("BEARER  s3cret"), Ok(())),
            (secret(), false, Some("Bearer s3cre"), Err(401)),
            (secret(), false, Some("s3cret"), Err(401)),
            (secret(), false, Some("Basic s3cret"), Err(401)),
        ];
        for (token, loopback, given, expected) in table {
            let mut headers = HeaderMap::new();
            if let Some(given) = given {
                headers.insert(header::AUTHORIZATION, HeaderValue::from_static(given));
            }
            let found = ExperimentPermission::new(token.clone(), loopback).check(&headers);
            let found = found.map_err(|rejection| rejection.status.as_u16());
            assert_eq!(found, expected, "{token:?}, loopback {loopback}, {given:?}");
        }
    }
}
