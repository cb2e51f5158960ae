//! The explorer: every interleaving of a few clients' statements, on the real database.
//!
//! Load shows that a race happened; only enumeration shows that it cannot.
//!
//! - [`schedule`]: who is let go, step by step
//! - [`transcript`]: what happened then
//! - [`findings`]: what all interleavings together prove
//! - [`report`]: what people and programs read of it

pub mod findings;
pub mod report;
pub mod schedule;
pub mod transcript;
