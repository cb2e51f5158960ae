//! Histories in a few lines, for tests that record what their own code does.

use domain::Row;

use super::{
    ClaimedSafety, History, HistoryState, ObservedRow, Outcome, RecordedOperation, Request, RoundTitle, RowState,
};

impl History {
    /// A history without rows and operations. The name says what is tested; it appears in reports only.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let title = RoundTitle {
            scenario: "test".to_owned(),
            approach: name.to_owned(),
            claim: ClaimedSafety::Safe,
            servers: 1,
            round: 1,
            point: None,
        };
        Self { title, before: HistoryState::new(), operations: Vec::new(), after: None }
    }

    /// Adds a row as it is before the first operation.
    #[must_use]
    pub fn starting_with(mut self, row: Row, state: impl Into<RowState>) -> Self {
        self.before.insert(row, state.into());
        self
    }

    /// Adds an operation and gives it the next id. Take `invoked_ns` before the call and `returned_ns` after it, from one
    /// monotonic clock such as [`std::time::Instant`].
    pub fn record(&mut self, client: u32, request: Request, invoked_ns: u64, returned_ns: u64, outcome: Outcome) {
        let id = self.operations.len() as u64;
        self.operations.push(RecordedOperation { id, client, request, invoked_ns, returned_ns, outcome });
    }

    /// Adds a row as it is after the last operation.
    #[must_use]
    pub fn ending_with(mut self, row: Row, state: impl Into<RowState>) -> Self {
        self.after.get_or_insert_default().insert(row, state.into());
        self
    }
}

impl ObservedRow {
    /// A value without a version.
    #[must_use]
    pub const fn new(value: i64) -> Self {
        Self { value, version: None }
    }

    /// The same value with a version.
    #[must_use]
    pub const fn at_version(self, version: i64) -> Self {
        Self { value: self.value, version: Some(version) }
    }
}

impl Outcome {
    /// Done, with the row after the change.
    #[must_use]
    pub const fn done(row: ObservedRow) -> Self {
        Self::Done([Some(row), None])
    }

    /// A transfer that is done, with both rows after the change: of the user that pays, and of the user that is paid.
    #[must_use]
    pub const fn transferred(from: ObservedRow, to: ObservedRow) -> Self {
        Self::Done([Some(from), Some(to)])
    }
}

/// A row without a list of bookings.
impl From<ObservedRow> for RowState {
    fn from(seen: ObservedRow) -> Self {
        Self { seen, bookings: None }
    }
}
