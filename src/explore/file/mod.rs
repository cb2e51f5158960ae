//! Explore files: transactions of a user's own, in the format of docs/EXPLORE.md.
//!
//! The explorer runs a strategy's code as it is. A question such as "does this deadlock?" has no code yet, and should need none. So a
//! file contains tables, a few sessions with their statements, and what must be true at the end of every interleaving.
//!
//! The files, lowest first; each imports only from those before it:
//!
//! 1. [`template`]: statements that use values that were read before
//! 2. [`expect`]: what the author expects
//! 3. [`script`]: an explore file as data
//! 4. `fields`: checks of single fields, with errors that name the field
//! 5. `sessions`, `expect_table`, `schedule_table`: a session, the expectations, and a schedule as a file has them
//! 6. `reading`: from TOML to a [`Script`]
//! 7. [`sending`]: one statement, sent as it is written
//! 8. [`notices`]: the notices that a session receives
//! 9. [`barrier`]: where a session waits before each statement; [`read_values`]: the values that one returned
//! 10. [`transaction_state`]: whether a session is in a transaction
//! 11. [`session_end`]: how a session ended
//! 12. [`runner`]: runs one session, statement by statement
//! 13. [`clock`]: statements whose effect depends on time; `catalog_query`, [`schema_code`]: code in the schema; [`schema_catalog`]: the tables of
//!     a file, and which of them a statement touches
//! 14. [`statement_access`]: what statements share, down to single rows
//! 15. [`own_commit`]: the statements outside a transaction whose commit is a step
//! 16. [`final_rows`]: the rows in the end; [`serial`]: whether an end is that of a serial order; [`serial_ends`]: the ends of those that were run
//! 17. [`invariants`]: what must be true at every end; [`end_judgement`]: what is wrong at one
//! 18. [`mistakes`]: statements that always fail
//! 19. [`limits`]: what a verdict does not cover
//! 20. [`prepared`]: prepared transactions that are left open
//! 21. [`schedule_tests`]: schedules that are run as tests
//! 22. [`execution`]: runs all sessions of a variant

pub mod barrier;
mod catalog_query;
pub mod clock;
pub mod end_judgement;
pub mod execution;
pub mod expect;
pub(super) mod expect_table;
#[cfg(test)]
mod expect_tests;
pub(super) mod fields;
pub mod final_rows;
pub mod invariants;
pub mod limits;
pub mod mistakes;
pub mod notices;
pub mod own_commit;
pub mod prepared;
pub mod read_values;
pub(super) mod reading;
pub mod runner;
mod schedule_table;
pub mod schedule_tests;
pub mod schema_catalog;
pub mod schema_code;
pub mod script;
pub mod sending;
pub mod serial;
pub mod serial_ends;
pub mod session_end;
mod sessions;
pub mod statement_access;
pub mod template;
#[cfg(test)]
mod tests;
pub mod transaction_state;

pub use reading::ExploreFileError;
pub use script::{Script, ScriptVariant};
pub use sessions::{check_can_be_sent, copies_a_stream};
