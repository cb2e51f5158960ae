//! What runs while pages are open: experiments, the interleaving player and the lock sampler. A service knows the models and no markup.
//!
//! From the lowest to the highest; each imports only from those before it:
//!
//! - [`experiment_databases`]: the databases on which experiments and the player work
//! - [`player`]: plays interleavings, one after the other
//! - [`exclusive_lease`]: keeps other servers' experiments off the database
//! - [`experiment_process`]: the child process that an experiment is
//! - [`experiment_slot`]: the one experiment that can be under way
//! - [`lock_sampler`]: reads sessions and locks once a second while a page is open

pub mod exclusive_lease;
pub mod experiment_databases;
pub mod experiment_process;
pub mod experiment_slot;
pub mod lock_sampler;
pub mod player;
