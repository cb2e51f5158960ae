//! Routes files: the HTTP requests of a service for the lab's requests, and the meaning of its answers. `ours.toml` describes a
//! concurrency-lab server; any other service is described in the same format (docs/ROUTES.md), so the same code sends load to both.

mod reading;
mod template;

use std::path::Path;

use axum::body::Bytes;
use hyper::{Method, Uri};
use serde::{Deserialize, Deserializer};

pub use reading::{Misread, ValueLocation};
pub use template::RequestTemplate;

use crate::config::SCRIPT_FILE_BYTES;
use crate::report::input_file::{read_text, toml_error};
use domain::Workload;
use referee::history::{ClaimedSafety, Reason, Request};

/// The routes of a service.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceRoutes {
    /// Its name in reports.
    pub name: String,
    /// The claim about it.
    pub claim: ClaimedSafety,
    /// The request that resets its data, if there is one.
    pub reset: Option<RouteCall>,
    /// The route that changes a balance.
    pub balance: Option<Route>,
    /// The route that adds to a balance, if that is another one.
    pub deposit: Option<Route>,
    /// The route that moves money.
    pub transfer: Option<Route>,
    /// The route that books a seat.
    pub booking: Option<Route>,
    /// The route that increments a counter.
    pub counter: Option<Route>,
}

/// A request with placeholders.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteCall {
    /// Its method.
    #[serde(deserialize_with = "method")]
    pub method: Method,
    /// Its path, behind the base URL.
    pub path: RequestTemplate,
    /// Its body; without one, an empty one.
    pub body: Option<RequestTemplate>,
}

/// The request for one kind of change, and the meaning of its answers. Any 2xx means done, 429 and 503 not done, 502 and 504
/// unknown. Refusals must be listed; everything else is unexpected.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Its method.
    #[serde(deserialize_with = "method")]
    pub method: Method,
    /// Its path, behind the base URL.
    pub path: RequestTemplate,
    /// Its body; without one, an empty one.
    pub body: Option<RequestTemplate>,
    /// Where the answer has the new balance, value or number of seats left.
    pub value: Option<ValueLocation>,
    /// In a transfer: where the answer has the new balance of the user that pays.
    pub from: Option<ValueLocation>,
    /// In a transfer: where the answer has the new balance of the user that is paid.
    pub to: Option<ValueLocation>,
    /// Where the answer has the new version of the row, if there is one.
    pub version: Option<ValueLocation>,
    /// The answers that are refusals.
    #[serde(default)]
    pub refused: Vec<RefusalAnswer>,
    /// The request that reads the row.
    pub read: RowRead,
}

/// An answer that is a refusal: a status alone, which stands for the usual reason, or more precisely.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum RefusalAnswer {
    /// Any answer with this status.
    Status(u16),
    /// An answer with this status, and a value or a text that says which refusal it is.
    Exactly(Exactly),
}

/// See [`RefusalAnswer::Exactly`].
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exactly {
    /// Its status.
    pub status: u16,
    /// Where the value is that names the refusal …
    pub at: Option<ValueLocation>,
    /// … and what the value is.
    pub is: Option<String>,
    /// For a service without such a value: a text that its body contains.
    #[serde(default)]
    pub contains: String,
    /// The reason that it stands for.
    pub reason: Reason,
}

/// The request that reads a row, and where its answer has the values.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RowRead {
    /// Its method; GET by default.
    #[serde(default = "get", deserialize_with = "method")]
    pub method: Method,
    /// Its path, behind the base URL.
    pub path: RequestTemplate,
    /// Where the answer has the balance, the value or the number of seats left.
    pub value: Option<ValueLocation>,
    /// For an event, instead of `value`: where the answer has its capacity …
    pub capacity: Option<ValueLocation>,
    /// … and how many seats are taken.
    pub booked: Option<ValueLocation>,
    /// For an event: where the answer has the list of bookings.
    pub bookings: Option<ValueLocation>,
    /// For an event: where a booking has its user.
    pub booking_user: Option<ValueLocation>,
    /// Where the answer has the version of the row, if there is one.
    pub version: Option<ValueLocation>,
}

fn get() -> Method {
    Method::GET
}

fn method<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Method, D::Error> {
    let name = String::deserialize(deserializer)?;
    let known = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    known
        .into_iter()
        .find(|method| method.as_str() == name)
        .ok_or_else(|| serde::de::Error::custom(format!("expected GET, POST, PUT, PATCH or DELETE, found {name:?}")))
}

