//! Applications: programs of a user's own, unmodified, whose statements are interleaved (docs/APPS.md).
//!
//! A command is a script, a job, a migration. It is started with the address of a proxy in its environment. The proxy holds each of its
//! statements, and the search of explore files decides which goes next. The end of a command is its exit code and its last line.
//!
//! A request goes to a server that was started once, with a proxy between it and PostgreSQL. Its statements come on the connections of a pool,
//! so they are attributed (`attribution`) to requests. The end of a request is the status and the body of its answer.
//!
//! The files, lowest first; each imports only from those before it:
//!
//! 1. [`request_script`], [`app_file`]: a file as data; [`environment`]: where a program finds its database; `app_reading`: from TOML to an
//!    [`AppFile`]
//! 2. [`command_output`], [`running_command`]: a program in a process group of its own, and what it printed; [`request_sending`]: one HTTP
//!    request; `process_activity`, `running_service`: a server that runs
//! 3. [`app_connection`]: what is known of a connection; [`step_rules`]: which units are steps; [`step_text`]: a unit and its answer, as a
//!    transcript shows them
//! 4. [`actor_record`]: what a request or a command sent, and how it ended
//! 5. `attended_command`, [`attendant`]: commands during an interleaving, from the events of their proxies to those of a gate
//! 6. `reactions`, `attribution`: what a request does next, and whose a statement is
//! 7. `service_link`, `attended_request`, `request_interleaving`, `request_arrivals`, `request_settling`, `service_attendant`: requests during an interleaving
//! 8. `proxying`, `service`: a server with its proxy and its attendant
//! 9. `definitions`: what is defined beside the rows; [`app_database`]: the database, put back before each interleaving
//! 10. [`app_execution`]: runs all requests and commands of a file

pub mod actor_record;
pub mod app_connection;
pub mod app_database;
pub mod app_execution;
pub mod app_file;
mod app_reading;
pub mod attendant;
mod attended_command;
mod attended_request;
mod attribution;
pub mod command_output;
mod definitions;
pub mod environment;
mod process_activity;
mod proxying;
mod reactions;
mod request_arrivals;
mod request_interleaving;
pub mod request_script;
pub mod request_sending;
mod request_settling;
pub mod running_command;
mod running_service;
mod service;
mod service_attendant;
mod service_link;
pub mod step_rules;
pub mod step_text;

pub use app_file::AppFile;
