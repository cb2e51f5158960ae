//! The program, run as a process: its commands, their output and exit codes, the state after a kill, and clients of
//! other projects.

mod access_log;
mod bookings;
mod clients;
mod command_verdicts;
mod commands;
mod dashboard_experiment;
mod dashboard_pages;
mod dashboard_player;
mod durability;
mod explore;
mod explore_replays;
mod explore_rights;
mod explore_terminal;
mod exposure;
mod faults;
mod full_disk;
mod fuzz;
mod hostile_files;
mod instrument;
mod mutated_files;
mod not_durable;
mod options;
mod pages;
mod race;
mod requests;
mod runs;
mod scenarios;
mod served;
mod specs;
