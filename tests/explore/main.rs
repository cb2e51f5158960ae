//! The explorer on a real PostgreSQL.

mod approaches;
#[path = "../common/mod.rs"]
mod common;
mod crash;
mod files;
mod timelines;
