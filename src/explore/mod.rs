//! The explorer: every interleaving of a few clients' statements, on the real database.
//!
//! Load shows that a race happened; only enumeration shows that it cannot.
//!
//! - [`mod@file`]: transactions that somebody else has thought of
//! - [`schedule`]: who is let go, step by step
//! - [`transcript`]: what happened then
//! - [`findings`]: what all interleavings together prove

pub mod file;
pub mod findings;
pub mod schedule;
pub mod transcript;
