//! concurrency-lab: a server with every locking strategy for a read-decide-write, each with its own SQL on a real PostgreSQL;
//! a lab that sends them concurrent requests, a referee that decides which are correct, and an explorer that runs every
//! interleaving.
//!
//! # Layout, in reading order
//!
//! - [`strategy`]: the approaches, one file each; start with [`strategy::naive`]
//! - [`session`]: the seam through which every statement passes, and its probes
//! - [`engine`]: an operation from the request to its outcome: tasks, retries
//! - [`server`]: the memory of one server: the queues of rows, the keyed mutexes, the metrics
//! - [`metrics`]: counters and histograms for Prometheus
//! - [`database`]: schema, seeds, pool
//! - [`http`]: routes, bodies, headers, limits
//! - [`report`]: tables, figures, pages: what all reports are made with
//! - [`feed`]: the events of `--events`
//! - [`lab`]: load, referee, reports
//! - [`explore`]: the explorer, which runs every interleaving
//! - [`dashboard`]: web pages that show results and start experiments
//! - [`cli`]: the commands
//! - [`config`]: every limit, with its reason

// Text from outside reaches a terminal only through `cli::output`, which makes it printable.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod cli;
pub mod config;
pub mod dashboard;
pub mod database;
pub mod engine;
pub mod explore;
pub mod feed;
pub mod http;
pub mod lab;
pub mod metrics;
pub mod report;
pub mod server;
pub mod session;
pub mod strategy;
