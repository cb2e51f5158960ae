//! concurrency-lab: every way of guarding a read-decide-write against concurrency, each with its own SQL on a real
//! PostgreSQL; a lab that races them, and a referee that says which ones are correct.
//!
//! # Layout, in reading order
//!
//! - [`strategy`]: the approaches, one file each: start with [`strategy::naive`]
//! - [`session`]: the seam through which every statement passes, and its probes
//! - [`engine`]: an operation's way from a request to its end: tasks, retries, outcomes
//! - [`server`]: the memory of one server: the queues of rows, the keyed mutexes, the metrics
//! - [`metrics`]: what happened, counted
//! - [`database`]: schema, seeds, pool
//! - [`http`]: routes, bodies, headers, limits
//! - [`lab`]: load, referee, report
//! - [`explore`]: every interleaving
//! - [`dashboard`]: pages that show all of it, and start it
//! - [`cli`]: the commands
//! - [`config`]: every limit, with its reason

pub mod cli;
pub mod config;
pub mod dashboard;
pub mod database;
pub mod engine;
pub mod explore;
pub mod http;
pub mod lab;
pub mod metrics;
pub mod server;
pub mod session;
pub mod strategy;
