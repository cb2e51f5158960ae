//! The explorer on a real PostgreSQL: it runs every interleaving that there is, no matter how it leaves some out; what it
//! says of each approach is what is claimed; and it finds every guard that is taken away.

#[macro_use]
mod stage;

mod claims;
mod counts;
mod crash;
mod files;
mod mutants;
mod oracle;
mod reduction;
mod search;
mod timelines;
