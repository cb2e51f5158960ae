//! Spec files: the language of isolationtester, with which PostgreSQL tests itself.
//!
//! A spec has a setup, a few sessions with named steps, and permutations: orders in which the steps are sent. isolationtester
//! (`src/test/isolation` of PostgreSQL's sources, where a README describes the language) runs them and prints what comes back. It judges
//! nothing; a person compares the output with an expected one. So does this module, with the same output. In addition the same steps can
//! be explored in all interleavings, as those of any explore file.
//!
//! The files, lowest first; each imports only from those before it:
//!
//! 1. [`scanner`]: the tokens of a spec
//! 2. [`grammar`]: a spec as data
//! 3. [`result_table`]: rows as libpq prints them
//! 4. [`session`]: a connection, its answers and its notices
//! 5. [`permutation`]: one permutation, step by step
//! 6. [`spec_run`]: all permutations of a spec, in a database of its own
//! 7. [`as_script`]: the steps of a spec as those of an explore file

pub mod as_script;
pub mod grammar;
pub mod permutation;
pub mod result_table;
pub mod scanner;
pub mod session;
pub mod spec_run;
