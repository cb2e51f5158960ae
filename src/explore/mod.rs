//! The explorer: every interleaving of a few clients' statements, on the real database.
//!
//! Load shows that a race happened. Only enumeration shows that it cannot happen. Each client runs its approach, the code that serves
//! requests, on a connection of its own and behind a gate. A runner lets one statement go at a time, and a search repeats this
//! until every order was run. An oracle then decides for each interleaving whether a serial order explains it.
//!
//! **Floors.** The modules, lowest first. Each imports only from modules before it, and in a folder each file only from files before
//! it.
//!
//! 1. [`error`]: why an exploration fails
//! 2. [`schedule`]: which actor takes each step
//! 3. [`transcript`]: what happened in one interleaving, step by step
//! 4. [`search_order`]: the orders in which interleavings can be run
//! 5. [`sql_words`]: properties of a statement that follow from its words
//! 6. [`row_text`]: returned rows as text; [`sequence_columns`] and [`new_sequence_values`]: which of their values a sequence gave
//! 7. [`named_ids`]: names in place of generated ids
//! 8. [`table_rows`]: the rows of the explorer's tables, read and written
//! 9. [`findings`]: what explorations found
//! 10. [`scenario`]: a few rows, and what each client asks for
//! 11. [`mutation`]: an approach without one of its guards
//! 12. [`mod@test_case`]: an approach in a scenario, and its conditions
//! 13. [`catalog`]: the test cases that there are
//! 14. [`file_role`]: the rights of a file's statements
//! 15. [`run`]: one interleaving on the database; in this order `observations`, `actor_state`, `gate`, `monitor`,
//!     `interleaving_state`, `interleaving_runner`
//! 16. [`explorer_database`]: the schema, and a connection for each actor
//! 17. [`search`]: which interleavings are run; in this order `execution`, `choices`, `independence`, `branch`, `progress`,
//!     `depth_first`, `scheduler`, `sampling`, `replay`
//! 18. [`exploration`]: runs a search, and counts what it finds
//! 19. [`oracle`]: does a serial order explain what was observed?
//! 20. [`classify`]: the names of what is wrong
//! 21. [`execution`]: runs a test case
//! 22. [`crash`]: explores cut connections and clients that hang up
//! 23. [`file`](mod@file): explore files, with transactions of a user's own
//! 24. [`app`](mod@app): programs of a user's own, unmodified
//! 25. [`spec`](mod@spec): isolationtester's files
//! 26. [`witness_check`]: is the witness of an earlier report still broken?
//! 27. [`report`]: what people and programs read of the findings
//! 28. [`position`]: one interleaving up to a step, and which actors can go next
//! 29. [`worker_pool`]: several explorations at the same time

pub mod app;
pub mod catalog;
pub mod classify;
pub mod crash;
pub mod error;
pub mod execution;
pub mod exploration;
pub mod explorer_database;
pub mod file;
pub mod file_role;
pub mod findings;
pub mod mutation;
pub mod named_ids;
pub mod new_sequence_values;
pub mod oracle;
pub mod position;
pub mod report;
pub mod row_text;
pub mod run;
pub mod scenario;
pub mod schedule;
pub mod search;
pub mod search_order;
pub mod sequence_columns;
pub mod spec;
pub mod sql_words;
pub mod table_rows;
pub mod test_case;
pub mod transcript;
pub mod witness_check;
pub mod worker_pool;

pub use error::ExploreError;
