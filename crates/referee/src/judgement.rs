//! The verdict on a history: counts, anomalies by the names that the literature has for them, and a witness for each.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter, EnumString, IntoStaticStr};

/// What no serial execution in an order that agrees with real time can produce.
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
    /// A write does not follow from the version before it: it was computed from a value that was no longer there.
    LostUpdate,
    /// A balance is below 0, or more was paid out than there was.
    Overdraft,
    /// More seats were sold than there are.
    Oversell,
    /// One user has two seats of one event.
    DoubleBooking,
    /// The balances at the end are higher than the answers explain.
    MoneyCreated,
    /// The balances at the end are lower than the answers explain.
    MoneyDestroyed,
    /// A refusal was true at no moment between its call and its return.
    StaleRefusal,
    /// An operation that had returned takes effect after one that was called later.
    RealTimeViolation,
    /// Two accounts show opposite orders of the same operations.
    InconsistentOrder,
    /// Two answers report the same version of a row.
    DuplicateVersion,
    /// A row has a version that no answer and no unknown outcome explains.
    UnexplainedWrite,
    /// An acknowledged write is missing in the final state.
    LostWrite,
    /// The number of booking rows differs from the number that the row of the event counts.
    Miscount,
    /// A valid request got an answer that it must never get.
    UnexpectedAnswer,
}

/// The number of operations by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Answered with success.
    pub done: u64,
    /// Refused by the state.
    pub refused: u64,
    /// Certainly not done, and not refused: the server gave up.
    pub not_done: u64,
    /// Perhaps done.
    pub unknown: u64,
    /// Answers that a valid request must never get.
    pub unexpected: u64,
}

/// One operation of a witness.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WitnessOperation {
    /// The operation's number in the history.
    pub id: u64,
    /// The number of the client.
    pub client: u32,
    /// The request, such as `withdraw 2 from user 1`.
    pub request: String,
    /// When the request was sent, in ns from the start of the round.
    pub invoked_ns: u64,
    /// When the answer had arrived.
    pub returned_ns: u64,
    /// The outcome, such as `done: user 1 has 9998 (version 2)`.
    pub heard: String,
}

/// The smallest evidence of an anomaly: at most two operations, and one sentence that says what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Witness {
    /// The operations, in the order in which the explanation names them.
    pub operations: Vec<WitnessOperation>,
    /// What is wrong.
    pub explanation: String,
}

/// An anomaly that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// Its name.
    pub anomaly: Anomaly,
    /// How often it was found; of money, the amount. A lower bound where answers are missing or only a search decides.
    pub count: u64,
    /// The smallest evidence.
    pub witness: Witness,
}

/// The verdict on a history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Judgement {
    /// The number of operations by outcome.
    pub counts: Counts,
    /// The anomalies, each once, in the order of [`Anomaly`].
    pub findings: Vec<Finding>,
    /// What the history leaves open, one sentence each; empty if everything is decided.
    pub undecided: Vec<String>,
}

impl Judgement {
    /// Whether an anomaly was found.
    #[must_use]
    pub fn broken(&self) -> bool {
        !self.findings.is_empty()
    }

    /// Whether the history proves anything: at least one operation was done or refused, or an anomaly was found.
    #[must_use]
    pub fn has_evidence(&self) -> bool {
        self.counts.done + self.counts.refused > 0 || self.broken()
    }

    /// How often an anomaly was found; 0 if it was not.
    #[must_use]
    pub fn count(&self, anomaly: Anomaly) -> u64 {
        self.findings.iter().find(|finding| finding.anomaly == anomaly).map_or(0, |finding| finding.count)
    }
}

/// The whole verdict, for a test that fails: counts, findings with their witnesses, and what is undecided.
impl fmt::Display for Judgement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { done, refused, not_done, unknown, unexpected } = self.counts;
        writeln!(
            formatter,
            "{done} done, {refused} refused, {not_done} not done, {unknown} unknown, {unexpected} unexpected"
        )?;
        for finding in &self.findings {
            writeln!(formatter, "{finding}")?;
        }
        for open in &self.undecided {
            writeln!(formatter, "undecided: {open}")?;
        }
        Ok(())
    }
}

/// The name and the sentence, then a line for each operation of the witness.
impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { anomaly, count, witness } = self;
        write!(formatter, "{count} × {anomaly}: {}", witness.explanation)?;
        for operation in &witness.operations {
            write!(formatter, "\n  {operation}")?;
        }
        Ok(())
    }
}

/// Such as `client 1, from 10 to 95 ns: withdraw 2 from user 1, done: user 1 has 8 (version 3)`.
impl fmt::Display for WitnessOperation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, request, invoked_ns, returned_ns, heard, .. } = self;
        write!(formatter, "client {client}, from {invoked_ns} to {returned_ns} ns: {request}, {heard}")
    }
}
