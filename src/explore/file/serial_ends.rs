//! The ends of the serial orders that were run, and whether an interleaving ends like one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::script::SerialCheck;
use super::serial::{End, UncomparedColumns};
use crate::explore::schedule::Actor;

/// Times in whole seconds differ between two runs that are this far apart.
pub const CLOCK_STEP: Duration = Duration::from_millis(1_010);

/// The minute of the clock, from a fixed one.
fn minute() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 60)
}

/// The ends of the serial orders of sets of sessions.
#[derive(Debug, Clone, Default)]
pub struct SerialEnds {
    ends: BTreeMap<Vec<Actor>, Vec<End>>,
    /// When the last run of serial orders began.
    minute: u64,
    /// Values that are not compared.
    uncompared: UncomparedColumns,
    /// Columns of the ends that were to be explained and could not be compared whole.
    pub not_compared: BTreeSet<String>,
}

/// What no serial order gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SerialMismatch {
    /// The answers: some serial order ends with the same rows.
    Answers,
    /// The rows, or how the sessions ended.
    Rows,
}

impl SerialMismatch {
    /// What is said of sessions whose answers alone are those of no serial order.
    pub const ANSWERS_OF_SESSIONS: &str =
        "a serial order of the sessions ends with these rows, but none gives these answers";
}

impl SerialEnds {
    /// Whether the serial orders of these sessions were run.
    #[must_use]
    pub fn knows(&self, sessions: &[Actor]) -> bool {
        self.ends.contains_key(sessions)
    }

    /// Serial orders are about to be run.
    pub fn begin(&mut self) {
        self.minute = minute();
    }

    /// Whether times in whole minutes, hours and days may have changed since the last run.
    #[must_use]
    pub fn are_of_another_minute(&self) -> bool {
        self.minute != minute()
    }

    /// The serial orders of these sessions end so, each in its place. What differs from an earlier run of the same order is not compared.
    pub fn add(&mut self, sessions: Vec<Actor>, ends: Vec<End>) {
        let before = self.ends.get(&sessions).into_iter().flatten();
        for (one, again) in before.zip(&ends) {
            self.uncompared.extend(UncomparedColumns::new(one, again));
        }
        self.ends.insert(sessions, ends);
    }

    /// Whether an end is that of a serial order, apart from values that sequences have given, which may be in any column.
    ///
    /// # Errors
    /// [`SerialMismatch`].
    pub fn explain_without(
        &mut self,
        end: &End,
        check: SerialCheck,
        given: &BTreeSet<String>,
    ) -> Result<(), SerialMismatch> {
        let masked: BTreeMap<Vec<Actor>, Vec<End>> = self
            .ends
            .iter()
            .map(|(sessions, ends)| (sessions.clone(), ends.iter().map(|end| end.without_values(given)).collect()))
            .collect();
        let whole = std::mem::replace(&mut self.ends, masked);
        let before = self.not_compared.clone();
        let explained = self.explain(&end.without_values(given), check);
        self.ends = whole;
        if explained.is_err() {
            self.not_compared = before;
        }
        explained
    }

    /// Whether an end is that of a serial order of the sessions that took part, which must be known.
    ///
    /// # Errors
    /// [`SerialMismatch`].
    pub fn explain(&mut self, end: &End, check: SerialCheck) -> Result<(), SerialMismatch> {
        let ends = &self.ends[&end.participants()];
        let found = |check: SerialCheck| ends.iter().any(|serial| end.equals(serial, check, &self.uncompared));
        let explained = match check {
            check if found(check) => Ok(()),
            SerialCheck::RowsAndAnswers if found(SerialCheck::Rows) => Err(SerialMismatch::Answers),
            _ => Err(SerialMismatch::Rows),
        };
        self.not_compared.extend(self.uncompared.found_in(end));
        explained
    }
}
