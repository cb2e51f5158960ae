//! One interleaving on the database: let one step go, then wait until every session is still.
//!
//! - [`observations`]: what was observed of an interleaving, or why its end was not
//! - [`actor_state`]: what the runner knows of one client or writer
//! - [`gate`]: the probe at which a session waits until its next step is let go
//! - [`monitor`]: asks PostgreSQL which session waits for which
//! - [`interleaving_state`]: what the runner knows of all actors, and which of them are still
//! - [`interleaving_runner`]: lets a step go, and waits until all are still

pub mod actor_state;
pub mod gate;
pub mod interleaving_runner;
pub mod interleaving_state;
pub mod monitor;
pub mod observations;
