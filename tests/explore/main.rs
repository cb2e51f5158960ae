//! The explorer on a real PostgreSQL.

#[path = "../common/mod.rs"]
mod common;
mod approaches;