/// The reason why a routes file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("--routes: {path}: {reason}")]
pub struct RoutesError {
    path: String,
    reason: String,
}

impl ServiceRoutes {
    /// The routes of this server's approaches.
    ///
    /// # Panics
    /// Never: a test reads them.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the text is ours, and a test reads it")]
    pub fn ours() -> Self {
        toml::from_str(include_str!("ours.toml")).expect("our own routes")
    }

    /// Reads a routes file.
    ///
    /// # Errors
    /// [`RoutesError`], which names the field.
    pub fn read(path: &Path) -> Result<Self, RoutesError> {
        let failed = |reason| RoutesError { path: path.display().to_string(), reason };
        let text = read_text(path, SCRIPT_FILE_BYTES).map_err(|error| failed(error.to_string()))?;
        Self::parse(&text).map_err(failed)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let routes: Self = toml::from_str(text).map_err(|error| toml_error(text, &error))?;
        routes.check()?;
        Ok(routes)
    }

    /// The route of a request, if the service has one for its kind.
    #[must_use]
    pub fn of(&self, request: &Request) -> Option<&Route> {
        match request {
            Request::Balance { amount, .. } if *amount > 0 => self.deposit.as_ref().or(self.balance.as_ref()),
            Request::Balance { .. } => self.balance.as_ref(),
            Request::Transfer { .. } => self.transfer.as_ref(),
            Request::Booking { .. } => self.booking.as_ref(),
            Request::Increment { .. } => self.counter.as_ref(),
        }
    }

    /// How the rows of a request are read. A balance is always read in the same way, also after a deposit.
    #[must_use]
    pub fn reading(&self, request: &Request) -> Option<&RowRead> {
        let route = match request {
            Request::Balance { .. } => self.balance.as_ref().or(self.deposit.as_ref()),
            other => self.of(other),
        };
        route.map(|route| &route.read)
    }

    fn all(&self) -> impl Iterator<Item = (&'static str, Request, &Route)> {
        let withdrawal = Request::Balance { user: 1, amount: -1 };
        let deposit = Request::Balance { user: 1, amount: 1 };
        [
            ("balance", withdrawal, &self.balance),
            ("deposit", deposit, &self.deposit),
            ("transfer", Request::Transfer { from: 1, to: 2, amount: 1 }, &self.transfer),
            ("booking", Request::Booking { event: 1, user: 1 }, &self.booking),
            ("counter", Request::Increment { counter: 1 }, &self.counter),
        ]
        .into_iter()
        .filter_map(|(name, example, route)| Some((name, example, route.as_ref()?)))
    }

    fn check(&self) -> Result<(), String> {
        if self.name.is_empty() || self.name.len() > 60 || self.name.contains(char::is_control) {
            return Err(format!("name: expected 1 to 60 printable characters, found {:?}", self.name));
        }
        if !matches!(self.claim, ClaimedSafety::Safe | ClaimedSafety::Broken) {
            return Err("claim: expected \"safe\" or \"broken\"".to_owned());
        }
        if self.all().next().is_none() {
            return Err("expected one of [balance], [transfer], [booking], [counter]".to_owned());
        }
        for (name, example, route) in self.all() {
            let places = [Some(&route.path), route.body.as_ref()];
            if let Some(place) = places.into_iter().flatten().find_map(|template| template.misfit(&example)) {
                return Err(format!("{name}: {place} is not part of such a request"));
            }
            let path = route.path.fill(&example);
            if path.parse::<Uri>().is_err() || !path.starts_with('/') {
                return Err(format!("{name}.path: expected a path that begins with /, found {path:?}"));
            }
            let reads = match example {
                Request::Transfer { from, .. } => Request::Balance { user: from, amount: 0 },
                other => other,
            };
            if let Some(place) = route.read.path.misfit(&reads) {
                return Err(format!("{name}.read: {place} is not part of such a row"));
            }
            route.check(&example).map_err(|reason| format!("{name}.{reason}"))?;
        }
        Ok(())
    }
}

