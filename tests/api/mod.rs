//! The server's behaviour over real HTTP, on a real PostgreSQL.

mod certificates;
mod contention;
mod database;
mod exposition;
mod failures;
mod few_connections;
mod group_commit;
mod group_commit_failures;
mod hang_up;
mod headers;
mod hosts;
mod idempotency;
mod input;
mod late_messages;
mod metrics;
mod openapi;
mod poolers;
mod problems;
mod races;
mod read_only;
mod routes;
mod setup;
mod swallowed;
mod workloads;
