//! Paths and bodies with places for the numbers of a request: `/accounts/{user}`, `{"cents": {-amount}}`.

use std::fmt::{self, Write as _};

use serde::Deserialize;

use referee::history::Request;

/// A text with places to fill in. A brace that begins no known place stands for itself, as in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct RequestTemplate {
    parts: Vec<TemplatePart>,
    /// Bytes of the text, as a guess of how long a filled one gets.
    length: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum TemplatePart {
    Literal(String),
    Place(Placeholder),
}

/// What can be filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placeholder {
    /// Whose balance, or who books.
    User,
    /// What is added, or moved.
    Amount,
    /// The same with the other sign, for services that are told how much to take.
    MinusAmount,
    /// Who pays.
    From,
    /// Who is paid.
    To,
    /// Which event.
    Event,
    /// Which counter.
    Counter,
    /// Which data to go back to; only on a reset.
    Seed,
}

const PLACES: [(&str, Placeholder); 8] = [
    ("{user}", Placeholder::User),
    ("{amount}", Placeholder::Amount),
    ("{-amount}", Placeholder::MinusAmount),
    ("{from}", Placeholder::From),
    ("{to}", Placeholder::To),
    ("{event}", Placeholder::Event),
    ("{counter}", Placeholder::Counter),
    ("{seed}", Placeholder::Seed),
];

impl Placeholder {
    /// The number that a request has here; `None` if it has none of that kind.
    fn number(self, request: &Request) -> Option<i64> {
        match (self, *request) {
            (Self::User, Request::Balance { user, .. } | Request::Booking { user, .. }) => Some(user),
            (Self::Amount, Request::Balance { amount, .. } | Request::Transfer { amount, .. }) => Some(amount),
            (Self::MinusAmount, Request::Balance { amount, .. } | Request::Transfer { amount, .. }) => {
                amount.checked_neg()
            }
            (Self::From, Request::Transfer { from, .. }) => Some(from),
            (Self::To, Request::Transfer { to, .. }) => Some(to),
            (Self::Event, Request::Booking { event, .. }) => Some(event),
            (Self::Counter, Request::Increment { counter }) => Some(counter),
            _ => None,
        }
    }
}

impl fmt::Display for Placeholder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = PLACES.iter().find(|(_, place)| place == self).map_or("", |(name, _)| name);
        formatter.write_str(name)
    }
}

impl From<String> for RequestTemplate {
    fn from(text: String) -> Self {
        let mut parts = Vec::new();
        let mut rest = text.as_str();
        let mut literal = String::new();
        while let Some(character) = rest.chars().next() {
            if let Some((name, place)) = PLACES.iter().find(|(name, _)| rest.starts_with(name)) {
                if !literal.is_empty() {
                    parts.push(TemplatePart::Literal(std::mem::take(&mut literal)));
                }
                parts.push(TemplatePart::Place(*place));
                rest = &rest[name.len()..];
            } else {
                literal.push(character);
                rest = &rest[character.len_utf8()..];
            }
        }
        if !literal.is_empty() {
            parts.push(TemplatePart::Literal(literal));
        }
        Self { parts, length: text.len() }
    }
}

impl RequestTemplate {
    /// The text for a request. A place that this kind of request has no number for stays as it is; [`RequestTemplate::misfit`]
    /// finds those before anything is sent.
    #[must_use]
    pub fn fill(&self, request: &Request) -> String {
        let mut text = String::with_capacity(self.length + 16);
        for part in &self.parts {
            // Writing to a String cannot fail.
            let _ = match part {
                TemplatePart::Literal(literal) => text.write_str(literal),
                TemplatePart::Place(place) => match place.number(request) {
                    Some(number) => write!(text, "{number}"),
                    None => write!(text, "{place}"),
                },
            };
        }
        text
    }

    /// The text of a reset to a seed.
    #[must_use]
    pub fn fill_seed(&self, seed: &str) -> String {
        let part = |part: &TemplatePart| match part {
            TemplatePart::Literal(literal) => literal.clone(),
            TemplatePart::Place(Placeholder::Seed) => seed.to_owned(),
            TemplatePart::Place(place) => place.to_string(),
        };
        self.parts.iter().map(part).collect()
    }

    /// Whether it is the same for all requests.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, TemplatePart::Literal(_)))
    }

    /// The first place that a request of this kind has no number for.
    #[must_use]
    pub fn misfit(&self, request: &Request) -> Option<Placeholder> {
        self.parts.iter().find_map(|part| match part {
            TemplatePart::Place(place) if place.number(request).is_none() => Some(*place),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_and_other_braces_are_left_alone() {
        let withdrawal = Request::Balance { user: 7, amount: -2 };
        let transfer = Request::Transfer { from: 1, to: 2, amount: 5 };
        let table = [
            ("/accounts/{user}/debit", withdrawal, "/accounts/7/debit"),
            (r#"{"cents": {-amount}}"#, withdrawal, r#"{"cents": 2}"#),
            (r#"{"a":{amount},"u":{user}}"#, withdrawal, r#"{"a":-2,"u":7}"#),
            ("{from}>{to}:{amount}", transfer, "1>2:5"),
            ("{{user}}{nonsense}é", withdrawal, "{7}{nonsense}é"),
            ("{event}{counter}", Request::Booking { event: 3, user: 4 }, "3{counter}"),
            ("{counter}", Request::Increment { counter: 1 }, "1"),
            ("", transfer, ""),
        ];
        for (template, request, expected) in table {
            assert_eq!(RequestTemplate::from(template.to_owned()).fill(&request), expected);
        }
        assert_eq!(RequestTemplate::from("{seed}!".to_owned()).fill_seed("mixed"), "mixed!");
    }

    #[test]
    fn a_place_that_a_request_cannot_fill_is_named() {
        let template = RequestTemplate::from("/{user}/{amount}".to_owned());
        assert_eq!(template.misfit(&Request::Balance { user: 1, amount: 1 }), None);
        assert_eq!(template.misfit(&Request::Transfer { from: 1, to: 2, amount: 1 }), Some(Placeholder::User));
        assert_eq!(template.misfit(&Request::Balance { user: 1, amount: i64::MIN }), None);
        let minus = RequestTemplate::from("{-amount}".to_owned());
        assert_eq!(minus.misfit(&Request::Balance { user: 1, amount: i64::MIN }), Some(Placeholder::MinusAmount));
    }
}
