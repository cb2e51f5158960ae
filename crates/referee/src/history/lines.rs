//! The lines of a `history.jsonl`, and how they become operations and rows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{HistoryState, ObservedRow, Outcome, Reason, RecordedOperation, Request, RoundTitle, RowState};
use domain::Row;

/// A line.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum HistoryLine {
    /// An operation that ended.
    Operation(OperationLine),
    /// A round begins.
    Start {
        /// Its title and the rows before.
        start: RoundStart,
    },
    /// A round has ended.
    End {
        /// Its number of operations and the rows after.
        end: RoundEnd,
    },
}

/// The beginning of a round.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoundStart {
    /// The version of the format: 1.
    pub format: u32,
    /// What was run in the round.
    pub title: RoundTitle,
    /// The rows before the first operation.
    pub rows: Vec<RowLine>,
}

/// The end of a round.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoundEnd {
    /// The number of operations in the round. If a reader counts another number, the file is damaged.
    pub operations: u64,
    /// The rows after the last operation; null if they could not be read.
    pub rows: Option<Vec<RowLine>>,
}

/// A row at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RowLine {
    /// The name of the row: `users/1`, `events/1`, `counters/1`.
    pub row: String,
    /// Its balance, value, or number of seats left.
    pub value: i64,
    /// Its version, if the service reports one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// Of an event: the users of its bookings, one entry for each booking. What is not there is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bookings: Option<Vec<i64>>,
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OperationEnd {
    /// The change was made.
    Done,
    /// The state did not allow the change; `reason` says why.
    Refused,
    /// The change was certainly not made.
    NotDone,
    /// The change may or may not have been made.
    Unknown,
    /// An answer that a valid request must never get.
    Unexpected,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OperationLine {
    /// Its number in the round, from 0.
    pub id: u64,
    /// The number of the client. A client has one operation at a time.
    pub client: u32,
    /// The request.
    pub request: Request,
    /// In an open loop: when the request was due, in ns from the start of the round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intended_ns: Option<u64>,
    /// When the request was sent.
    pub invoked_ns: u64,
    /// When the whole answer had arrived, or the client stopped waiting.
    pub returned_ns: u64,
    /// The status of the answer; null without one.
    pub status: Option<u16>,
    /// The body of the answer, or why there is none.
    pub body: String,
    /// The number of attempts that the service reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// How the operation ended.
    pub outcome: OperationEnd,
    /// The reason of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// With the outcome `done`: the changed rows after the change, as far as the answer shows them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<RowLine>,
}

/// The rows of a state as lines.
#[must_use]
pub fn row_lines(state: &HistoryState) -> Vec<RowLine> {
    state
        .iter()
        .map(|(row, RowState { seen, bookings })| RowLine {
            row: row.to_string(),
            value: seen.value,
            version: seen.version,
            bookings: bookings.clone(),
        })
        .collect()
}

impl OperationLine {
    /// The line of an operation, with the literal answer.
    #[must_use]
    pub fn new(
        operation: &RecordedOperation,
        intended_ns: Option<u64>,
        status: Option<u16>,
        body: String,
        attempts: Option<u32>,
    ) -> Self {
        let &RecordedOperation { id, client, request, invoked_ns, returned_ns, outcome } = operation;
        let (outcome, reason, rows) = match outcome {
            Outcome::Done(seen) => {
                let effects = request.effects();
                let told = effects.iter().zip(seen).filter_map(|((row, _), seen)| Some((*row, seen?)));
                let line = |(row, seen): (Row, ObservedRow)| RowLine {
                    row: row.to_string(),
                    value: seen.value,
                    version: seen.version,
                    bookings: None,
                };
                (OperationEnd::Done, None, told.map(line).collect())
            }
            Outcome::Refused(reason) => (OperationEnd::Refused, Some(reason), Vec::new()),
            Outcome::NotDone => (OperationEnd::NotDone, None, Vec::new()),
            Outcome::Unknown => (OperationEnd::Unknown, None, Vec::new()),
            Outcome::Unexpected => (OperationEnd::Unexpected, None, Vec::new()),
        };
        Self {
            id,
            client,
            request,
            intended_ns,
            invoked_ns,
            returned_ns,
            status,
            body,
            attempts,
            outcome,
            reason,
            rows,
        }
    }

    /// The operation of this line.
    ///
    /// # Errors
    /// Which fields contradict each other.
    pub fn operation(&self) -> Result<RecordedOperation, String> {
        if self.returned_ns < self.invoked_ns {
            return Err(format!(
                "returned_ns: expected {} (invoked_ns) or later, found {}",
                self.invoked_ns, self.returned_ns
            ));
        }
        if let Request::Transfer { from, to, amount } = self.request
            && (from == to || amount < 1)
        {
            return Err("request: expected two users and an amount from 1".to_owned());
        }
        let outcome = match (self.outcome, self.reason) {
            (OperationEnd::Done, None) => self.done()?,
            (OperationEnd::Refused, Some(reason)) => Outcome::Refused(reason),
            (OperationEnd::NotDone, None) => Outcome::NotDone,
            (OperationEnd::Unknown, None) => Outcome::Unknown,
            (OperationEnd::Unexpected, None) => Outcome::Unexpected,
            (OperationEnd::Refused, None) => return Err("reason: expected one with the outcome refused".to_owned()),
            (_, Some(_)) => return Err("reason: expected only with the outcome refused".to_owned()),
        };
        if self.outcome != OperationEnd::Done && !self.rows.is_empty() {
            return Err("rows: expected only with the outcome done".to_owned());
        }
        let &Self { id, client, request, invoked_ns, returned_ns, .. } = self;
        Ok(RecordedOperation { id, client, request, invoked_ns, returned_ns, outcome })
    }

    fn done(&self) -> Result<Outcome, String> {
        let effects = self.request.effects();
        let mut seen = [None; 2];
        for line in &self.rows {
            let row: Row = line.row.parse().map_err(|error| format!("rows: {error}, found {:?}", line.row))?;
            let at = effects.iter().position(|(changed, _)| *changed == row);
            let at = at.ok_or_else(|| format!("rows: {row} is not a row of its request"))?;
            if seen[at].replace(ObservedRow { value: line.value, version: line.version }).is_some() {
                return Err(format!("rows: expected {row} once, found it twice"));
            }
        }
        Ok(Outcome::Done(seen))
    }
}
