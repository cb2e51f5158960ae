//! Bookings: the seats of each user and event, by the rows before and after and by the answers between.
//!
//! The seats that an event has left are a number like any other, which [`super::chain`] follows. What is left to say is about
//! the rows: one a user at most, none lost, none without a request, and as many as the row of the event counts.

use rustc_hash::FxHashMap;

use super::finding_counter::FindingCounter;
use super::history_index::{HistoryIndex, NONE};
use crate::history::{Outcome, Request};
use crate::judgement::Anomaly;
use crate::phrases;

/// The bookings of one event by one user.
#[derive(Debug, Clone, Copy)]
pub struct Seats {
    /// Rows before.
    pub before: u32,
    /// Bookings that were acknowledged.
    pub done: u32,
    /// One of those.
    pub done_by: u32,
    /// Bookings of unknown outcome.
    unknown: u32,
    /// The first of those to be called: no other can explain more, for none has to be done by any time.
    pub unknown_by: u32,
    /// Rows after.
    after: u32,
}

const NO_SEATS: Seats = Seats { before: 0, done: 0, done_by: NONE, unknown: 0, unknown_by: NONE, after: 0 };

/// All bookings, by event (its row's number) and user.
#[derive(Debug, Default)]
pub struct Bookings {
    by_user: FxHashMap<(u32, i64), Seats>,
}

impl Bookings {
    /// Gathers the bookings, and names the double ones that the answers tell of.
    pub fn gather(index: &HistoryIndex<'_>, findings: &mut FindingCounter) -> Self {
        let mut bookings = Self::default();
        for (row, known) in (0..).zip(&index.rows) {
            for &user in known.before.bookings.iter().flatten() {
                bookings.seats(row, user).before += 1;
            }
            for &user in known.after.iter().flat_map(|after| &after.bookings).flatten() {
                bookings.seats(row, user).after += 1;
            }
        }
        for (at, operation) in (0..).zip(&index.history.operations) {
            let Request::Booking { event, user } = operation.request else { continue };
            if !index.takes_part(at) {
                continue;
            }
            let seats = bookings.seats(index.rows_of[at as usize][0], user);
            match operation.outcome {
                Outcome::Done(_) => {
                    if seats.before + seats.done > 0 {
                        let earlier = (seats.done > 0).then_some(seats.done_by);
                        findings.add(index.history, Anomaly::DoubleBooking, 1, &[earlier, Some(at)], || {
                            format!("User {user} booked event {event} more than once")
                        });
                    }
                    // The first one that was answered: a refusal "already booked" may refer to it.
                    let answered = |at: u32| index.operation(at).returned_ns;
                    if seats.done == 0 || answered(at) < answered(seats.done_by) {
                        seats.done_by = at;
                    }
                    seats.done += 1;
                }
                Outcome::Unknown | Outcome::Unexpected => {
                    let called = |at: u32| index.operation(at).invoked_ns;
                    seats.unknown += 1;
                    if seats.unknown_by == NONE || called(at) < called(seats.unknown_by) {
                        seats.unknown_by = at;
                    }
                }
                Outcome::Refused(_) | Outcome::NotDone => {}
            }
        }
        bookings
    }

    fn seats(&mut self, row: u32, user: i64) -> &mut Seats {
        self.by_user.entry((row, user)).or_insert(NO_SEATS)
    }

    /// What is known of a user's seats.
    pub fn of(&self, row: u32, user: i64) -> Seats {
        self.by_user.get(&(row, user)).copied().unwrap_or(NO_SEATS)
    }

    /// Whether a booking of unknown outcome may have been made: no user has two, and the rows at the end must have it.
    pub fn may_be_made(&self, index: &HistoryIndex<'_>, at: u32) -> bool {
        let Request::Booking { user, .. } = index.operation(at).request else { return true };
        let row = index.rows_of[at as usize][0];
        let seats = self.of(row, user);
        seats.before + seats.done == 0
            && seats.unknown_by == at
            && (!index.row(row).knows_bookings() || seats.after > 0)
    }

    /// Compares the rows in the end with what was asked for.
    pub fn compare(&self, index: &HistoryIndex<'_>, findings: &mut FindingCounter) {
        // In order, so that equal histories get equal judgements.
        let mut by_user: Vec<_> = self.by_user.iter().collect();
        by_user.sort_unstable_by_key(|(key, _)| **key);
        for (&(row, user), seats) in by_user {
            let known = index.row(row);
            if !known.knows_bookings() {
                continue;
            }
            let (event, expected) = (known.row, seats.before + seats.done);
            let by = (seats.done > 0).then_some(seats.done_by);
            if seats.after < expected {
                findings.add(index.history, Anomaly::LostWrite, u64::from(expected - seats.after), &[by], || {
                    format!(
                        "User {user} should have {} of {} in the end, but has {}",
                        phrases::counted(expected.into(), "booking"),
                        phrases::small(event),
                        seats.after
                    )
                });
            }
            if seats.after > expected + seats.unknown {
                let strange = u64::from(seats.after - expected - seats.unknown);
                findings.add(index.history, Anomaly::UnexplainedWrite, strange, &[by], || {
                    format!(
                        "User {user} has {} of {} in the end, but the requests explain at most {}",
                        phrases::counted(seats.after.into(), "booking"),
                        phrases::small(event),
                        expected + seats.unknown
                    )
                });
            }
            // Those that the answers told of are counted already.
            if seats.after > 1 && seats.after > expected {
                let doubled = u64::from(seats.after - expected.max(1));
                findings.add(index.history, Anomaly::DoubleBooking, doubled, &[by], || {
                    format!("User {user} has {} bookings of {} in the end", seats.after, phrases::small(event))
                });
            }
        }
        compare_events(index, findings);
    }
}

/// Compares the booking rows of each event with its number of seats, and with the number that its row counts.
fn compare_events(index: &HistoryIndex<'_>, findings: &mut FindingCounter) {
    for known in &index.rows {
        let Some(after) = known.after else { continue };
        let (event, left) = (known.row, i128::from(after.seen.value));
        let rows = |bookings: &Vec<i64>| i128::try_from(bookings.len()).unwrap_or(i128::MAX);
        if !matches!(event, domain::Row::Event(_)) {
            continue;
        }
        let (Some(before), Some(bookings)) = (&known.before.bookings, &after.bookings) else { continue };
        let capacity = i128::from(known.before.seen.value) + rows(before);
        let booked = rows(bookings);
        if capacity - booked != left {
            findings.add(index.history, Anomaly::Miscount, 1, &[], || {
                format!(
                    "{} has {booked} of {capacity} seats booked in the end, but its row counts {left} left",
                    phrases::capital(event)
                )
            });
        }
        if booked > capacity && booked > rows(before) && !findings.has(Anomaly::Oversell) {
            let count = u64::try_from(booked - capacity).unwrap_or(u64::MAX);
            findings.add(index.history, Anomaly::Oversell, count, &[], || {
                format!("{} has {booked} bookings in the end, but only {capacity} seats", phrases::capital(event))
            });
        }
    }
}
