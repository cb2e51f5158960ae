//! Routes files: how the lab's requests are said to a service, and how its answers are understood. Ours is `ours.toml`, and
//! somebody else's service is described in the same words (docs/ROUTES.md), so both are raced by the same code.

mod reading;
mod template;

use std::path::Path;

use axum::body::Bytes;
use hyper::{Method, Uri};
use serde::{Deserialize, Deserializer};

pub use reading::{Misread, ValueLocation};
pub use template::RequestTemplate;

use domain::Workload;
use referee::history::{ClaimedSafety, Reason, Request};

/// A service in the words of its routes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceRoutes {
    /// What the report calls it.
    pub name: String,
    /// What its makers claim.
    pub claim: ClaimedSafety,
    /// How to go back to the start, if it can.
    pub reset: Option<RouteCall>,
    /// How to change a balance.
    pub balance: Option<Route>,
    /// How to add to a balance, where that is another route.
    pub deposit: Option<Route>,
    /// How to move money.
    pub transfer: Option<Route>,
    /// How to book a seat.
    pub booking: Option<Route>,
    /// How to count one more.
    pub counter: Option<Route>,
}

/// A request in outline.
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

/// How one kind of change is asked for, and how its answer is understood. Any 2xx is done, 429 and 503 not done, 502 and 504
/// unknown; refusals must be listed, everything else is unexpected.
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
    /// Where the new balance, value or number of seats left is in the answer.
    pub value: Option<ValueLocation>,
    /// Of a transfer: where the payer's new balance is.
    pub from: Option<ValueLocation>,
    /// Of a transfer: where the payee's new balance is.
    pub to: Option<ValueLocation>,
    /// Where the row's new version is, if there is one.
    pub version: Option<ValueLocation>,
    /// How it refuses.
    #[serde(default)]
    pub refused: Vec<RefusalAnswer>,
    /// How the row is read.
    pub read: RowRead,
}

/// An answer that refuses: a status alone, for the one reason that there usually is, or more precisely.
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
    /// What the refusal means.
    pub reason: Reason,
}

/// How a row is read.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RowRead {
    /// Its method; GET if it is not said.
    #[serde(default = "get", deserialize_with = "method")]
    pub method: Method,
    /// Its path, behind the base URL.
    pub path: RequestTemplate,
    /// Where the balance, the value or the number of seats left is in the answer.
    pub value: Option<ValueLocation>,
    /// Of an event, instead of `value`: where its capacity is …
    pub capacity: Option<ValueLocation>,
    /// … and how many seats are taken.
    pub booked: Option<ValueLocation>,
    /// Of an event: where the list of bookings is.
    pub bookings: Option<ValueLocation>,
    /// Of an event: where in a booking its user is.
    pub booking_user: Option<ValueLocation>,
    /// Where the row's version is, if there is one.
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

/// Why a routes file is of no use.
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
    /// [`RoutesError`], which names what is wrong.
    pub fn read(path: &Path) -> Result<Self, RoutesError> {
        let failed = |reason| RoutesError { path: path.display().to_string(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        Self::parse(&text).map_err(failed)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let routes: Self = toml::from_str(text).map_err(|error| error.to_string())?;
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

    /// How the rows of a request are read. Of a balance always in the same way, whatever a deposit's route says.
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
                return Err(format!("{name}: {place} is not part of its requests"));
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
                return Err(format!("{name}.read: {place} is not part of what is read"));
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
                    return Err(format!("refused: {reason:?} is no reason to refuse it"));
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

    /// The reasons for which a request may be refused; the first is what a status alone stands for.
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
    /// A path that is none.
    pub fn say(&self, base: &str, request: &Request) -> Result<(Uri, Bytes), hyper::http::uri::InvalidUri> {
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
        let (uri, body) = routes.of(&withdrawal).unwrap().say("/base", &withdrawal).unwrap();
        assert_eq!((uri.path(), &*body), ("/base/accounts/7/debit", &br#"{"cents": 2}"#[..]));
        assert!(routes.of(&Request::Increment { counter: 1 }).is_none());
    }

    #[test]
    fn what_is_wrong_with_a_routes_file_is_said() {
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
            ("\"out-of-range\"", "\"sold-out\"", "balance.refused: SoldOut is no reason"),
            ("[balance.read]", "[balance.write]", "unknown field"),
        ] {
            assert!(WALLET.contains(from));
            let error = ServiceRoutes::parse(&WALLET.replace(from, to)).unwrap_err();
            assert!(error.contains(reason), "{to}: {error}");
        }
        assert!(ServiceRoutes::ours().check().is_ok());
    }
}
