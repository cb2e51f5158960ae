//! The referee: is a history of concurrent operations correct, and if not, what went wrong?
//!
//! # What is judged
//!
//! Clients change rows at the same time: they withdraw and transfer money, book seats, increment counters. A [`History`] has
//! the rows before, every request with its outcome and the times of its call and its return, and the rows after.
//!
//! The history is correct if it is *linearizable* (Herlihy & Wing, "Linearizability: a correctness condition for concurrent
//! objects", 1990): there is an order of all operations, each at one moment between its call and its return, in which the
//! sequential rule ([`domain`]) gives every answer and leaves the final rows. [`judge()`] finds an anomaly if and only if
//! there is no such order, or it says what it leaves undecided.
//!
//! It is a pure function of the history: it has no clock, no randomness and no I/O. Only [`history::file`] reads and writes, through
//! the reader or writer that the caller gives it.
//!
//! # How
//!
//! **Versions order the writes.** In general it is NP-complete to decide whether such an order exists. With a version that every
//! change of a row raises by 1, it is not: the answers show the order of the writes of each row. If all changes of a row add the
//! same amount, their values show it as well. What is left is a walk along each row, in O(n log n):
//!
//! 1. Each write is compared with the one before it. A withdrawal of 2 that wrote 6 must follow an 8. If it does not, it
//!    was computed from a value that was no longer there: a lost update.
//! 2. A version that no answer reports is a gap. Only an operation of unknown outcome (a timeout, a broken connection) can
//!    explain it. The referee looks for a choice of such operations that fills all gaps.
//! 3. The order of the writes is compared with real time: an operation that had returned before another one was called
//!    must come before it.
//! 4. Each refusal needs a moment between its call and its return at which it was true.
//!
//! Sums need no order at all: more was paid out than there was, more seats were sold than the event has, or transfers
//! changed the total.
//!
//! **Without versions, a search.** It takes one operation after the other, each one that no other had to precede, as long as the
//! rule gives the recorded answer, and goes back if nothing fits (Wing & Gong, "Testing and verifying concurrent objects",
//! 1993). No set of operations is tried twice (Lowe, "Testing for linearizability", 2017). The search has a bound of a few seconds.
//! Beyond it, the verdict is *undecided*, with the reason in [`Judgement::undecided`]. The search also has the last word if
//! there are several ways to fill the gaps.
//!
//! # What comes out
//!
//! A [`Judgement`] names each [`Anomaly`] once, with its count and the smallest [`Witness`]: at most two operations and one
//! sentence. A count is a lower bound where answers are missing or only a search decides.
//!
//! ```
//! use referee::history::{History, ObservedRow, Outcome, Request};
//! use referee::{Row, judge};
//!
//! let mut history = History::new("my account").starting_with(Row::User(1), ObservedRow::new(10).at_version(1));
//! let withdrawal = Request::Balance { user: 1, amount: -2 };
//! history.record(0, withdrawal, 0, 90, Outcome::done(ObservedRow::new(8).at_version(2)));
//! history.record(1, withdrawal, 10, 95, Outcome::done(ObservedRow::new(8).at_version(3)));
//! let history = history.ending_with(Row::User(1), ObservedRow::new(8).at_version(3));
//!
//! assert_eq!(
//!     judge(&history).findings[0].witness.explanation,
//!     "Two withdrawals both read 10 and both wrote 8, so one is lost (versions 2 and 3 of users/1)"
//! );
//! ```

pub mod history;
mod judge;
pub mod judgement;
mod phrases;

pub use domain::Row;
pub use history::History;
pub use judge::judge;
pub use judgement::{Anomaly, Judgement, Witness};

/// The example of the README compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
