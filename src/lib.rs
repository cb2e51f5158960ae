//! concurrency-lab: every way of guarding a read-decide-write against concurrency, each with its own SQL on a real
//! PostgreSQL; a lab that races them, and a referee that says which ones are correct.
//!
//! # Layout, in reading order
//!
//! - [`strategy`]: the approaches, one file each: start with [`strategy::naive`]
//! - [`session`]: the seam through which every statement passes, and its probes
//! - [`engine`]: an operation's way from a request to its end: tasks, retries, outcomes
//! - [`database`]: schema, seeds, pool, and who may work on which row
//! - [`metrics`]: what happened, counted
//! - [`http`]: routes, bodies, headers, limits
//! - [`report`]: tables, figures, pages: what all reports are made with
//! - [`feed`]: the events of `--events`
//! - [`lab`]: load, referee, report
//! - [`explore`]: every interleaving
//! - [`dashboard`]: pages that show all of it, and start it
//! - [`cli`]: the commands
//! - [`error`]: the ends of an operation that did not succeed
//! - [`config`]: every limit, with its reason

pub mod cli;
pub mod config;
pub mod dashboard;
pub mod database;
pub mod engine;
pub mod error;
pub mod explore;
pub mod feed;
pub mod http;
pub mod lab;
pub mod metrics;
pub mod report;
pub mod session;
pub mod strategy;
