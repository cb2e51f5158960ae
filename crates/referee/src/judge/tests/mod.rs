//! The referee against tables of histories, against simulated servers, and against an oracle that tries every order.

mod mistakes;
mod oracle;
mod partly_known;
mod simulate;
mod small;
mod tables;
mod whole;
