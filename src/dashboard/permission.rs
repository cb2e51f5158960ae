//! Who may start and stop experiments.
//!
//! What changes something passes the rule of Origin and Host like every request ([`crate::http`]): no page that somebody visits can do it.
//! Beyond that an experiment takes the machine for itself, so where others than the operator can reach the
//! server, only who knows the token may start one.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use sha2::{Digest as _, Sha256};

use super::Dashboard;
use crate::http::answer::Rejection;

/// Who may start and stop experiments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExperimentPermission {
    /// Whoever reaches the server: it is bound to loopback.
    Everybody,
    /// Who sends the token as `Authorization: Bearer …`.
    Token(String),
    /// Nobody: others can reach the server, and there is no token.
    Nobody,
}

/// What is said where nobody may.
pub const NOBODY: &str = "Experiments cannot be started from a page: others can reach this server (it is not bound to \
                          loopback), and it was started without --admin-token";

impl ExperimentPermission {
    /// The rule: a token is asked for where there is one; without one, only loopback is trusted.
    #[must_use]
    pub fn new(token: Option<String>, loopback: bool) -> Self {
        match token {
            Some(token) => Self::Token(token),
            None if loopback => Self::Everybody,
            None => Self::Nobody,
        }
    }

    /// Whether a request with these headers may.
    ///
    /// # Errors
    /// 403 if nobody may, 401 without the right token.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Rejection> {
        match self {
            Self::Everybody => Ok(()),
            Self::Nobody => Err(Rejection::new(StatusCode::FORBIDDEN, NOBODY)),
            Self::Token(token) => {
                let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
                let given = given.and_then(|value| value.strip_prefix("Bearer "));
                // Hashes are compared, so that the time it takes tells nothing about the token.
                let same = |given: &str| Sha256::digest(given) == Sha256::digest(token);
                match given {
                    Some(given) if same(given) => Ok(()),
                    Some(_) => {
                        Err(Rejection::new(StatusCode::UNAUTHORIZED, "Authorization: this is not the --admin-token"))
                    }
                    None => Err(Rejection::new(
                        StatusCode::UNAUTHORIZED,
                        "Authorization: missing; experiments need this server's --admin-token, as Bearer",
                    )),
                }
            }
        }
    }
}

/// The request is allowed to start or stop experiments. Extracted before a handler does anything.
#[derive(Debug)]
pub struct Permitted;

impl FromRequestParts<Arc<Dashboard>> for Permitted {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, dashboard: &Arc<Dashboard>) -> Result<Self, Rejection> {
        dashboard.permission.check(&parts.headers).map(|()| Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn loopback_is_trusted_others_need_the_token() {
        let secret = || Some("s3cret".to_owned());
        let table = [
            (None, true, None, Ok(())),
            (None, true, Some("Bearer anything"), Ok(())),
            (None, false, None, Err(403)),
            (None, false, Some("Bearer s3cret"), Err(403)),
            (secret(), true, None, Err(401)),
            (secret(), true, Some("Bearer s3cret"), Ok(())),
            (secret(), false, Some("Bearer s3cret"), Ok(())),
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
