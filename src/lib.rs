//! concurrency-lab: every locking strategy on a real PostgreSQL.

pub mod postgres;
