//! What a referee says: counts, anomalies by the names that the literature has for them, and a witness for each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter, EnumString, IntoStaticStr};

/// What no serial execution, in an order that agrees with real time, could have answered.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Display,
    EnumIter,
    EnumString,
    IntoStaticStr,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Anomaly {
    /// A write that does not follow from the version before it: its writer had decided on what was no longer there.
    LostUpdate,
    /// A balance below 0, or more paid out than there was.
    Overdraft,
    /// More seats sold than there are.
    Oversell,
    /// One user, one event, two seats.
    DoubleBooking,
    /// Money in the end that nobody had and nobody brought.
    MoneyCreated,
    /// Money gone that nobody took.
    MoneyDestroyed,
    /// A refusal that was true at no moment between its call and its return.
    StaleRefusal,
    /// An operation that had returned takes effect after one that was called later.
    RealTimeViolation,
    /// Two accounts tell opposite orders of the same operations.
    InconsistentOrder,
    /// Two writes claim the same version of a row.
    DuplicateVersion,
    /// A version of a row that no answer and no unknown outcome explains.
    UnexplainedWrite,
    /// A write that was acknowledged and is not in the final state.
    LostWrite,
    /// The number of booking rows is not what the event's row counts.
    Miscount,
    /// An answer that a valid request must never get.
    UnexpectedAnswer,
}

/// How many operations ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Answered with success.
    pub done: u64,
    /// Refused by the state.
    pub refused: u64,
    /// Certainly not done for another reason: gave up.
    pub not_done: u64,
    /// Done or not.
    pub unknown: u64,
    /// Answers that a valid request must never get.
    pub unexpected: u64,
}

/// One operation as a witness tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WitnessOperation {
    /// The operation's number in the history.
    pub id: u64,
    /// Who asked.
    pub client: u32,
    /// What was asked, such as `users/1 -2`.
    pub request: String,
    /// When it was sent, in ns from the start of the round.
    pub invoked_ns: u64,
    /// When it was answered.
    pub returned_ns: u64,
    /// What it heard, such as `done: users/1=9998 (version 2)`.
    pub heard: String,
}

/// The smallest evidence of an anomaly: at most two operations, and in one sentence what is wrong about them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Witness {
    /// The operations, in the order of the explanation.
    pub operations: Vec<WitnessOperation>,
    /// What is wrong.
    pub explanation: String,
}

/// An anomaly that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// Which.
    pub anomaly: Anomaly,
    /// How often; of money, how much.
    pub count: u64,
    /// The smallest evidence.
    pub witness: Witness,
}

/// What a history proves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Judgement {
    /// How the operations ended.
    pub counts: Counts,
    /// The anomalies, each once, in the order of [`Anomaly`].
    pub findings: Vec<Finding>,
    /// What the data leave open, in plain words; empty if everything is decided.
    pub undecided: Vec<String>,
}

impl Judgement {
    /// Whether anything was found that no serial execution explains.
    #[must_use]
    pub fn broken(&self) -> bool {
        !self.findings.is_empty()
    }

    /// Whether anything was answered that says something about the approach: giving up each time proves nothing.
    #[must_use]
    pub fn has_evidence(&self) -> bool {
        self.counts.done + self.counts.refused > 0 || self.broken()
    }

    /// How often an anomaly was found.
    #[must_use]
    pub fn count(&self, anomaly: Anomaly) -> u64 {
        self.findings.iter().find(|finding| finding.anomaly == anomaly).map_or(0, |finding| finding.count)
    }
}
