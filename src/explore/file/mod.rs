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
//! 5. `sessions`, `expect_table`: a session and the expectations as a file has them
//! 6. `reading`: from TOML to a [`Script`]
//! 7. [`runner`]: runs one session, statement by statement
//! 8. [`execution`]: runs all sessions of a variant

pub mod execution;
pub mod expect;
mod expect_table;
#[cfg(test)]
mod expect_tests;
mod fields;
mod reading;
pub mod runner;
pub mod script;
mod sessions;
pub mod template;
#[cfg(test)]
mod tests;

pub use reading::ExploreFileError;
pub use script::{Script, ScriptVariant};
