//! The words of findings: what a reader calls a row, a request and a value. Versions come after them, in parentheses.

use crate::history::{Reason, Request};
use domain::Row;

/// A row at the start of a sentence, such as `User 1`.
pub fn capital(row: Row) -> String {
    match row {
        Row::User(id) => format!("User {id}"),
        Row::Event(id) => format!("Event {id}"),
        Row::Counter(id) => format!("Counter {id}"),
    }
}

/// A row inside a sentence, such as `user 1`.
pub fn small(row: Row) -> String {
    match row {
        Row::User(id) => format!("user {id}"),
        Row::Event(id) => format!("event {id}"),
        Row::Counter(id) => format!("counter {id}"),
    }
}

/// What the number of a row is, such as `balance`.
pub fn number_of(row: Row) -> &'static str {
    match row {
        Row::User(_) => "balance",
        Row::Event(_) => "number of seats left",
        Row::Counter(_) => "value",
    }
}

/// A value of a row, such as `9224` or `1 seat left`.
pub fn value(row: Row, value: i128) -> String {
    match row {
        Row::Event(_) if value == 1 => "1 seat left".to_owned(),
        Row::Event(_) => format!("{value} seats left"),
        Row::User(_) | Row::Counter(_) => value.to_string(),
    }
}

/// A request as a thing, at the start of a sentence, such as `A withdrawal of 2`.
pub fn one(request: &Request) -> String {
    match request {
        Request::Balance { amount: 0, .. } => "A change by 0".to_owned(),
        Request::Balance { amount, .. } if *amount < 0 => format!("A withdrawal of {}", amount.unsigned_abs()),
        Request::Balance { amount, .. } => format!("A deposit of {amount}"),
        Request::Transfer { amount, .. } => format!("A transfer of {amount}"),
        Request::Booking { .. } => "A booking".to_owned(),
        Request::Increment { .. } => "An increment".to_owned(),
    }
}

/// Several requests of this kind, such as `withdrawals`.
fn many(request: &Request) -> &'static str {
    match request {
        Request::Balance { amount: 0, .. } => "changes by 0",
        Request::Balance { amount, .. } if *amount < 0 => "withdrawals",
        Request::Balance { .. } => "deposits",
        Request::Transfer { .. } => "transfers",
        Request::Booking { .. } => "bookings",
        Request::Increment { .. } => "increments",
    }
}

/// Two requests that read the same value of a row, and what they wrote. `lost` says how many are lost, `proof` where this can be seen.
pub fn both_read(row: Row, read: i128, requests: [&Request; 2], wrote: [i128; 2], lost: &str, proof: &str) -> String {
    let (read, kinds) = (value(row, read), requests.map(many));
    let subject = if kinds[0] == kinds[1] {
        format!("Two {}", kinds[0])
    } else {
        format!("{} and {}", one(requests[0]), lower(&one(requests[1])))
    };
    let wrote = if wrote[0] == wrote[1] {
        format!("both wrote {}", wrote[0])
    } else {
        format!("wrote {} and {}", wrote[0], wrote[1])
    };
    format!("{subject} both read {read} and {wrote}, so {lost} is lost ({proof})")
}

/// A phrase inside a sentence.
fn lower(phrase: &str) -> String {
    let mut letters = phrase.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// A number of things, such as `1 write` or `3 writes`.
pub fn counted(count: u64, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

/// Why a request was refused, as the file of a history spells it.
pub fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::InsufficientFunds => "insufficient-funds",
        Reason::OutOfRange => "out-of-range",
        Reason::SoldOut => "sold-out",
        Reason::AlreadyBooked => "already-booked",
    }
}
