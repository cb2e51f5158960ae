//! All tests that need more than the library: one program, so that it is linked once and its tests share one PostgreSQL.
//!
//! `cargo test --test all api::races` runs a part.

mod common;

mod api;
mod explore;
mod program;
