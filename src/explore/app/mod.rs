//! Commands: programs of a user's own, unmodified, whose statements are interleaved (docs/APPS.md).
//!
//! A command is a script, a job, a migration. It is started with the address of a proxy in its environment. The proxy holds each of its
//! statements, and the search of explore files decides which goes next. The end of a command is its exit code and its last line.
//!
//! The files, lowest first; each imports only from those before it:
//!
//! 1. [`command_file`]: a file of commands as data
//! 2. [`environment`]: where a program finds its database
//! 3. `command_reading`: from TOML to a [`CommandFile`]
//! 4. [`command_output`]: what a program printed
//! 5. [`running_command`]: a program in a process group of its own
//! 6. [`app_connection`]: what is known of a connection
//! 7. [`step_rules`]: which units are steps
//! 8. [`step_text`]: a unit and its answer, as a transcript shows them
//! 9. [`command_record`]: what a run of a command sent, and how it ended
//! 10. `attended_command`: one command during an interleaving
//! 11. [`attendant`]: from the events of the proxies to those of a gate
//! 12. `definitions`: what is defined beside the rows; [`app_database`]: the database, put back before each interleaving
//! 13. [`command_execution`]: runs all commands of a file

pub mod app_connection;
pub mod app_database;
pub mod attendant;
mod attended_command;
pub mod command_execution;
pub mod command_file;
pub mod command_output;
mod command_reading;
pub mod command_record;
mod definitions;
pub mod environment;
pub mod running_command;
pub mod step_rules;
pub mod step_text;

pub use command_file::{CommandFile, CommandScript};
