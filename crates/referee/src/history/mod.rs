//! Histories: everything that the clients of one round asked and heard, and the state before and after.
//!
//! A history is what the [`crate::judge()`] judges, and nothing else is: a run writes it to a file ([`mod@file`], [`lines`]) while it
//! goes on, and judges what it reads back from there, so `check` on the same file must say the same.
//!
//! A *row* has one number that operations change: a user's balance, a counter's value, the seats that an event has left. Where
//! the target reports versions, each change of a row raises its version by 1, which puts its writes in order.

pub mod file;
pub mod lines;

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use domain::Row;
use domain::Workload;

/// What one operation asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// To add to a user's balance.
    Balance {
        /// Whose.
        user: i64,
        /// What; negative to withdraw.
        amount: i64,
    },
    /// To move money.
    Transfer {
        /// Who pays.
        from: i64,
        /// Who is paid; another one.
        to: i64,
        /// How much, from 1.
        amount: i64,
    },
    /// To book a seat.
    Booking {
        /// The event.
        event: i64,
        /// Who wants to go.
        user: i64,
    },
    /// To count one more.
    Increment {
        /// The counter.
        counter: i64,
    },
}

impl Request {
    /// The rows that it changes if it is done, with what it adds to each, in the order of [`Outcome::Done`].
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
            Self::Balance { user, amount } => write!(formatter, "users/{user} {amount:+}"),
            Self::Transfer { from, to, amount } => write!(formatter, "{amount} from users/{from} to users/{to}"),
            Self::Booking { event, user } => write!(formatter, "a seat of events/{event} for user {user}"),
            Self::Increment { counter } => write!(formatter, "counters/{counter} +1"),
        }
    }
}

/// What a request adds to which rows: one or two.
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

/// A row as an answer or a read showed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObservedRow {
    /// Its balance, value, or number of seats left.
    pub value: i64,
    /// Its version, if the target reports one.
    pub version: Option<i64>,
}

impl ObservedRow {
    /// As a witness tells it of a row, such as `users/1=9998 (version 2)`.
    #[must_use]
    pub fn of(&self, row: Row) -> String {
        match self.version {
            Some(version) => format!("{row}={} (version {version})", self.value),
            None => format!("{row}={}", self.value),
        }
    }
}

/// Why the state refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The payer has less than that.
    InsufficientFunds,
    /// The balance would not fit.
    OutOfRange,
    /// No seat is left.
    SoldOut,
    /// The user has one already.
    AlreadyBooked,
}

/// How an operation ended, as its client knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done, with what its rows were then: one for each of [`Request::effects`], in that order. `None` where the
    /// target did not say.
    Done([Option<ObservedRow>; 2]),
    /// Refused by the state.
    Refused(Reason),
    /// Certainly not done: 503, or never sent.
    NotDone,
    /// Done or not, now or later: 504, or no answer.
    Unknown,
    /// An answer that a valid request must never get: a 500, a 4xx other than a refusal, a success that cannot be read.
    Unexpected,
}

impl Outcome {
    /// Whether it may have been done or not. An answer that should not be says nothing of that either.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Unknown | Self::Unexpected)
    }
}

/// One operation of one client. Times are in ns of one clock, from the start of the round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedOperation {
    /// Its number in the round, from 0.
    pub id: u64,
    /// Who asked; a client has one operation at a time.
    pub client: u32,
    /// What was asked.
    pub request: Request,
    /// When it was sent.
    pub invoked_ns: u64,
    /// When the answer was there whole, or nothing more was waited for.
    pub returned_ns: u64,
    /// How it ended.
    pub outcome: Outcome,
}

/// A row of a state that was read while nobody wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowState {
    /// Value and version.
    pub seen: ObservedRow,
    /// Of an event: the users of its booking rows, one entry a row, ascending.
    pub bookings: Vec<i64>,
}

/// The rows that a round is about.
pub type HistoryState = BTreeMap<Row, RowState>;

/// What is claimed of an approach, by whoever offers it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimedSafety {
    /// Correct under any interleaving.
    Safe,
    /// Correct as long as there is only one server.
    SafeOnOneServer,
    /// Known to be wrong.
    Broken,
    /// Nothing is claimed.
    #[default]
    Unsupported,
}

impl ClaimedSafety {
    /// Whether it claims to be right, where all are on one server or are not.
    #[must_use]
    pub fn is_safe(self, on_one_server: bool) -> bool {
        match self {
            Self::Safe => true,
            Self::SafeOnOneServer => on_one_server,
            Self::Broken | Self::Unsupported => false,
        }
    }
}

/// What a round was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoundTitle {
    /// The scenario's name.
    pub scenario: String,
    /// The approach's name.
    pub approach: String,
    /// What is claimed of it for this workload.
    pub claim: ClaimedSafety,
    /// How many servers took the requests, as replicas on one database.
    pub servers: u32,
    /// Its number among the rounds of this approach, from 1.
    pub round: u32,
    /// Of a sweep: what was set, such as `pool-size=4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<String>,
}

/// The history of one round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// What it was.
    pub title: RoundTitle,
    /// The rows before the first operation.
    pub before: HistoryState,
    /// The operations, in any order.
    pub operations: Vec<RecordedOperation>,
    /// The rows after the last one. `None` if it could not be read.
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
