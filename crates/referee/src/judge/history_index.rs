//! The history, indexed: which rows each operation touches, and which rows have to be judged together.
//!
//! Rows that no transfer connects have nothing to do with each other: a history is linearizable if and only if it is on
//! each of them (Herlihy & Wing's locality). A transfer ties its two rows into one *partition*, and a partition is what the other modules
//! judge. Operations and rows are numbers (`u32`) from here on: a million operations must fit.

use crate::history::{History, Outcome, Reason, RecordedOperation, Request, RowState};
use domain::Row;

/// No operation, no row.
pub const NONE: u32 = u32::MAX;

/// The history with its index.
#[derive(Debug)]
pub struct HistoryIndex<'a> {
    /// The history.
    pub history: &'a History,
    /// The rows that were there before, ascending.
    pub rows: Vec<RowBounds<'a>>,
    /// For each operation its rows, in the order of its effects; [`NONE`] for those that take no part.
    pub rows_of: Vec<[u32; 2]>,
}

/// A row before and after.
#[derive(Debug)]
pub struct RowBounds<'a> {
    /// Which.
    pub row: Row,
    /// Before the first operation.
    pub before: &'a RowState,
    /// After the last one, if that was read.
    pub after: Option<&'a RowState>,
}

impl RowBounds<'_> {
    /// Whether the users of its booking rows were read, before and in the end.
    pub fn knows_bookings(&self) -> bool {
        self.before.bookings.is_some() && self.after.is_some_and(|after| after.bookings.is_some())
    }
}

/// Rows that are tied together, and the operations on them.
#[derive(Debug, Default)]
pub struct Partition {
    /// Ascending.
    pub rows: Vec<u32>,
    /// In the order in which they were called. All but those that were certainly not done.
    pub operations: Vec<u32>,
}

/// An index as the small number that the referee keeps.
pub fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(NONE)
}

impl<'a> HistoryIndex<'a> {
    /// Indexes a history.
    pub fn new(history: &'a History) -> Self {
        let after = history.after.as_ref();
        let rows: Vec<RowBounds<'_>> = history
            .before
            .iter()
            .map(|(row, before)| RowBounds { row: *row, before, after: after.and_then(|after| after.get(row)) })
            .collect();
        let mut index = Self { history, rows, rows_of: Vec::new() };
        index.rows_of = history.operations.iter().map(|operation| index.rows_touched(operation)).collect();
        index
    }

    fn rows_touched(&self, operation: &RecordedOperation) -> [u32; 2] {
        let takes_part = match operation.outcome {
            Outcome::Done(_) | Outcome::Unknown | Outcome::Unexpected => true,
            Outcome::Refused(reason) => fits(&operation.request, reason),
            Outcome::NotDone => false,
        };
        let mut touched = [NONE; 2];
        if !takes_part || !is_valid(&operation.request) {
            return touched;
        }
        for (slot, (row, _)) in touched.iter_mut().zip(operation.request.effects().iter()) {
            match self.find(*row) {
                Some(found) => *slot = found,
                None => return [NONE; 2],
            }
        }
        if self.may_rest_on_unread_bookings(operation) { [NONE; 2] } else { touched }
    }

    /// The number of a row.
    pub fn find(&self, row: Row) -> Option<u32> {
        self.rows.binary_search_by_key(&row, |known| known.row).ok().map(number)
    }

    /// Whether a refusal may rest on a booking before the first operation, which was not read.
    pub fn may_rest_on_unread_bookings(&self, operation: &RecordedOperation) -> bool {
        let Request::Booking { event, .. } = operation.request else { return false };
        let event = self.find(Row::Event(event)).map(|row| self.row(row));
        operation.outcome == Outcome::Refused(Reason::AlreadyBooked)
            && event.is_some_and(|event| event.before.bookings.is_none())
    }

    /// An operation.
    pub fn operation(&self, at: u32) -> &'a RecordedOperation {
        &self.history.operations[at as usize]
    }

    /// When an operation must have taken effect: an answer promises that it has, silence promises nothing.
    pub fn deadline_ns(&self, at: u32) -> u64 {
        let operation = self.operation(at);
        if operation.outcome.is_open() { u64::MAX } else { operation.returned_ns }
    }

    /// A row.
    pub fn row(&self, at: u32) -> &RowBounds<'a> {
        &self.rows[at as usize]
    }

    /// Whether an operation takes part.
    pub fn takes_part(&self, at: u32) -> bool {
        self.rows_of[at as usize][0] != NONE
    }

    /// What an operation that takes part adds to which rows: the place among its effects, the row, the amount.
    pub fn effects(&self, at: u32) -> impl Iterator<Item = (usize, u32, i64)> {
        let rows = self.rows_of[at as usize];
        let effects = self.operation(at).request.effects();
        (0..effects.len()).map(move |place| (place, rows[place], effects[place].1))
    }

    /// The partitions.
    pub fn partitions(&self) -> Vec<Partition> {
        let mut tied = TiedRows::new(self.rows.len());
        for rows in &self.rows_of {
            if rows[1] != NONE {
                tied.tie(rows[0], rows[1]);
            }
        }
        let mut partitions: Vec<Partition> = Vec::new();
        let mut partition_of = vec![NONE; self.rows.len()];
        for row in 0..number(self.rows.len()) {
            let root = tied.root(row) as usize;
            if partition_of[root] == NONE {
                partition_of[root] = number(partitions.len());
                partitions.push(Partition::default());
            }
            partition_of[row as usize] = partition_of[root];
            partitions[partition_of[root] as usize].rows.push(row);
        }
        let mut called: Vec<u32> = (0..number(self.rows_of.len())).filter(|&at| self.takes_part(at)).collect();
        called.sort_unstable_by_key(|&at| (self.operation(at).invoked_ns, at));
        for at in called {
            let row = self.rows_of[at as usize][0];
            partitions[partition_of[row as usize] as usize].operations.push(at);
        }
        partitions
    }
}

/// A transfer must move something from one user to another.
pub fn is_valid(request: &Request) -> bool {
    !matches!(*request, Request::Transfer { from, to, amount } if from == to || amount < 1)
}

/// Whether that request can be refused for that reason at all.
pub fn fits(request: &Request, reason: Reason) -> bool {
    match request {
        Request::Balance { .. } | Request::Transfer { .. } => {
            matches!(reason, Reason::InsufficientFunds | Reason::OutOfRange)
        }
        Request::Booking { .. } => matches!(reason, Reason::SoldOut | Reason::AlreadyBooked),
        Request::Increment { .. } => reason == Reason::OutOfRange,
    }
}

/// Which rows are tied together: a disjoint-set forest whose roots are the least of their trees.
struct TiedRows {
    parents: Vec<u32>,
}

impl TiedRows {
    fn new(rows: usize) -> Self {
        Self { parents: (0..number(rows)).collect() }
    }

    fn root(&mut self, mut row: u32) -> u32 {
        while self.parents[row as usize] != row {
            let parent = self.parents[row as usize];
            self.parents[row as usize] = self.parents[parent as usize];
            row = parent;
        }
        row
    }

    fn tie(&mut self, one: u32, other: u32) {
        let (one, other) = (self.root(one), self.root(other));
        self.parents[one.max(other) as usize] = one.min(other);
    }
}
