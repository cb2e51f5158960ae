//! Histories: every request of the clients of one round with its outcome, and the rows before and after.
//!
//! A history is all that [`crate::judge()`] looks at. A run of concurrency-lab writes it to a file ([`mod@file`], [`lines`]) and judges
//! what it reads back from there, so `check` on the same file gives the same verdict. A test can build one in memory: [`mod@build`].
//!
//! A *row* has one number that operations change: a user's balance, a counter's value, the seats that an event has left. Where
//! the target reports versions, each change of a row raises its version by 1, which puts its writes in order.

pub mod build;
pub mod file;
pub mod lines;

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use domain::Row;
use domain::Workload;

use crate::phrases;

/// The request of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Add to a user's balance.
    Balance {
        /// The user.
        user: i64,
        /// The amount to add; negative to withdraw.
        amount: i64,
    },
    /// Move money from one user to another.
    Transfer {
        /// The user that pays.
        from: i64,
        /// The user that receives the money; not the same as `from`.
        to: i64,
        /// The amount, at least 1.
        amount: i64,
    },
    /// Book a seat.
    Booking {
        /// The event.
        event: i64,
        /// The user that gets the seat.
        user: i64,
    },
    /// Add 1 to a counter.
    Increment {
        /// The counter.
        counter: i64,
    },
}

impl Request {
    /// The rows that the request changes if it is done, and the amount that it adds to each, in the order of [`Outcome::Done`].
    #[must_use]
    pub fn effects(&self) -> Effects {
        match *self {
            Self::Balance { user, amount } => Effects::one(Row::User(user), amount),
            Self::Transfer { from, to, amount } => {
                Effects { rows: [(Row::User(from), amount.saturating_neg()), (Row::User(to), amount)], count: 2 }
            }
            Self::Booking { event, .. } => Effects::one(Row::Event(event), -1),
            Self::Increment { counter } => Effects::one(Row::Counter(counter), 1),
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Balance { user, amount: 0 } => write!(formatter, "change user {user} by 0"),
            Self::Balance { user, amount } if *amount < 0 => {
                write!(formatter, "withdraw {} from user {user}", amount.unsigned_abs())
            }
            Self::Balance { user, amount } => write!(formatter, "deposit {amount} to user {user}"),
            Self::Transfer { from, to, amount } => write!(formatter, "transfer {amount} from user {from} to user {to}"),
            Self::Booking { event, user } => write!(formatter, "book event {event} for user {user}"),
            Self::Increment { counter } => write!(formatter, "increment counter {counter}"),
        }
    }
}

/// The rows that a request changes (one or two), and the amount that it adds to each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effects {
    rows: [(Row, i64); 2],
    count: usize,
}

impl Effects {
    const fn one(row: Row, adds: i64) -> Self {
        Self { rows: [(row, adds); 2], count: 1 }
    }
}

impl std::ops::Deref for Effects {
    type Target = [(Row, i64)];

    fn deref(&self) -> &Self::Target {
        &self.rows[..self.count]
    }
}

/// A row as an answer or a read shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObservedRow {
    /// Its balance, value, or number of seats left.
    pub value: i64,
    /// Its version, if the target reports one.
    pub version: Option<i64>,
}

impl ObservedRow {
    /// A phrase for a witness, such as `user 1 has 9998 (version 2)`.
    #[must_use]
    pub fn of(&self, row: Row) -> String {
        let text = match row {
            Row::User(id) => format!("user {id} has {}", self.value),
            Row::Event(id) => format!("event {id} has {}", phrases::value(row, self.value.into())),
            Row::Counter(id) => format!("counter {id} is {}", self.value),
        };
        match self.version {
            Some(version) => format!("{text} (version {version})"),
            None => text,
        }
    }
}

/// The reason of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The balance would fall below 0.
    InsufficientFunds,
    /// The balance or the count would not fit into 64 bits.
    OutOfRange,
    /// No seat is left.
    SoldOut,
    /// The user has a seat of the event already.
    AlreadyBooked,
}

/// How an operation ended, as its client knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done, with its rows after the change: one for each of [`Request::effects`], in that order. `None` where the
    /// answer does not show the row.
    Done([Option<ObservedRow>; 2]),
    /// Refused, because the state did not allow the change.
    Refused(Reason),
    /// Certainly not done: 503, or never sent.
    NotDone,
    /// Perhaps done, perhaps later, perhaps never: 504, or no answer.
    Unknown,
    /// An answer that a valid request must never get: a 500, a 4xx other than a refusal, a success that cannot be read.
    Unexpected,
}

impl Outcome {
    /// Whether the operation may or may not have been done. An unexpected answer does not decide that either.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Unknown | Self::Unexpected)
    }
}

/// One operation of one client. Times are in ns of one monotonic clock, from the start of the round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedOperation {
    /// Its number in the round, from 0.
    pub id: u64,
    /// The number of the client. A client has one operation at a time.
    pub client: u32,
    /// The request.
    pub request: Request,
    /// When the request was sent.
    pub invoked_ns: u64,
    /// When the whole answer had arrived, or the client stopped waiting.
    pub returned_ns: u64,
    /// How the operation ended.
    pub outcome: Outcome,
}

/// A row before or after a round, read while no client writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowState {
    /// Value and version.
    pub seen: ObservedRow,
    /// Of an event: the users of its booking rows, one entry for each row, ascending; `None` if they were not read.
    pub bookings: Option<Vec<i64>>,
}

/// The rows that a round is about.
pub type HistoryState = BTreeMap<Row, RowState>;

/// The claim about an approach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimedSafety {
    /// Correct under any interleaving.
    Safe,
    /// Correct if all requests go to one server.
    SafeOnOneServer,
    /// Known to be incorrect.
    Broken,
    /// No claim.
    #[default]
    Unsupported,
}

impl ClaimedSafety {
    /// Whether the claim is that the approach is correct here; `on_one_server` says whether all requests go to one server.
    #[must_use]
    pub fn is_safe(self, on_one_server: bool) -> bool {
        match self {
            Self::Safe => true,
            Self::SafeOnOneServer => on_one_server,
            Self::Broken | Self::Unsupported => false,
        }
    }
}

/// What was run in a round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoundTitle {
    /// The scenario's name.
    pub scenario: String,
    /// The name of the approach or service.
    pub approach: String,
    /// The claim about it for this workload.
    pub claim: ClaimedSafety,
    /// How many servers received the requests, as replicas on one database.
    pub servers: u32,
    /// The number of the round among those of this approach, from 1.
    pub round: u32,
    /// In a sweep: the parameter and its value, such as `pool-size=4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<String>,
}

/// The history of one round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// What was run.
    pub title: RoundTitle,
    /// The rows before the first operation.
    pub before: HistoryState,
    /// The operations, in any order.
    pub operations: Vec<RecordedOperation>,
    /// The rows after the last operation. `None` if they could not be read.
    pub after: Option<HistoryState>,
}

/// The workload that a request belongs to.
impl From<&Request> for Workload {
    fn from(request: &Request) -> Self {
        match request {
            Request::Balance { .. } => Self::Balance,
            Request::Transfer { .. } => Self::Transfer,
            Request::Booking { .. } => Self::Booking,
            Request::Increment { .. } => Self::Counter,
        }
    }
}
