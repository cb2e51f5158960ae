//! The proxy between real clients and a real PostgreSQL.
//!
//! Three kinds of clients: tokio-postgres and sqlx, psql, and `raw`, which writes messages byte by byte, for what no driver
//! does. No test waits for a fixed time, except where it shows that nothing happens.

mod cancelling;
mod chunks;
mod closing;
mod copying;
mod events;
mod fixture;
mod holding;
mod latency;
mod load;
mod opening;
mod raw;
mod replies;
mod values;
mod withholding;
