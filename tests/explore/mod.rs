//! The explorer on a real PostgreSQL. It runs every interleaving, and leaves out only equivalent ones. Each approach is as claimed.
//! Every guard that is taken away is found. A worker that panics is an error.

#[macro_use]
mod fixture;

mod cases;
mod claims;
mod commuting;
mod comparisons;
mod counts;
mod crash;
mod endings;
mod files;
mod generated;
mod language;
mod mutants;
mod notices;
mod oracle;
mod reduction;
mod search;
mod timelines;
mod verdicts;
mod worker_pool;