impl Route {
    fn check(&self, example: &Request) -> Result<(), String> {
        for refused in &self.refused {
            match refused {
                RefusalAnswer::Status(status) if Workload::from(example) == Workload::Booking => {
                    return Err(format!(
                        "refused: {status} may mean sold out or already booked; say which, as in \
                         {{ status = {status}, at = \"/code\", is = \"sold-out\", reason = \"sold-out\" }}"
                    ));
                }
                RefusalAnswer::Exactly(Exactly { at, is, .. }) if at.is_some() != is.is_some() => {
                    return Err("refused: expected both at and is, as in { status = 409, at = \"/code\", \
                                is = \"sold-out\", reason = \"sold-out\" }"
                        .to_owned());
                }
                RefusalAnswer::Exactly(Exactly { reason, .. }) if !Self::reasons(example).contains(reason) => {
                    return Err(format!(
                        "refused: a {} request cannot be refused for the reason {reason:?}",
                        Workload::from(example)
                    ));
                }
                _ => {}
            }
        }
        let RowRead { value, capacity, booked, .. } = &self.read;
        if value.is_none() && (capacity.is_none() || booked.is_none()) {
            return Err("read: expected value, or capacity and booked".to_owned());
        }
        Ok(())
    }

    /// The reasons for which a request may be refused. A status alone stands for the first one.
    fn reasons(request: &Request) -> &'static [Reason] {
        match Workload::from(request) {
            Workload::Balance | Workload::Transfer => &[Reason::InsufficientFunds, Reason::OutOfRange],
            Workload::Booking => &[Reason::SoldOut, Reason::AlreadyBooked],
            Workload::Counter => &[Reason::OutOfRange],
        }
    }

    /// Path and body of a request, ready to be sent.
    ///
    /// # Errors
    /// The path is not a valid one.
    pub fn http_request(&self, base: &str, request: &Request) -> Result<(Uri, Bytes), hyper::http::uri::InvalidUri> {
        let uri = format!("{base}{}", self.path.fill(request)).try_into()?;
        let body = self.body.as_ref().map_or_else(Bytes::new, |body| Bytes::from(body.fill(request)));
        Ok((uri, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALLET: &str = r#"
        name = "wallet"
        claim = "safe"
        [balance]
        method = "POST"
        path = "/accounts/{user}/debit"
        body = '{"cents": {-amount}}'
        value = "/account/available"
        refused = [402, { status = 409, contains = "locked", reason = "out-of-range" }]
        [balance.read]
        path = "/accounts/{user}"
        value = "/available"
    "#;

    #[test]
    fn a_service_is_described_in_a_few_lines() {
        let routes = ServiceRoutes::parse(WALLET).unwrap();
        let withdrawal = Request::Balance { user: 7, amount: -2 };
        let (uri, body) = routes.of(&withdrawal).unwrap().http_request("/base", &withdrawal).unwrap();
        assert_eq!((uri.path(), &*body), ("/base/accounts/7/debit", &br#"{"cents": 2}"#[..]));
        assert!(routes.of(&Request::Increment { counter: 1 }).is_none());
    }

    #[test]
    fn an_invalid_routes_file_is_refused_with_the_field() {
        for (from, to, reason) in [
            ("\"POST\"", "\"post\"", "expected GET, POST"),
            ("\"safe\"", "\"blessed\"", "unknown variant `blessed`"),
            ("\"wallet\"", "\"\"", "name: expected"),
            ("{user}/debit", "{from}/debit", "balance: {from} is not part"),
            ("{-amount}", "{event}", "balance: {event} is not part"),
            ("/accounts/{user}/debit", "accounts", "balance.path"),
            ("/accounts/{user}\"\n        value", "/accounts/{from}\"\n        value", "balance.read: {from}"),
            ("value = \"/available\"", "version = \"/version\"", "balance.read: expected value"),
            ("value = \"/available\"", "value = \"available\"", "expected a JSON pointer"),
            ("402", "\"402\"", "refused"),
            ("contains =", "contain =", "refused"),
            ("contains = \"locked\"", "at = \"/code\"", "balance.refused: expected both at and is"),
            ("contains = \"locked\"", "is = \"locked\"", "balance.refused: expected both at and is"),
            ("contains = \"locked\"", "at = \"code\", is = \"locked\"", "refused"),
            (
                "\"out-of-range\"",
                "\"sold-out\"",
                "balance.refused: a balance request cannot be refused for the reason SoldOut",
            ),
            ("[balance.read]", "[balance.write]", "unknown field"),
        ] {
            assert!(WALLET.contains(from));
            let error = ServiceRoutes::parse(&WALLET.replace(from, to)).unwrap_err();
            assert!(error.contains(reason), "{to}: {error}");
        }
        assert!(ServiceRoutes::ours().check().is_ok());
    }
}
